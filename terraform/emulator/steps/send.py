"""Puts into the stream: the worked example, the same again, a fleet in both packings, and what can never be counted."""

import json
import time

from ..failure import demand
from ..oracle import AGGREGATE

DEVICE = "worked-example"
VALUES = (35, 40, 123)

# More than a window holds, so that pages of the ledger are written.
LONG = "long-history"
LONG_READINGS = 400


def reading(minute, value, device=DEVICE, timestamp=None):
    return {"device_id": device, "timestamp": timestamp or f"2026-01-01T00:{minute:02}:00Z", "value": value}


def encoded(body):
    return json.dumps(body).encode()


def poison():
    """(partition key, data, reason) of records that are dead letters, each for a reason of its own."""
    in_an_hour = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    return [
        (DEVICE, b"not a reading", "malformed_json"),
        (DEVICE, b'{"device_id":"\xff"}', "malformed_json"),
        (DEVICE, encoded(reading(3, "warm")), "invalid_reading"),
        (DEVICE, encoded(reading(0, 36)), "conflicting_duplicate"),
        (DEVICE, encoded(reading(0, 5, timestamp=in_an_hour)), "future_timestamp"),
        ("another-device", encoded(reading(4, 41)), "partition_key_mismatch"),
        (DEVICE, AGGREGATE + b"torn", "bad_aggregate"),
    ]


def accepted(world, *arguments, **options):
    """How many readings `send --kinesis` put into the stream; all of them, or it fails."""
    return world.run("send", "--kinesis", world.stream, *arguments, **options)["accepted"]


def fleet(world, seed, *arguments):
    return accepted(world, "--devices", world.devices, "--readings", world.readings, "--batch", 20, "--seed", seed, *arguments)


def long_history(world):
    instants = (f"2026-01-02T{minute // 60:02}:{minute % 60:02}:00Z" for minute in range(LONG_READINGS))
    lines = "".join(json.dumps(reading(0, at % 7, LONG, instant)) + "\n" for at, instant in enumerate(instants))
    return accepted(world, "--jsonl", "-", "--batch", 100, text=lines)


def run(world):
    lines = "".join(json.dumps(reading(minute, value)) + "\n" for minute, value in enumerate(VALUES))
    put, before = 0, world.oracle()
    for _ in range(2):
        # The second time with new sequence numbers, as a sender does that never saw the first answer.
        put += accepted(world, "--jsonl", "-", "--batch", 1, text=lines)
    put += fleet(world, 1)
    put += fleet(world, 2, "--aggregate")
    put += long_history(world)
    oracle = world.oracle()
    standing = oracle.total() - before.total()
    demand(standing == put, f"{put} readings were put into the stream, and {standing} stand in it")
    bad = poison()
    for partition_key, data, _ in bad:
        world.services.put_record(world.stream, partition_key, data)
    reasons = sorted(reason for reason, _ in (world.oracle().letters - oracle.letters).elements())
    demand(reasons == sorted(reason for *_, reason in bad), f"the oracle takes what can't be counted for {reasons}")
    return f"{put} readings, of which {oracle.duplicates - before.duplicates} twice, and {len(bad)} records that can never be counted"
