"""Has the function handle the sample events, as `cargo lambda invoke` sends them to a function that is deployed."""

import base64
import json

from ..failure import demand
from ..oracle import Oracle, Record, letter_of
from ..tools import ROOT
from . import count, dead_letters

EVENTS = ROOT / "consumers/aggregator/events"


def records(event):
    """The records of an event, as the oracle takes them."""
    for kinesis in (record["kinesis"] for record in event["Records"]):
        arrived_ns = int(kinesis["approximateArrivalTimestamp"] * 10**9)
        yield Record("", kinesis["sequenceNumber"], kinesis["partitionKey"], base64.b64decode(kinesis["data"]), arrived_ns)


def invoke(world, path):
    flags = ["--remote", "--alias", "live", "--endpoint-url", world.endpoint, "--data-file", path]
    name = world.outputs["aggregator_function_name"]
    process = world.process(world.cargo_lambda, "lambda", "invoke", *flags, name)
    said, _ = process.communicate()
    demand(process.returncode == 0, f"cargo lambda invoke ended with {process.returncode} for {path.name}: {said}")
    demand(json.loads(said) == {"batchItemFailures": []}, f"the function answers {path.name} with {said.strip()}")


def run(world):
    sent, paths = world.services.records(world.stream), sorted(EVENTS.glob("*.json"))
    for path in paths:
        invoke(world, path)
        sent += records(json.loads(path.read_text()))
    oracle = Oracle(sent)
    count.demand_equality(world, oracle)
    # What stood there before is redriven. As a set: samples of one sequence number have dead letters of one id.
    found, expected = {letter_of(body)[1] for body, _ in dead_letters.in_queue(world)}, set(oracle.letters - world.oracle().letters)
    demand(found == expected, f"{len(found - expected)} dead letters stand in the queue that must not, and {len(expected - found)} are missing")
    return f"{len(paths)} events, {sum(len(json.loads(path.read_text())['Records']) for path in paths)} records"
