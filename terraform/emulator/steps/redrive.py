"""Mends the dead letters by `streamgauge dlq`, as docs/operations.md says, sends them again, and compares with the oracle."""

import base64
import json
import subprocess
import time

from ..failure import demand
from ..mapping import Mapping
from . import count
from .send import DEVICE, VALUES, reading

# The values that the mended letters bring: of another partition key, mended by `--set`, and by hand.
MENDED = (41, 42, 36, 5, 50)
SHARD_RECORDS = 5


def dlq(world, command, *arguments, code=0, text=""):
    """The lines that a command prints."""
    queue = ("--queue-url", world.outputs["dead_letter_queue_url"])
    of_the_stack = (*queue, "--stream", world.stream, "--archive-bucket", world.outputs["archive_bucket_name"])
    process = world.command("dlq", command, *arguments, *of_the_stack, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    said, complaint = process.communicate(text)
    demand(process.returncode == code, f"dlq {command} ended with {process.returncode}: {complaint}{said}")
    return said


def letters(world, *arguments):
    return json.loads(dlq(world, "list", "--limit", 1000, "--format", "json", *arguments))


def give_up(world):
    """An object as Lambda writes it where it gives a batch up, of records that were counted."""
    standing = world.services.records(world.stream)
    shard = standing[0].shard
    records = [record for record in standing if record.shard == shard][:SHARD_RECORDS]
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    event = [
        {"kinesis": {"partitionKey": record.partition_key, "data": base64.b64encode(record.data).decode()}} for record in records
    ]
    batch = {
        "shardId": shard,
        "startSequenceNumber": records[0].sequence_number,
        "endSequenceNumber": records[-1].sequence_number,
        "approximateArrivalOfFirstRecord": now,
        "approximateArrivalOfLastRecord": now,
        "batchSize": len(records),
        "streamArn": f"arn:aws:kinesis:eu-central-1:000000000000:stream/{world.stream}",
    }
    record = {"version": "1.0", "timestamp": now, "KinesisBatchInfo": batch, "payload": json.dumps({"Records": event})}
    key = f"aws/lambda/trial/{shard}/{now[:10].replace('-', '/')}/{now.replace(':', '.')}-trial"
    bucket = world.outputs["archive_bucket_name"]
    world.services.request("s3", "PUT", f"/{bucket}/{key}", {}, json.dumps(record).encode())


def mend(world):
    """Every letter by the commands of its reason; what cannot be mended is purged."""
    dlq(world, "redrive", "--apply", "--reason", "partition_key_mismatch")
    for reason, member in [
        ("invalid_reading", "value=42"),
        ("conflicting_duplicate", "event_id=second"),
        ("future_timestamp", "timestamp=2026-01-01T00:05:00Z"),
    ]:
        dlq(world, "redrive", "--apply", "--reason", reason, "--device", DEVICE, "--set", member)
    aggregate = letters(world, "--reason", "bad_aggregate")[0]["id"]
    by_hand = {"id": aggregate, "body": {"readings": [reading(6, MENDED[-1])]}}
    dlq(world, "import", "-", "--apply", text=json.dumps(by_hand) + "\n")
    dlq(world, "purge", world.scratch / "malformed.jsonl", "--reason", "malformed_json", "--yes")
    # Those of the documented example, whose other value stands.
    dlq(world, "purge", world.scratch / "conflicting.jsonl", "--reason", "conflicting_duplicate", "--yes")
    dlq(world, "purge", world.scratch / "unreadable.jsonl", "--reason", "unreadable", "--yes")


def run(world):
    before = letters(world)
    demand(before == letters(world), "looking at the dead letters changed them")
    mend(world)
    left = letters(world)
    demand(not left, f"dead letters are left: {[letter['reason'] for letter in left]}")
    mapping = Mapping(world)
    mapping.until("what was mended is counted", mapping.is_done)
    count.demand_equality(world, world.oracle())
    counted = int(world.statistics()[DEVICE]["count"])
    demand(counted == len(VALUES) + len(MENDED), f"{DEVICE} has {counted} readings, and must have {len(VALUES) + len(MENDED)}")

    give_up(world)
    table = world.statistics()
    demand([letter["reason"] for letter in letters(world)] == ["lambda_failure"], "what Lambda gave up is not listed")
    dlq(world, "redrive", "--apply", "--reason", "lambda_failure")
    mapping.until("what Lambda gave up is there again", mapping.is_done)
    changed = sorted(device for device, item in world.statistics().items() if item != table.get(device))
    demand(not changed, f"what was counted before was counted again: {', '.join(changed)}")
    demand(not letters(world), "letters are left that went")
    return f"{len(before)} letters looked at, {len(MENDED)} mended and counted, the others purged; what Lambda gave up counts once"
