"""Between the emulator and who calls it: throttles a device's writes and refuses rows for as long as it is told to, and mends
what the emulator does otherwise than Kinesis."""

import base64
import collections
import contextlib
import http.client
import http.server
import json
import sys
import threading
import urllib.parse

# ministack writes sequence numbers with leading zeros, which Kinesis has not, and compares them as texts: without the zeros
# every record would seem to come before the number.
SEQUENCE_NUMBER_DIGITS = 30

WRITES = ("PutItem", "UpdateItem", "TransactWriteItems")
THROTTLED = {
    "__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException",
    "message": "Rate of requests exceeds the allowed throughput.",
}
UNAVAILABLE = {"__type": "ServiceUnavailableException", "message": "Slow down."}
REFUSED = {"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."}


def devices_written(action, request):
    """The devices whose items a call writes."""
    if action not in WRITES:
        return set()
    parts = [part["Put"] for part in request["TransactItems"]] if action == "TransactWriteItems" else [request]
    return {(part.get("Item") or part.get("Key"))["device_id"]["S"] for part in parts}


def mended(action, request):
    """The request, as the emulator understands it."""
    number = request.get("StartingSequenceNumber")
    if action == "GetShardIterator" and number:
        return {**request, "StartingSequenceNumber": number.zfill(SEQUENCE_NUMBER_DIGITS)}
    return request


def rows_of(record):
    """The rows that a record of PutRecordBatch holds, one a line."""
    return [json.loads(line) for line in base64.b64decode(record["Data"]).splitlines()]


def merged(refused, body):
    """The answer to a PutRecordBatch some of whose records were kept back, from the answer to the others."""
    answer = json.loads(body)
    results = iter(answer["RequestResponses"])
    answers = [REFUSED if is_refused else next(results) for is_refused in refused]
    failed = sum("ErrorCode" in each for each in answers)
    return json.dumps({**answer, "FailedPutCount": failed, "RequestResponses": answers}).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Says nothing: its requests hold readings."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        action = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        request = json.loads(body or b"{}")
        if self.server.proxy.befalls(devices_written(action, request)):
            self.answer(400, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(THROTTLED).encode())
        elif action == "PutRecordBatch":
            self.put_rows(request)
        else:
            self.answer(*self.forwarded(json.dumps(mended(action, request)).encode()))

    def put_rows(self, request):
        proxy, records = self.server.proxy, request["Records"]
        refused = [proxy.refuses(rows_of(record)) for record in records]
        # The first call as a whole, as where the stream is throttled; later ones record by record.
        if any(refused) and proxy.counts_refusal() == 1:
            self.answer(503, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(UNAVAILABLE).encode())
            return
        passed = [record for record, is_refused in zip(records, refused) if not is_refused]
        status, headers, body = 200, {"Content-Type": "application/x-amz-json-1.1"}, b'{"RequestResponses": []}'
        if passed:
            status, headers, body = self.forwarded(json.dumps({**request, "Records": passed}).encode())
        if status == 200:
            proxy.takes([row for record in passed for row in rows_of(record)])
            body = merged(refused, body)
        self.answer(status, headers, body)

    def forwarded(self, body):
        connection = http.client.HTTPConnection(self.server.proxy.target, timeout=60)
        with contextlib.closing(connection):
            headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection", "content-length")}
            connection.request("POST", self.path, body, headers)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower().startswith(("content-type", "x-amz"))}
            return answer.status, kept, answer.read()

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        # A poller that is killed leaves its connections as they are.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Proxy:
    """Where the functions find DynamoDB and Firehose, and `streamgauge` Kinesis."""

    def __init__(self, target):
        self.target = urllib.parse.urlsplit(target).netloc
        self.lock = threading.Lock()
        self.device = None
        self.befallen = 0
        self.is_refused = None
        self.refusals = 0
        # The curated rows that Firehose has taken, as often as it took each: device and revision.
        self.rows = collections.Counter()
        self.once_taken = None
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.proxy = self
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"

    def befalls(self, devices):
        with self.lock:
            befallen = self.device in devices
            self.befallen += befallen
            return befallen

    def refuses(self, rows):
        with self.lock:
            return self.is_refused is not None and any(map(self.is_refused, rows))

    def counts_refusal(self):
        with self.lock:
            self.refusals += 1
            return self.refusals

    def takes(self, rows):
        with self.lock:
            self.rows.update((row["device_id"], row["revision"]) for row in rows)
            once, self.once_taken = self.once_taken, None
        if once:
            once()

    @contextlib.contextmanager
    def serving(self):
        thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()

    @contextlib.contextmanager
    def throttling_writes_of(self, device):
        with self.lock:
            self.device, self.befallen = device, 0
        try:
            yield self
        finally:
            with self.lock:
                self.device = None

    @contextlib.contextmanager
    def refusing_rows(self, is_refused):
        """Firehose takes no record that holds such a row."""
        with self.lock:
            self.is_refused, self.refusals = is_refused, 0
        try:
            yield self
        finally:
            with self.lock:
                self.is_refused = None

    def when_rows_are_taken(self, do):
        """Does something once, after Firehose took the next rows and before it answers."""
        with self.lock:
            self.once_taken = do
