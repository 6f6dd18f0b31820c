"""What the answers have to be, computed from what was posted, without SQL and without the program.

A `Posted` is one reading of one body, in the order of arrival. The oracle keeps the rules of docs/semantics.md in the simplest
way: a dictionary of identities.
"""

import collections
import dataclasses
import datetime
import fractions
import re
import statistics

RFC_3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))")
EPOCH = datetime.datetime(1970, 1, 1)


@dataclasses.dataclass(frozen=True)
class Posted:
    device_id: str
    timestamp: str
    value: float
    event_id: str | None = None


def instant(timestamp):
    """(whole seconds since the epoch, nanoseconds within the second)."""
    year, month, day, hour, minute, second, fraction, zulu, sign, hours, minutes = RFC_3339.fullmatch(timestamp).groups()
    local = datetime.datetime(int(year), int(month), int(day), int(hour), int(minute), int(second)) - EPOCH
    offset = 0 if zulu else (int(hours) * 3600 + int(minutes) * 60) * (-1 if sign == "-" else 1)
    return local.days * 86400 + local.seconds - offset, int((fraction or "").ljust(9, "0"))


def device_time(timestamp):
    """The instant in UTC, to the millisecond, rounded down."""
    seconds, nanoseconds = instant(timestamp)
    return EPOCH + datetime.timedelta(seconds=seconds, milliseconds=nanoseconds // 1_000_000)


def identity(posted):
    return (posted.device_id, *instant(posted.timestamp), posted.event_id)


def readings(posted):
    """Identity -> (the reading that stands, copies, whether their values differ)."""
    copies = collections.defaultdict(list)
    for reading in posted:
        copies[identity(reading)].append(reading)
    return {name: (found[0], len(found), len({reading.value for reading in found}) > 1) for name, found in copies.items()}


def exact_mean(values):
    return float(sum(map(fractions.Fraction, values)) / len(values))


def exact_deviation(values):
    return statistics.stdev(map(fractions.Fraction, values)) if len(values) > 1 else None


def device_statistics(posted):
    """Device -> the statistics of its readings, each once."""
    devices = collections.defaultdict(list)
    for reading, _, _ in readings(posted).values():
        devices[reading.device_id].append(reading)
    return {
        device: {
            "count": len(found),
            "mean": exact_mean([reading.value for reading in found]),
            "median": statistics.median(reading.value for reading in found),
            "standard_deviation": exact_deviation([reading.value for reading in found]),
            "minimum": min(reading.value for reading in found),
            "maximum": max(reading.value for reading in found),
            "first_timestamp": min(device_time(reading.timestamp) for reading in found),
            "last_timestamp": max(device_time(reading.timestamp) for reading in found),
        }
        for device, found in devices.items()
    }


def per_minute(posted):
    """Minute of the devices' clocks -> the values read in it."""
    minutes = collections.defaultdict(list)
    for reading, _, _ in readings(posted).values():
        minutes[device_time(reading.timestamp).replace(second=0, microsecond=0)].append(reading.value)
    return minutes
