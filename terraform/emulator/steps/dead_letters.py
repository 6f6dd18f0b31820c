"""Looks for every dead letter in the queue and in the archive, and for nothing else."""

import collections
import json

from ..failure import demand
from ..oracle import letter_of


def described(letters):
    return ", ".join(f"{count} {reason}" for reason, count in sorted(letters.items())) or "none"


def by_reason(letters):
    return collections.Counter(reason for reason, _ in letters.elements())


def demand_letters(where, found, expected):
    """Each letter by its id: it may be there twice, when its record was delivered twice."""
    letters = collections.Counter(found.values())
    demand(letters == expected, f"{where} are {described(by_reason(letters))}, and must be {described(by_reason(expected))}; or their payloads are not what was sent")


def is_test(body):
    """S3 says so once to a queue that is to be told of objects, when it is configured."""
    return json.loads(body).get("Event") == "s3:TestEvent"


def in_queue(world):
    """The messages of dead letters: body, and attributes."""
    return [message for message in world.services.messages(world.outputs["dead_letter_queue_url"]) if not is_test(message[0])]


def run(world):
    expected = world.oracle().letters
    messages = in_queue(world)
    queued = dict(letter_of(body) for body, _ in messages)
    demand_letters("the queue's dead letters", queued, expected)
    for body, attributes in messages:
        reason = letter_of(body)[1][0]
        demand(attributes.get("reason") == reason, f"a message says {attributes.get('reason')} where its letter says {reason}")
    bucket = world.outputs["archive_bucket_name"]
    objects = [world.services.object(bucket, key) for key in world.services.keys(bucket, "dead-letters/")]
    archived = dict(letter_of(line) for lines in objects for line in lines.splitlines())
    demand_letters("the archive's dead letters", archived, expected)
    demand(archived == queued, "queue and archive hold other dead letters")
    return f"{described(by_reason(expected))}; {len(messages)} messages, for each was delivered more than once"
