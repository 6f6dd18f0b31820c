"""The example of docs/analytics.md on one machine: its readings, sent twice as it says, and the answers that it prints.

STREAMGAUGE_BINARY names the program. The trial of the stack (terraform/emulator/steps/example.py) holds the same of Athena.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

ATHENA = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ATHENA.parents[1] / "terraform"))

from emulator import documented
from emulator.steps.example import demand_as_printed


def send_twice(binary, data, readings):
    """Into a pipeline over this data directory, which is ended in order, so that everything is written."""
    up = subprocess.Popen([binary, "up", "--port", "0", "--data-dir", data], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        ready = json.loads(up.stdout.readline())
        command = [binary, "send", "--endpoint", ready["ingest"], "--api-key-file", ready["api_key_file"], "--jsonl", readings]
        for _ in range(2):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    finally:
        up.send_signal(signal.SIGTERM)
        up.communicate(timeout=60)


class Documented(unittest.TestCase):
    def test_each_question_is_answered_as_it_is_printed(self):
        with tempfile.TemporaryDirectory(prefix="streamgauge-documented-") as directory:
            data, readings = pathlib.Path(directory) / "data", pathlib.Path(directory) / "readings.jsonl"
            readings.write_text(documented.readings())
            send_twice(os.environ["STREAMGAUGE_BINARY"], data, readings)
            for question, printed in documented.answers().items():
                command = [sys.executable, ATHENA / "ask.py", "--data-dir", data, "--format", "json", question]
                answered = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
                demand_as_printed(question, answered, printed)


if __name__ == "__main__":
    unittest.main()
