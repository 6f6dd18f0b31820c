"""Each rule of policies.py sees what it is there to see."""

import json
import pathlib
import tempfile
import unittest

from policies import findings, statement_findings

GOOD = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "arn:aws:sqs:eu-central-1:123456789012:queue"}
TRACE = {"Effect": "Allow", "Action": ["xray:PutTelemetryRecords", "xray:PutTraceSegments"], "Resource": "*"}
ATTACHED = "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"


def found(kind, statement, attribute="policy"):
    return list(statement_findings(kind, attribute, {**GOOD, **statement}))


class Statements(unittest.TestCase):
    def test_an_identity_names_its_actions_and_resources(self):
        for good in [{}, TRACE, {"Resource": "arn:aws:s3:::archive/raw/*"}, {"Resource": "arn:aws:logs:r:1:log-group:/aws/x:*"}]:
            self.assertEqual(found("aws_iam_role_policy", good), [], good)
        for bad in [
            {"Action": "sqs:*"}, {"Action": ["sqs:SendMessage", "sqs:Get*"]}, {"Action": []}, {"NotAction": "sqs:*"}, {"NotResource": "x"},
            {"Resource": "*"}, {"Resource": ["arn:aws:s3:::archive", "*"]}, {**TRACE, "Action": ["xray:PutTraceSegments", "s3:GetObject"]},
            {"Resource": "arn:aws:s3:::*"}, {"Resource": "arn:aws:sqs:*:123456789012:queue"}, {"Resource": "arn:aws:sqs:eu-central-1:*:queue"},
        ]:
            self.assertEqual(len(found("aws_iam_role_policy", bad)), 1, bad)

    def test_a_resource_lets_in_nobody_unnamed(self):
        account = {"AWS": "arn:aws:iam::1:root"}
        self.assertEqual(found("aws_kms_key", {"Resource": "*", "Principal": account}), [])
        self.assertEqual(found("aws_sqs_queue_policy", {"Principal": {"Service": "s3.amazonaws.com"}, "Condition": {}}), [])
        for kind, bad in [
            ("aws_sqs_queue_policy", {"Principal": "*"}), ("aws_sqs_queue_policy", {"Principal": {"AWS": ["*"]}}),
            ("aws_sqs_queue_policy", {"Principal": {"Service": "s3.amazonaws.com"}}), ("aws_s3_bucket_policy", {"Resource": "*", "Principal": account}),
        ]:
            self.assertEqual(len(found(kind, bad)), 1, bad)

    def test_a_denial_may_name_everybody(self):
        self.assertEqual(found("aws_s3_bucket_policy", {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}), [])

    def test_a_role_is_for_a_service(self):
        trust = {"Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        self.assertEqual(found("aws_iam_role", trust, "assume_role_policy"), [])
        for bad in [{"Principal": {"AWS": "arn:aws:iam::1:root"}}, {"Action": ["sts:AssumeRole", "sts:TagSession"]}]:
            self.assertEqual(len(found("aws_iam_role", {**trust, **bad}, "assume_role_policy")), 1, bad)


class Plans(unittest.TestCase):
    def findings(self, statements, attached=ATTACHED, test="tests/a.tftest.hcl", address="aws_iam_role_policy.p"):
        changes = [
            {"address": address, "type": "aws_iam_role_policy", "name": "p", "change": {"after": {"policy": statements and json.dumps({"Statement": statements})}}},
            {"address": "aws_iam_role_policy_attachment.q", "type": "aws_iam_role_policy_attachment", "name": "q", "change": {"after": {"policy_arn": attached}}},
        ]
        line = json.dumps({"type": "test_plan", "@testfile": test, "test_plan": {"resource_changes": changes}})
        with tempfile.TemporaryDirectory() as directory:
            module = pathlib.Path(directory) / "a"
            module.mkdir()
            (module / "main.tf").write_text(
                'resource "aws_iam_role_policy" "p" {\n  name   = "p"\n  policy = x\n}\n\n'
                'resource "aws_iam_role_policy_attachment" "q" {\n  policy_arn = x\n}\n'
            )
            return list(findings(pathlib.Path(directory), [json.dumps({"type": "version"}), line]))

    def test_what_is_planned_and_keeps_the_rules_passes(self):
        self.assertEqual(self.findings([GOOD, TRACE]), [])

    def test_a_policy_that_breaks_a_rule_is_found(self):
        self.assertEqual(len(self.findings([{**GOOD, "Resource": "*"}, TRACE])), 1)

    def test_a_policy_that_no_plan_shows_is_found(self):
        # Unknown; in another module's test; and as another module's part.
        self.assertIn("shows its policy", "".join(self.findings(None)))
        self.assertIn("shows its policy", "".join(self.findings([GOOD, TRACE], test="tests/b.tftest.hcl")))
        self.assertIn("shows its policy", "".join(self.findings([GOOD, TRACE], address="module.b.aws_iam_role_policy.p")))

    def test_another_policy_of_awss_is_found(self):
        self.assertIn("attaches AdministratorAccess", "".join(self.findings([GOOD, TRACE], attached="arn:aws:iam::aws:policy/AdministratorAccess")))

    def test_an_exception_that_nothing_needs_is_found(self):
        self.assertEqual(len(self.findings([GOOD])), 1)


if __name__ == "__main__":
    unittest.main()
