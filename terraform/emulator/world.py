"""What every step works with."""

import dataclasses
import json
import pathlib
import subprocess
import time

from .failure import Failure, demand
from .ministack import variables_without_accounts
from .oracle import Oracle
from .proxy import Proxy
from .services import Services
from .stack import REGION


@dataclasses.dataclass
class World:
    """The stack that was applied, and the ways to it."""

    scratch: pathlib.Path
    endpoint: str
    streamgauge: pathlib.Path
    services: Services
    proxy: Proxy
    cargo_lambda: pathlib.Path
    outputs: dict
    devices: int
    readings: int

    @property
    def variables(self):
        """What `streamgauge`, or any tool of AWS's, needs to reach the emulator."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ENDPOINT_URL_KINESIS": self.proxy.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def stream(self):
        return self.outputs["stream_name"]

    @property
    def table(self):
        return self.outputs["table_name"]

    def command(self, *arguments, **options):
        """A process of `streamgauge`."""
        return self.process(self.streamgauge, *arguments, **options)

    def process(self, *command, **options):
        """A process that finds the emulator as it would find AWS."""
        variables = {**variables_without_accounts(), **self.variables}
        return subprocess.Popen([str(part) for part in command], env=variables, stdout=subprocess.PIPE, text=True, **options)

    def run(self, *arguments, text=""):
        """What `streamgauge` prints as JSON."""
        process = self.command(*arguments, "--format", "json", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        said, complaint = process.communicate(text)
        demand(process.returncode == 0, f"streamgauge {arguments[0]} ended with {process.returncode}: {complaint}{said}")
        return json.loads(said)

    def oracle(self):
        """What must come of what stands in the stream now."""
        return Oracle(self.services.records(self.stream))

    def statistics(self):
        """The table's statistics, by device."""
        items = self.services.items(self.table)
        return {item["device_id"]: item for item in items if item["item"] == "statistics"}


def wait_until(what, holds, seconds=120):
    """Waits for what is on its way."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(0.2)
