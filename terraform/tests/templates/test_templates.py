"""The ingest module's mapping templates, executed. Run with: python -m unittest discover -s terraform/tests/templates"""

import base64
import json
import pathlib
import unittest

from api_gateway import render

TEMPLATES = pathlib.Path(__file__).parents[2] / "modules" / "ingest" / "templates"

# Strings that break templates which paste rather than encode.
AWKWARD = [
    "it's",
    'say "hello"',
    "back\\slash \\u0041 \\n",
    "naïve 数据 😀 \u2028",
    "a/b </script>",
    '"},"StreamName":"other","x":{"y":"',
    "$context.identity.apiKey #set($x = 1) ## not a comment",
    "\t\x00\x1f",
]


def made(name, body="", **parameters):
    return render(TEMPLATES / f"{name}.vtl", body, parameters)


def data_of(record):
    return base64.b64decode(record["Data"]).decode()


def error(kind, message="", prefix="com.amazonaws.kinesis#"):
    return json.dumps({"__type": prefix + kind, "message": message})


class PutRecord(unittest.TestCase):
    def test_a_body_goes_in_as_it_is(self):
        for text in AWKWARD:
            for ensure_ascii in (True, False):
                reading = {"device_id": "dev-1", "timestamp": "2026-01-01T00:00:00Z", "value": 1, "note": text}
                body = json.dumps(reading, ensure_ascii=ensure_ascii)
                put = made("put-record-of-reading", body).json()
                self.assertEqual(set(put), {"StreamName", "PartitionKey", "Data"})
                self.assertEqual((put["StreamName"], put["PartitionKey"]), ("readings", "dev-1"))
                self.assertEqual(data_of(put), body)

    def test_numbers_keep_every_digit(self):
        body = '{"device_id":"d","timestamp":"t","value":10.00,"n":123456789012345678901234567890.000000000000000001e-7}'
        self.assertEqual(data_of(made("put-record-of-reading", body).json()), body)

    def test_line_breaks_become_spaces(self):
        body = '{\r\n  "device_id": "d",\n  "value": 1\r}'
        data = data_of(made("put-record-of-reading", body).json())
        self.assertEqual(data, body.replace("\r", " ").replace("\n", " "))

    def test_a_device_that_cannot_be_one_is_left_to_kinesis_to_refuse(self):
        for device in ["", "-a", "a b", "a\n", "ä", "a" * 129, 'a","x":"', None, ["a"], {"a": 1}]:
            for template, more in [("put-record-of-reading", {}), ("put-record-of-series", {"readings": [{}]})]:
                put = made(template, json.dumps({"device_id": device, **more})).json()
                self.assertEqual(put["PartitionKey"], "", device)

    def test_every_device_that_can_be_one_is_the_partition_key(self):
        for device in ["a", "0", "A.b_c:d-e", "a" * 128]:
            self.assertEqual(made("put-record-of-reading", json.dumps({"device_id": device})).json()["PartitionKey"], device)

    def test_a_series_holds_1_to_500_readings(self):
        for length, good in [(0, False), (1, True), (500, True), (501, False), (2000, False)]:
            body = json.dumps({"device_id": "d", "readings": [{"timestamp": "t", "value": 1}] * length})
            put = made("put-record-of-series", body).json()
            self.assertEqual(put["PartitionKey"], "d" if good else "", length)
            self.assertEqual(data_of(put), body)


class PutRecords(unittest.TestCase):
    def put(self, readings):
        return made("put-records-of-batch", json.dumps({"readings": readings}, ensure_ascii=False)).json()

    def test_each_reading_is_a_record_under_its_device(self):
        readings = [
            {"device_id": f"d{index}", "timestamp": "t", "value": index / 7, "note": text, "more": {"a": [1, None, True]}}
            for index, text in enumerate(AWKWARD)
        ]
        put = self.put(readings)
        self.assertEqual(put["StreamName"], "readings")
        self.assertEqual([record["PartitionKey"] for record in put["Records"]], [r["device_id"] for r in readings])
        self.assertEqual([json.loads(data_of(record)) for record in put["Records"]], readings)
        self.assertTrue(all("\n" not in data_of(record) for record in put["Records"]))

    def test_a_batch_holds_1_to_500_readings(self):
        for length, records in [(0, 0), (1, 1), (500, 500), (501, 0), (1001, 0)]:
            self.assertEqual(len(self.put([{"device_id": "d", "value": 1}] * length)["Records"]), records)

    def test_one_bad_device_leaves_the_whole_batch_to_kinesis_to_refuse(self):
        for device in ["", "a b", 'a","Data":"', "ä"]:
            self.assertEqual(self.put([{"device_id": "d"}, {"device_id": device}, {"device_id": "e"}])["Records"], [])


class Answers(unittest.TestCase):
    def test_an_accepted_record_says_where_it_is(self):
        answer = made("accepted", json.dumps({"SequenceNumber": "4" * 56, "ShardId": "shardId-000000000000"}))
        expected = {"status": "accepted", "sequence_number": "4" * 56, "shard_id": "shardId-000000000000"}
        self.assertEqual((answer.json(), answer.status), (expected, None))

    def batch(self, *codes):
        records = [{"ErrorCode": code, "ErrorMessage": 'of "stream"'} if code else {"SequenceNumber": "1"} for code in codes]
        return made("batch-accepted", json.dumps({"FailedRecordCount": sum(map(bool, codes)), "Records": records}))

    def test_a_batch_that_is_stored_whole_is_200(self):
        answer = self.batch(None, None)
        self.assertEqual((answer.json(), answer.status), ({"accepted": 2, "failed": []}, None))

    def test_a_batch_that_is_stored_in_part_is_207_and_names_the_others(self):
        answer = self.batch("InternalFailure", None, "ProvisionedThroughputExceededException", None)
        self.assertEqual(answer.status, 207)
        self.assertEqual(answer.json()["accepted"], 2)
        self.assertEqual([failed["index"] for failed in answer.json()["failed"]], [0, 2])
        self.assertIn("not available", answer.json()["failed"][0]["error"])
        self.assertIn("throttled", answer.json()["failed"][1]["error"])

    def test_a_batch_of_which_nothing_is_stored_is_429_or_503(self):
        throttled = "ProvisionedThroughputExceededException"
        for codes, status in [((throttled, throttled), 429), ((throttled, "InternalFailure"), 503), (("InternalFailure",), 503)]:
            answer = self.batch(*codes)
            self.assertEqual(answer.status, status)
            self.assertIn("Retry-After", answer.headers)
            self.assertEqual(list(answer.json()), ["message"])

    def test_an_answer_without_records_is_503(self):
        self.assertEqual(made("batch-accepted", '{"Records":[]}').status, 503)


class Refused(unittest.TestCase):
    # What Kinesis answers, and what the sender must be told.
    STATUSES = [
        ("ProvisionedThroughputExceededException", "Rate exceeded for shard", 429),
        ("ThrottlingException", "", 429),
        ("KMSThrottlingException", "", 429),
        ("LimitExceededException", "", 429),
        ("ValidationException", "1 validation error detected: Value '' at 'partitionKey' failed to satisfy constraint", 400),
        ("ValidationException", "Value '[]' at 'records' failed to satisfy constraint: Member must have length >= 1", 400),
        ("ValidationException", "Value 'java.nio.HeapByteBuffer[pos=0]' at 'data' failed to satisfy constraint", 413),
        ("InvalidArgumentException", "Records size exceeds 5 MB limit", 413),
        ("ValidationException", "Value '' at 'streamName' failed to satisfy constraint", 503),
        ("ResourceNotFoundException", "Stream readings under account not found.", 503),
        ("AccessDeniedException", 'User "x" is not authorized', 503),
        ("KMSDisabledException", "", 503),
        ("SerializationException", "", 503),
        ("InternalFailure", "", 503),
    ]

    def test_every_refusal_of_the_stream_has_its_status(self):
        for kind, message, status in self.STATUSES:
            for prefix in ("", "com.amazonaws.kinesis.v20131202#"):
                answer = made("put-refused", error(kind, message, prefix))
                self.assertEqual(answer.status, status, kind)
                self.assertEqual("Retry-After" in answer.headers, status in (429, 503), kind)
                self.assertEqual(list(answer.json()), ["message"])
                self.assertNotIn("readings under", answer.text, "names of the account's resources stay inside")

    def test_an_answer_that_is_no_error_document_is_503(self):
        for body in ["{}", '{"message":null}', ""]:
            self.assertEqual(made("put-refused", body).status, 503)
            self.assertEqual(made("get-refused", body).status, 503)

    def test_a_refused_key_is_400_and_every_other_refusal_of_the_table_503(self):
        empty = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: device_id"
        self.assertEqual(made("get-refused", error("ValidationException", empty)).status, 400)
        for kind in ["ProvisionedThroughputExceededException", "ValidationException", "ResourceNotFoundException", "AccessDeniedException"]:
            answer = made("get-refused", error(kind, "other"))
            self.assertEqual((answer.status, list(answer.json())), (503, ["message"]))
            self.assertIn("Retry-After", answer.headers)


class Statistics(unittest.TestCase):
    def test_a_device_is_the_key(self):
        key = {"device_id": {"S": "dev-1"}, "item": {"S": "statistics"}}
        self.assertEqual(made("get-item", device_id="dev-1").json(), {"TableName": "device-statistics", "Key": key})

    def test_a_device_that_cannot_be_one_is_an_empty_key(self):
        for device in ["", "it's", '"}},"x":{"S":"', "a b", "ä", "a" * 129, "a\n"]:
            self.assertEqual(made("get-item", device_id=device).json()["Key"]["device_id"], {"S": ""}, device)

    def item(self, **changes):
        number = lambda text: {"N": text}
        item = {
            "device_id": {"S": "dev-1"}, "item": {"S": "statistics"}, "revision": number("3"), "state": {"B": "AA=="},
            "count": number("3"), "mean": number("66"), "median": number("40"), "standard_deviation": number("49.426713424029276"),
            "minimum": number("35"), "maximum": number("123"), "anomaly_count": number("0"),
            "mean_confidence_95": {"M": {"low": number("-56.78"), "high": number("188.78")}},
            "first_timestamp": {"S": "2026-01-01T00:00:00Z"}, "last_timestamp": {"S": "2026-01-01T00:02:00.123456789Z"},
            "updated_at": {"S": "2026-01-01T00:02:01Z"},
        }
        return made("statistics", json.dumps({"Item": {**item, **changes}}))

    def test_the_worked_example_is_the_contracts_answer(self):
        answer = self.item()
        self.assertIsNone(answer.status)
        self.assertEqual(answer.json(), {
            "device_id": "dev-1", "count": 3, "mean": 66, "median": 40, "standard_deviation": 49.426713424029276,
            "minimum": 35, "maximum": 123, "mean_confidence_95": {"low": -56.78, "high": 188.78}, "anomaly_count": 0,
            "first_timestamp": "2026-01-01T00:00:00Z", "last_timestamp": "2026-01-01T00:02:00.123456789Z",
            "updated_at": "2026-01-01T00:02:01Z",
        })

    def test_members_are_those_of_the_openapi_document(self):
        document = (TEMPLATES.parents[3] / "crates" / "gateway" / "openapi.yaml").read_text()
        statistics = document.split("\n    Statistics:\n")[1].split("properties:")[0]
        required = [line.strip()[2:] for line in statistics.splitlines() if line.strip().startswith("- ")]
        self.assertEqual(list(self.item().json()), required)

    def test_null_attributes_are_null(self):
        null = {"NULL": True}
        answer = self.item(standard_deviation=null, mean_confidence_95=null, mean=null, first_timestamp=null).json()
        for member in ["standard_deviation", "mean_confidence_95", "mean", "first_timestamp"]:
            self.assertIsNone(answer[member])

    def test_half_an_interval_is_none(self):
        half = {"M": {"low": {"NULL": True}, "high": {"N": "1"}}}
        self.assertIsNone(self.item(mean_confidence_95=half).json()["mean_confidence_95"])

    def test_numbers_stand_as_dynamodb_gives_them(self):
        for text in ["0", "-0.5", "1E+100", "1.2345678901234567890123456789012345678E-50", "99999999999999999999"]:
            self.assertIn(f'"mean":{text},', self.item(mean={"N": text}).text)
            self.assertEqual(self.item(mean={"N": text}).json()["mean"], json.loads(text))

    def test_a_device_without_an_item_is_404(self):
        answer = made("statistics", "{}")
        self.assertEqual((answer.status, list(answer.json())), (404, ["message"]))

    def test_health_answers(self):
        self.assertEqual(made("health-request").json(), {"statusCode": 200})
        self.assertEqual(made("health").json(), {"status": "ok"})


if __name__ == "__main__":
    unittest.main()
