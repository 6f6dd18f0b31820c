"""The cases that hold on AWS and on one machine, run against the API that Terraform planned. crates/gateway/tests runs the
same file against the local gateway."""

import json
import os
import pathlib
import unittest

from rest_api import RestApi

CASES = pathlib.Path(__file__).parents[3] / "crates" / "gateway" / "tests" / "http_cases.json"
DOCUMENT = os.environ.get("STREAMGAUGE_API_DOCUMENT")
KEY = "a-key-that-no-answer-may-hold"


def text_of(body):
    if isinstance(body, str):
        return body
    return body["before"] + body.get("between", ",").join([body["of"]] * body["times"]) + body["after"]


def asked(api, request):
    headers = {"x-api-key": request.get("api_key", KEY), "content-type": "application/json", **request.get("headers", {})}
    headers = {name: value for name, value in headers.items() if value is not None}
    return api.handle(request["method"], request["path"], request.get("query", ""), headers, text_of(request.get("body", "")))


@unittest.skipUnless(DOCUMENT, "needs the planned API: run .ci/terraform")
class HttpCases(unittest.TestCase):
    def test_every_case_is_answered_and_stored_as_it_says(self):
        document = json.loads(pathlib.Path(DOCUMENT).read_text())
        cases = json.loads(CASES.read_text())["cases"]
        self.assertGreater(len(cases), 100)
        for case in cases:
            with self.subTest(case["name"]):
                expected = case.get("aws", case["expect"])
                api = RestApi(document, KEY, case.get("stream", ()), case.get("item"))
                status, headers, text = asked(api, case["request"])
                self.check_answer(expected, status, headers, text)
                if status == 200 and case["request"]["path"] in ("/data", "/data/series"):
                    self.check_receipt(json.loads(text))
                self.check_records(case, expected, api.stream.records)

    def check_answer(self, expected, status, headers, text):
        answer = json.loads(text)
        self.assertEqual(status, expected["status"], text)
        self.assertEqual("retry-after" in headers, status in (429, 503))
        for member, value in expected.get("answer", {}).items():
            self.assertEqual(answer[member], value, member)
        if status >= 400:
            self.assertEqual(list(answer), ["message"])
            self.assertTrue(answer["message"])
        if "failed_indexes" in expected:
            self.assertEqual([failed["index"] for failed in answer["failed"]], expected["failed_indexes"])
            self.assertEqual(answer["accepted"], len(expected["records"]))

    def check_receipt(self, answer):
        self.assertEqual(list(answer), ["status", "sequence_number", "shard_id"])
        self.assertEqual(answer["status"], "accepted")
        self.assertRegex(answer["sequence_number"], r"\A[0-9]+\Z")
        self.assertRegex(answer["shard_id"], r"\AshardId-[0-9]{12}\Z")

    def check_records(self, case, expected, records):
        wanted = [record for record in expected.get("records", []) for _ in range(record.get("times", 1))]
        self.assertEqual([key for key, _ in records], [record["partition_key"] for record in wanted])
        for (_, data), record in zip(records, wanted):
            if "data" in record:
                self.assertEqual(data.decode(), record["data"])
            elif "json" in record:
                self.assertEqual(json.loads(data), record["json"])
            elif case["request"]["path"] != "/data/batch":
                posted = text_of(case["request"]["body"])
                self.assertEqual(data.decode(), posted.replace("\r", " ").replace("\n", " "))
            self.assertNotIn(b"\n", data)


if __name__ == "__main__":
    unittest.main()
