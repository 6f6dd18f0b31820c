"""That a fault befalls the writes it is for and nothing else, and that sequence numbers find their records."""

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
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def table():
    """A service that answers with what it is asked."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Table)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


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
