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
import math
import re
import statistics

DEVICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
MAGNITUDE_MAX = 1e100
TOLERANCE_SECONDS = 300

# How far what is shown may lie from the exact value, against the largest magnitude of the device's values.
PRECISION = fractions.Fraction(1, 10**13)


# Medians are exact while the distinct values fit into the sketch, which is for some 250 to 450 decimals; then its rank may
# be off by this much.
DISTINCT_VALUES_EXACT = 200
RANK_ERROR = fractions.Fraction(1, 100)


class Rejected(Exception):
    """A record or reading that can never be counted; its argument is the reason's code."""


Record = collections.namedtuple("Record", "shard sequence_number partition_key data arrived_ns")
Reading = collections.namedtuple("Reading", "device_id instant_ns event_id value")


def instant_ns(text):
    """Nanoseconds since 1970."""
    found = INSTANT.fullmatch(text)
    if not found:
        raise ValueError(text)
    whole = datetime.datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00"))
    seconds = (whole - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(seconds=1)
    return seconds * 10**9 + int((found[2] or "").ljust(9, "0"))


def reading(device_id, members, arrived_ns):
    value = members.get("value")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= MAGNITUDE_MAX:
        raise Rejected("invalid_reading")
    try:
        at = instant_ns(members["timestamp"])
    except (KeyError, TypeError, ValueError):
        raise Rejected("invalid_reading") from None
    if at > arrived_ns + TOLERANCE_SECONDS * 10**9:
        raise Rejected("future_timestamp")
    return Reading(device_id, at, members.get("event_id"), float(value))


def parts(partition_key, data):
    """The device of a record that is no aggregate, and its readings: each one's members, and its payload as a dead letter."""
    try:
        body = json.loads(data.decode())
    except ValueError:
        raise Rejected("malformed_json") from None
    device_id = body.get("device_id") if isinstance(body, dict) else None
    if not isinstance(device_id, str) or not DEVICE_ID.fullmatch(device_id):
        raise Rejected("invalid_reading")
    if device_id != partition_key:
        raise Rejected("partition_key_mismatch")
    if "readings" not in body:
        return device_id, [(body, data)]
    return device_id, [(each, json.dumps({"device_id": device_id, **each}).encode()) for each in body["readings"]]


def canonical(payload):
    """A payload as one of its readings would be written: members in order, numbers alike. What is no JSON, as it is."""
    try:
        return json.dumps(json.loads(payload.decode()), sort_keys=True).encode()
    except ValueError:
        return payload


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
    """What must have become of these records, in this order."""

    def __init__(self, records):
        self.values = collections.defaultdict(dict)
        # (reason, payload) of each dead letter, as often as there must be one of its own.
        self.letters = collections.Counter()
        self.duplicates = 0
        for record in records:
            self.judge(record)

    def judge(self, record):
        try:
            records = unpacked(record.partition_key, record.data)
        except Rejected as rejected:
            self.reject(rejected, record.data)
            return
        for partition_key, data in records:
            try:
                device_id, readings = parts(partition_key, data)
            except Rejected as rejected:
                self.reject(rejected, data)
                continue
            for members, payload in readings:
                try:
                    self.count(reading(device_id, members, record.arrived_ns))
                except Rejected as rejected:
                    self.reject(rejected, payload)

    def reject(self, rejected, payload):
        self.letters[rejected.args[0], canonical(payload)] += 1

    def count(self, each):
        counted = self.values[each.device_id]
        first = counted.setdefault((each.instant_ns, each.event_id), each)
        if first is each:
            return
        if first.value != each.value:
            raise Rejected("conflicting_duplicate")
        self.duplicates += 1

    def total(self):
        """How many readings and dead letters stand in the stream."""
        return sum(map(len, self.values.values())) + self.duplicates + self.letters.total()

    def statistics(self):
        """The exact statistics, by device."""
        return {device: exact(list(counted.values())) for device, counted in self.values.items() if counted}


def exact(counted):
    """The statistics of these readings: each the least and the greatest that it may be."""
    values = sorted(fractions.Fraction(each.value) for each in counted)
    mean = sum(values) / len(values)
    squares = sum((value - mean) ** 2 for value in values)
    instants = [each.instant_ns for each in counted]
    found = {
        "count": len(values),
        "mean": mean,
        "standard_deviation": root(squares / (len(values) - 1)) if len(values) > 1 else None,
        "minimum": values[0],
        "maximum": values[-1],
        "first_timestamp": min(instants),
        "last_timestamp": max(instants),
    }
    return {"median": median(values), **{name: (value, value) for name, value in found.items()}}


def median(values):
    middle = statistics.median(values)
    if len(set(values)) <= DISTINCT_VALUES_EXACT:
        return middle, middle
    reach = math.ceil(RANK_ERROR * len(values))
    return values[(len(values) - 1) // 2 - reach], values[len(values) // 2 + reach]


def root(square):
    """The square root to forty digits."""
    with decimal.localcontext() as context:
        context.prec = 40
        return fractions.Fraction((decimal.Decimal(square.numerator) / decimal.Decimal(square.denominator)).sqrt())


def differences(item, expected):
    """What an item of the table says otherwise than it must, as sentences."""
    slack = PRECISION * max(abs(expected["minimum"][0]), abs(expected["maximum"][0]))
    for name, (least, greatest) in expected.items():
        shown = item.get(name)
        if least is None or shown is None:
            same = least is shown
        elif name.endswith("_timestamp"):
            same = instant_ns(shown) == least
        elif name == "count":
            same = int(shown) == least
        else:
            same = least - slack <= fractions.Fraction(shown) <= greatest + slack
        if not same:
            bounds = sorted({float(bound) if isinstance(bound, fractions.Fraction) else bound for bound in (least, greatest)})
            yield f"{name} is {shown}, and must be {' to '.join(map(str, bounds))}"


def letter_of(body):
    """A dead letter's id, and its reason and payload."""
    letter = json.loads(body)
    return letter["id"], (letter["reason"], canonical(base64.b64decode(letter["payload_base64"])))
