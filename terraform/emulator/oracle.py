"""What must come of a stream's records, worked out from the rules of docs/semantics.md in exact fractions.

It shares no code with the program, and knows no batches, windows or pages: the first reading of an identity counts, in the
order of its shard; the same again is a duplicate; with another value it is a dead letter, as is what is no reading.
"""

import base64
import collections
import datetime
import decimal
import fractions
import hashlib
import json
import re
import statistics

DEVICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
MAGNITUDE_MAX = 1e100
TOLERANCE_SECONDS = 300

# How far what is shown may lie from the exact value, against the largest magnitude of the device's values.
PRECISION = fractions.Fraction(1, 10**13)


class Rejected(Exception):
    """A record or reading that can never be counted; its argument is the reason's code."""


Reading = collections.namedtuple("Reading", "device_id instant_ns event_id value")


def instant_ns(text):
    """Nanoseconds since 1970."""
    found = INSTANT.fullmatch(text)
    if not found:
        raise ValueError(text)
    whole = datetime.datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00"))
    seconds = (whole - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(seconds=1)
    return seconds * 10**9 + int((found[2] or "").ljust(9, "0"))


def reading(device_id, members, now_ns):
    value = members.get("value")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= MAGNITUDE_MAX:
        raise Rejected("invalid_reading")
    try:
        at = instant_ns(members["timestamp"])
    except (KeyError, TypeError, ValueError):
        raise Rejected("invalid_reading") from None
    if at > now_ns + TOLERANCE_SECONDS * 10**9:
        raise Rejected("future_timestamp")
    return Reading(device_id, at, members.get("event_id"), float(value))


def readings(partition_key, data, now_ns):
    """The readings of one record that is no aggregate."""
    try:
        body = json.loads(data.decode())
    except ValueError:
        raise Rejected("malformed_json") from None
    device_id = body.get("device_id") if isinstance(body, dict) else None
    if not isinstance(device_id, str) or not DEVICE_ID.fullmatch(device_id):
        raise Rejected("invalid_reading")
    if device_id != partition_key:
        raise Rejected("partition_key_mismatch")
    return [reading(device_id, members, now_ns) for members in body.get("readings", [body])]


def varint(data, at):
    number, shift = 0, 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def fields(message):
    """The fields of a protobuf message that has numbers and byte strings alone."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        content, at = varint(message, at)
        if tag & 7 == 2:
            content, at = message[at:at + content], at + content
        yield tag >> 3, content


AGGREGATE = b"\xf3\x89\x9a\xc2"


def unpacked(partition_key, data):
    """The records that a record holds: itself, or those of a KPL aggregate, each with its own partition key."""
    if not data.startswith(AGGREGATE):
        return [(partition_key, data)]
    message = data[len(AGGREGATE):-16]
    if hashlib.md5(message, usedforsecurity=False).digest() != data[-16:]:
        raise Rejected("bad_aggregate")
    keys = [content.decode() for number, content in fields(message) if number == 1]
    records = [dict(fields(content)) for number, content in fields(message) if number == 3]
    return [(keys[record[1]], record[3]) for record in records]


class Oracle:
    """What must have become of `records`, as `Services.records` gives them."""

    def __init__(self, records, now_ns):
        self.values = collections.defaultdict(dict)
        # (reason, payload) of each dead letter, as often as there must be one of its own.
        self.letters = collections.Counter()
        self.duplicates = 0
        for _, _, partition_key, data in records:
            self.judge(partition_key, data, now_ns)

    def judge(self, partition_key, data, now_ns):
        try:
            parts = unpacked(partition_key, data)
        except Rejected as rejected:
            self.letters[rejected.args[0], data] += 1
            return
        for key, part in parts:
            try:
                for each in readings(key, part, now_ns):
                    self.count(each, part)
            except Rejected as rejected:
                self.letters[rejected.args[0], part] += 1

    def count(self, each, data):
        counted = self.values[each.device_id]
        first = counted.setdefault((each.instant_ns, each.event_id), each)
        if first is each:
            return
        if first.value == each.value:
            self.duplicates += 1
        else:
            self.letters["conflicting_duplicate", data] += 1

    def total(self):
        """How many readings and dead letters stand in the stream."""
        return sum(map(len, self.values.values())) + self.duplicates + self.letters.total()

    def statistics(self):
        """The exact statistics, by device."""
        return {device: exact(list(counted.values())) for device, counted in self.values.items() if counted}


def exact(counted):
    values = [fractions.Fraction(each.value) for each in counted]
    mean = sum(values) / len(values)
    squares = sum((value - mean) ** 2 for value in values)
    instants = [each.instant_ns for each in counted]
    return {
        "count": len(values),
        "mean": mean,
        "median": statistics.median(values),
        "standard_deviation": root(squares / (len(values) - 1)) if len(values) > 1 else None,
        "minimum": min(values),
        "maximum": max(values),
        "first_timestamp": min(instants),
        "last_timestamp": max(instants),
    }


def root(square):
    """The square root to forty digits."""
    with decimal.localcontext() as context:
        context.prec = 40
        return fractions.Fraction((decimal.Decimal(square.numerator) / decimal.Decimal(square.denominator)).sqrt())


def differences(item, expected):
    """What an item of the table says otherwise than it must, as sentences."""
    scale = max(abs(expected["minimum"]), abs(expected["maximum"]))
    for name, value in expected.items():
        shown = item.get(name)
        if value is None or shown is None:
            same = value is shown
        elif name.endswith("_timestamp"):
            same = instant_ns(shown) == value
        elif name == "count":
            same = int(shown) == value
        else:
            same = abs(fractions.Fraction(shown) - value) <= PRECISION * scale
        if not same:
            yield f"{name} is {shown}, and must be {float(value) if isinstance(value, fractions.Fraction) else value}"


def letter_of(body):
    """A dead letter's id, and its reason and payload."""
    letter = json.loads(body)
    return letter["id"], (letter["reason"], base64.b64decode(letter["payload_base64"]))
