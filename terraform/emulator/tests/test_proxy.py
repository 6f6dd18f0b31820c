"""That a fault befalls the writes and rows it is for and nothing else, and that sequence numbers find their records."""

import base64
import contextlib
import http.server
import json
import threading
import unittest
import urllib.error
import urllib.request

from emulator.proxy import Proxy, devices_written


def put(device):
    return {"Item": {"device_id": {"S": device}, "item": {"S": "statistics"}}}


class Table(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        """Says nothing."""

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def serving(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def table():
    """A service that answers with what it is asked."""
    return serving(Table)


def ask(endpoint, action, body):
    request = urllib.request.Request(endpoint, json.dumps(body).encode(), {"X-Amz-Target": f"DynamoDB_20120810.{action}"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


class Throttling(unittest.TestCase):
    def test_the_devices_of_each_kind_of_write_are_found(self):
        self.assertEqual(devices_written("PutItem", put("a")), {"a"})
        transaction = {"TransactItems": [{"Put": put("a")}, {"Put": put("b")}]}
        self.assertEqual(devices_written("TransactWriteItems", transaction), {"a", "b"})
        self.assertEqual(devices_written("GetItem", {"Key": {"device_id": {"S": "a"}}}), set())

    def test_writes_of_one_device_are_throttled_for_as_long_as_it_is_told_to(self):
        with table() as endpoint, Proxy(endpoint).serving() as proxy:
            with proxy.throttling_writes_of("a"):
                status, answer = ask(proxy.endpoint, "PutItem", put("a"))
                self.assertEqual((status, answer["__type"].rpartition("#")[2]), (400, "ThrottlingException"))
                for action, body in (("PutItem", put("b")), ("Query", put("a")), ("GetItem", put("a"))):
                    self.assertEqual(ask(proxy.endpoint, action, body), (200, body))
            self.assertEqual(proxy.befallen, 1)
            self.assertEqual(ask(proxy.endpoint, "PutItem", put("a")), (200, put("a")))
            self.assertEqual(proxy.befallen, 1)


def record(*devices):
    rows = [{"device_id": device, "revision": 1} for device in devices]
    return {"Data": base64.b64encode("".join(json.dumps(row) + "\n" for row in rows).encode()).decode()}


class Firehose(Table):
    """Takes every record that reaches it, and no call without any."""

    def do_POST(self):
        records = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["Records"]
        results = [{"RecordId": each["Data"]} for each in records]
        self.answer(json.dumps({"FailedPutCount": 0, "RequestResponses": results}).encode(), 200 if records else 400)


class Refusing(unittest.TestCase):
    def setUp(self):
        exits = contextlib.ExitStack()
        self.addCleanup(exits.close)
        self.proxy = exits.enter_context(Proxy(exits.enter_context(serving(Firehose))).serving())

    def put(self, *records):
        return ask(self.proxy.endpoint, "PutRecordBatch", {"Records": list(records)})

    def test_records_with_a_refused_row_are_refused_by_themselves_after_a_first_call_as_a_whole(self):
        records = [record("b"), record("b", "a"), record("c")]
        with self.proxy.refusing_rows(lambda row: row["device_id"] == "a"):
            status, answer = self.put(*records)
            self.assertEqual((status, answer["__type"], self.proxy.rows), (503, "ServiceUnavailableException", {}))
            status, answer = self.put(*records)
            self.assertEqual((status, answer["FailedPutCount"]), (200, 1))
            self.assertEqual([each.get("RecordId") for each in answer["RequestResponses"]], [records[0]["Data"], None, records[2]["Data"]])
            self.assertEqual(answer["RequestResponses"][1]["ErrorCode"], "ServiceUnavailableException")
            self.assertEqual(self.proxy.rows, {("b", 1): 1, ("c", 1): 1})
            # None is left for Firehose.
            self.assertEqual(self.put(records[1])[1]["FailedPutCount"], 1)
        self.assertEqual(self.put(records[1])[1]["FailedPutCount"], 0)
        self.assertEqual(self.proxy.rows, {("a", 1): 1, ("b", 1): 2, ("c", 1): 1})

    def test_something_is_done_once_after_rows_are_taken(self):
        done = []
        self.proxy.when_rows_are_taken(lambda: done.append(dict(self.proxy.rows)))
        self.put(record("a"))
        self.put(record("b"))
        self.assertEqual(done, [{("a", 1): 1}])


class SequenceNumbers(unittest.TestCase):
    def test_they_have_as_many_digits_as_the_emulator_writes(self):
        ask_for = {"StreamName": "s", "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": "17640000000000000000012"}
        with table() as endpoint, Proxy(endpoint).serving() as proxy:
            _, asked = ask(proxy.endpoint, "GetShardIterator", ask_for)
            self.assertEqual(asked, {**ask_for, "StartingSequenceNumber": "000000017640000000000000000012"})
            without = {"StreamName": "s", "ShardIteratorType": "TRIM_HORIZON"}
            self.assertEqual(ask(proxy.endpoint, "GetShardIterator", without), (200, without))


if __name__ == "__main__":
    unittest.main()
