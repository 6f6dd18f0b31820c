"""A pipeline to look at, and what was found of it."""

import json
import os
import pathlib
import queue
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request


class Results:
    def __init__(self):
        self.passed, self.failed = 0, 0

    def check(self, fact, holds, detail=""):
        self.passed, self.failed = self.passed + bool(holds), self.failed + (not holds)
        print(f"{'ok    ' if holds else 'FAILED'} {fact}{'' if holds else f': {detail}'}", flush=True)


class Pipeline:
    """One `streamgauge up`, ended by its own process id."""

    def __init__(self, binary, data_dir, *flags, port=0):
        command = [binary, "up", "--port", str(port), "--data-dir", data_dir, *flags]
        self.binary = binary
        self.log_path = pathlib.Path(data_dir).parent / "up.log"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.ready = json.loads(self.lines.get(timeout=30))
        except (queue.Empty, ValueError) as error:
            self.process.kill()
            raise RuntimeError(f"no ready line from {command}: {self.log_path.read_text()[-2000:]}") from error
        self.ingest, self.key = self.ready["ingest"], pathlib.Path(self.ready["api_key_file"]).read_text().strip()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)

    def call(self, path, body=None, key=True):
        headers = {"content-type": "application/json"} | ({"x-api-key": self.key} if key else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.ingest + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, None

    def post(self, device, second, value):
        return self.call("/data", {"device_id": device, "timestamp": f"2024-05-01T10:00:{second:02}Z", "value": value})[0]

    def put(self, payload, partition_key="somebody"):
        """Puts bytes into the stream, past the front door."""
        headers = {"content-type": "application/octet-stream", "x-api-key": self.key}
        url = f"{self.ingest}/stream/records?partition_key={partition_key}"
        with urllib.request.urlopen(urllib.request.Request(url, payload, headers), timeout=30) as response:
            return response.status

    def command(self, *arguments, timeout=120):
        """Runs the command line against this pipeline: its exit code and what it printed."""
        environment = os.environ | {"STREAMGAUGE_API_KEY": self.key}
        done = subprocess.run([self.binary, *arguments, "--endpoint", self.ingest], capture_output=True, text=True,
                              env=environment, timeout=timeout)
        return done.returncode, done.stdout

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def eventually(probe, seconds=15.0, every=0.05):
    """The first true value of `probe`, or its last value when none came in time."""
    deadline = time.monotonic() + seconds
    while not (value := probe()) and time.monotonic() < deadline:
        time.sleep(every)
    return value
