"""What .ci/deploy plans, keeps, applies and refuses. Terraform and the AWS command are stand-ins that write down their calls:
this holds the order of things and the digests, which no run on GitHub is needed for."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

CI = pathlib.Path(__file__).parent
KEY = "QxR7-secret-key-of-an-api"
FUNCTIONS = ("aggregator", "curator")

TERRAFORM = """#!/usr/bin/env bash
echo "terraform $*" >>"$CALLS"
case "$1" in
  init) echo lock >.terraform.lock.hcl ;;
  plan) echo plan >planned; exit "$PLAN_STATUS" ;;
  show) if [ "$2" = -json ]; then echo "$PLAN_JSON"; else echo "$PLAN_TEXT"; fi ;;
  apply) echo "applied $(cat planned)" >>"$CALLS" ;;
esac
"""
AWS = """#!/usr/bin/env bash
echo "aws $*" >>"$CALLS"
local() { case "$1" in s3://*) echo "$BUCKETS/${1//\\//_}" ;; *) echo "$1" ;; esac; }
if [ "$2" = cp ]; then cp "$(local "$4")" "$(local "$5")"; else rm "$(local "$4")"; fi
"""


class Deploy(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        for folder in (".ci", "terraform/envs", "bin", "buckets"):
            (self.root / folder).mkdir(parents=True)
        for script in ("deploy", "plan-summary"):
            shutil.copy(CI / script, self.root / ".ci")
        for name, text in (("terraform", TERRAFORM), ("aws", AWS)):
            (self.root / "bin" / name).write_text(text)
            (self.root / "bin" / name).chmod(0o755)
        (self.root / "terraform/envs/production.tfvars").touch()
        for function in FUNCTIONS:
            (self.root / f"{function}.zip").write_text(function)
        for name in ("calls", "output", "summary"):
            (self.root / name).touch()

    def deploy(self, *arguments, **settings):
        variables = {
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "CALLS": str(self.root / "calls"),
            "BUCKETS": str(self.root / "buckets"),
            "GITHUB_OUTPUT": str(self.root / "output"),
            "GITHUB_STEP_SUMMARY": str(self.root / "summary"),
            "AWS_REGION": "eu-central-1",
            "STATE_BUCKET": "states",
            **{f"{function.upper()}_SHA256": hashlib.sha256(function.encode()).hexdigest() for function in FUNCTIONS},
            "PLAN_STATUS": "2",
            "PLAN_TEXT": "+ create",
            "PLAN_JSON": "{}",
            **settings,
        }
        return subprocess.run([self.root / ".ci/deploy", *arguments], env=variables, capture_output=True, text=True, check=False)

    def read(self, name):
        return (self.root / name).read_text()

    def outputs(self):
        return dict(line.split("=", 1) for line in self.read("output").splitlines())

    def test_what_was_planned_and_shown_is_applied_once(self):
        self.assertEqual(self.deploy("plan", "production", PLAN_KEY="plans/1.tar").returncode, 0)
        self.assertIn("+ create", self.read("summary"))
        self.assertEqual(self.outputs()["changes"], "true")
        self.assertNotIn("terraform apply", self.read("calls"))
        made = self.deploy("apply", "production", PLAN_KEY="plans/1.tar", PLAN_SHA256=self.outputs()["plan_sha256"])
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn("applied plan", self.read("calls"))
        self.assertEqual(list((self.root / "buckets").iterdir()), [])

    def test_the_state_is_that_of_the_environment_and_locked_by_who_writes_it(self):
        self.deploy("plan", "production")
        self.assertIn("-backend-config=bucket=states -backend-config=key=streamgauge/production.tfstate", self.read("calls"))
        self.assertIn("-backend-config=use_lockfile=true", self.read("calls"))

    def test_another_plan_is_not_applied(self):
        self.deploy("plan", "production", PLAN_KEY="plans/1.tar")
        for kept in (self.root / "buckets").iterdir():
            with kept.open("ab") as file:
                file.write(b"more")
        made = self.deploy("apply", "production", PLAN_KEY="plans/1.tar", PLAN_SHA256=self.outputs()["plan_sha256"])
        self.assertEqual(made.returncode, 1)
        self.assertNotIn("terraform apply", self.read("calls"))

    def test_another_zip_is_neither_planned_nor_applied(self):
        for function in FUNCTIONS:
            package = self.root / f"{function}.zip"
            package.write_text("another")
            for step in ("plan", "apply"):
                made = self.deploy(step, "production", PLAN_KEY="plans/1.tar", PLAN_SHA256="0")
                self.assertEqual((made.returncode, self.read("calls")), (1, ""))
                self.assertIn(f"{function}.zip is not what was built", made.stderr)
            package.write_text(function)

    def test_both_functions_packages_are_planned(self):
        self.deploy("plan", "production")
        for function in FUNCTIONS:
            self.assertIn(f"-var {function}_zip_path=../{function}.zip", self.read("calls"))

    def test_a_pull_requests_plan_is_shown_and_not_kept(self):
        self.assertEqual(self.deploy("plan", "production", PLAN_KEY="").returncode, 0)
        self.assertIn("+ create", self.read("summary"))
        self.assertEqual(list((self.root / "buckets").iterdir()), [])
        self.assertNotIn("plan_sha256", self.read("output"))

    def test_a_plan_without_changes_says_so(self):
        self.assertEqual(self.deploy("plan", "production", PLAN_STATUS="0").returncode, 0)
        self.assertEqual(self.outputs()["changes"], "false")

    def test_a_plan_that_fails_fails(self):
        self.assertEqual(self.deploy("plan", "production", PLAN_KEY="plans/1.tar", PLAN_STATUS="1").returncode, 1)
        self.assertEqual((self.read("output"), self.read("summary")), ("", ""))

    def test_a_plan_that_shows_a_secret_is_neither_shown_nor_kept(self):
        plan = f'{{"output_changes":{{"key":{{"after":"{KEY}","after_sensitive":true}}}}}}'
        made = self.deploy("plan", "production", PLAN_KEY="plans/1.tar", PLAN_TEXT=f"+ {KEY}", PLAN_JSON=plan)
        self.assertEqual(made.returncode, 1)
        self.assertEqual((self.read("output"), self.read("summary")), ("", ""))
        self.assertEqual(list((self.root / "buckets").iterdir()), [])

    def test_what_is_not_set_up_is_named(self):
        self.assertIn("STATE_BUCKET", self.deploy("plan", "production", STATE_BUCKET="").stderr)
        self.assertEqual(self.deploy("plan", "staging").returncode, 2)
        self.assertEqual(self.read("calls"), "")

    def test_nothing_is_left_behind(self):
        self.deploy("plan", "production", PLAN_KEY="plans/1.tar")
        left = {path.name for path in (self.root / "terraform").iterdir()}
        self.assertEqual(left, {"envs", ".terraform.lock.hcl"})


if __name__ == "__main__":
    unittest.main()
