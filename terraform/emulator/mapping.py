"""The poller between stream and function: our own, since the emulator's overlooks batch item failures."""

import contextlib
import json
import os
import signal

from .failure import Failure, demand
from .world import wait_until


class Mapping:
    """`streamgauge mapping` from the stream to the function's alias, one process at a time."""

    def __init__(self, world, name="checkpoints"):
        self.world = world
        self.checkpoints = world.scratch / f"{name}.json"
        self.log = world.scratch / "mapping.log"

    @contextlib.contextmanager
    def running(self):
        """A process, which does not outlive what is done with it."""
        function = f"{self.world.outputs['aggregator_function_name']}:live"
        arguments = ["--kinesis", self.world.stream, "--function", function, "--checkpoints", self.checkpoints, "--batch-size", 200]
        with self.log.open("ab") as log:
            process = self.world.command("mapping", *arguments, "--format", "json", stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def until(self, what, holds):
        """Runs until something holds, then ends it as an operator does. Gives its summary."""
        with self.running() as process:
            self.wait(process, what, holds)
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=60)
            demand(process.returncode == 0, f"the mapping ended with {process.returncode}")
            return json.loads(said)

    def killed_when(self, what, holds):
        """Runs until something holds, and is killed at once."""
        with self.running() as process:
            self.wait(process, what, holds)
            os.kill(process.pid, signal.SIGKILL)
            demand(process.wait() == -signal.SIGKILL, "the mapping ended by itself")

    def wait(self, process, what, holds):
        try:
            wait_until(what, lambda: process.poll() is not None or holds())
            demand(process.poll() is None, f"the mapping ended with {process.returncode}")
        except Failure as failure:
            raise Failure(f"{self.log.read_text(errors='replace')[-4000:]}\n{failure}") from failure

    def is_done(self):
        """Whether every record that stands in the stream now has been processed."""
        last = {record.shard: record.sequence_number for record in self.world.services.records(self.world.stream)}
        try:
            done = json.loads(self.checkpoints.read_text())["done"]
        except (FileNotFoundError, IsADirectoryError):
            return not last
        return all(int(done.get(shard, 0)) >= int(number) for shard, number in last.items())
