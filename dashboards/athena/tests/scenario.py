"""What a fleet posts in the tests: every form of a body, timestamps of every form, copies, conflicts, late and hostile ones."""

import datetime
import json
import random

from oracle import Posted


def stamp(at, nanoseconds=0):
    return f"{at:%Y-%m-%dT%H:%M:%S}" + (f".{nanoseconds:09}" if nanoseconds else "") + "Z"


class Scenario:
    """`posts` are (path, body) in order; `posted` are the good readings in them, in the same order; `hostile` are bodies that
    hold no reading, put past the front door, each with its device where it names a valid one; `refused` are readings in form
    that become dead letters, as (partition key, body, readings)."""

    def __init__(self, now, seed=1):
        self.now = now.replace(microsecond=0)
        self.random = random.Random(seed)
        self.posts, self.posted, self.hostile, self.refused = [], [], [], []
        self.worked_example()
        self.fleet()
        self.copies_and_conflicts()
        self.instants()
        self.late_and_silent()
        self.hostile_bodies()
        self.refused_readings()

    def ago(self, **time):
        return self.now - datetime.timedelta(**time)

    def single(self, reading, **others):
        body = {"device_id": reading.device_id, "timestamp": reading.timestamp, "value": reading.value, **others}
        if reading.event_id is not None:
            body["event_id"] = reading.event_id
        self.posts.append(("/data", json.dumps(body)))
        self.posted.append(reading)

    def series(self, device_id, readings):
        items = [{"timestamp": reading.timestamp, "value": reading.value} | ({"event_id": reading.event_id} if reading.event_id else {}) for reading in readings]
        self.posts.append(("/data/series", json.dumps({"device_id": device_id, "readings": items})))
        self.posted += readings

    def batch(self, readings):
        items = [{"device_id": reading.device_id, "timestamp": reading.timestamp, "value": reading.value} for reading in readings]
        self.posts.append(("/data/batch", json.dumps({"readings": items})))
        self.posted += readings

    def worked_example(self):
        for second, value in enumerate((35.0, 40.0, 123.0)):
            self.single(Posted("first", stamp(self.ago(minutes=30) + datetime.timedelta(seconds=second)), value))

    def fleet(self):
        """Twelve devices with a reading every ten seconds, one that stands out in each, in series."""
        for number in range(12):
            device, level = f"fleet-{number:02}", 20.0 + number
            readings = [
                Posted(device, stamp(self.ago(minutes=40) + datetime.timedelta(seconds=10 * index)), round(self.random.gauss(level, 1.5), 3))
                for index in range(120)
            ]
            readings[100] = Posted(device, readings[100].timestamp, level + 1000.0)
            self.series(device, readings[:70])
            self.series(device, readings[70:])

    def copies_and_conflicts(self):
        """A device that retries, alone and in series and batches; and one whose second value for an instant differs."""
        first = [Posted("retrying", stamp(self.ago(minutes=20) + datetime.timedelta(seconds=index)), float(index)) for index in range(10)]
        self.series("retrying", first)
        self.series("retrying", first)
        self.single(first[3])
        self.batch(first[5:8])
        at = stamp(self.ago(minutes=15))
        # The first is neither the least nor the greatest, so that no order by value finds it.
        for value in (5.0, 7.0, 5.0, 3.0):
            self.single(Posted("contradicting", at, value))

    def instants(self):
        """One instant written in several ways is one; a nanosecond or an event_id apart are two."""
        at = self.ago(minutes=10)
        elsewhere = at + datetime.timedelta(hours=5, minutes=30)
        self.single(Posted("clocks", stamp(at), 1.0))
        self.single(Posted("clocks", f"{elsewhere:%Y-%m-%dT%H:%M:%S}.000+05:30", 1.0))
        self.single(Posted("clocks", f"{at:%Y-%m-%dt%H:%M:%S}z", 1.0))
        self.single(Posted("clocks", stamp(at, 1), 2.0), unit="°C", note="\u0001 é 😀")
        self.single(Posted("clocks", stamp(at, 123456789), 4.0))
        self.single(Posted("clocks", stamp(at), 8.0, "second"))
        self.single(Posted("clocks", stamp(at), 8.0, "second"))
        self.single(Posted("clocks", "1969-12-31T23:59:59.5Z", -16.25))
        self.single(Posted("clocks", "2024-02-29T23:59:59-23:59", 1e-3))

    def late_and_silent(self):
        self.series("late", [Posted("late", stamp(self.ago(days=3) + datetime.timedelta(minutes=index)), 100.0 + index) for index in range(5)])
        self.single(Posted("late", stamp(self.ago(seconds=5)), 200.0))
        self.single(Posted("silent", stamp(self.ago(hours=5)), 1.5))
        # Of the hour before, but not late by an hour.
        self.single(Posted("late", stamp(self.now.replace(minute=0, second=0) - datetime.timedelta(minutes=10)), 1.0))

    def hostile_bodies(self):
        at = stamp(self.ago(minutes=5))
        good = f'"timestamp":"{at}","value":1'
        self.hostile = [
            (None, b"not json"),
            (None, b"\xff\xfe\xfd"),
            (None, b"[]"),
            (None, b"5"),
            (None, b"null"),
            (None, f'{{"device_id":"hostile",{good}}} and more'.encode()),
            (None, f'{{"device_id":7,{good}}}'.encode()),
            (None, f'{{"device_id":"-hostile",{good}}}'.encode()),
            ("hostile", b'{"device_id":"hostile"}'),
            ("hostile", f'{{"device_id":"hostile","timestamp":"{at}","value":"1"}}'.encode()),
            ("hostile", f'{{"device_id":"hostile","timestamp":"{at}","value":1e101}}'.encode()),
            ("hostile", b'{"device_id":"hostile","timestamp":"2026-02-30T00:00:00Z","value":1}'),
            ("hostile", b'{"device_id":"hostile","timestamp":"2026-01-01T00:00:60Z","value":1}'),
            ("hostile", b'{"device_id":"hostile","timestamp":"2026-01-01T24:00:00Z","value":1}'),
            ("hostile", b'{"device_id":"hostile","timestamp":"2026-01-01 00:00:00","value":1}'),
            ("hostile", b'{"device_id":"hostile","timestamp":1767225600,"value":1}'),
            ("hostile", f'{{"device_id":"hostile",{good},"event_id":null}}'.encode()),
            ("hostile", f'{{"device_id":"hostile",{good},"event_id":"a b"}}'.encode()),
            ("hostile", f'{{"device_id":"hostile",{good},"readings":[{{{good}}}]}}'.encode()),
            ("hostile", b'{"device_id":"hostile","readings":[]}'),
            ("hostile", f'{{"device_id":"hostile","readings":[{{"device_id":"other",{good}}}]}}'.encode()),
            ("hostile", f'{{"device_id":"hostile","timestamp":"{stamp(self.now + datetime.timedelta(hours=3))}","value":1}}'.encode()),
        ]

    def refused_readings(self):
        """Under another device's key, alone and in a series; and ahead of its time by less than the hour of arrival shows."""
        at = self.ago(minutes=3)
        single = Posted("misdirected", stamp(at), 1.0)
        series = [Posted("misdirected", stamp(at + datetime.timedelta(seconds=second)), 2.0) for second in (1, 2)]
        # The archive tells the hour of arrival alone: to its readers, all within five minutes of its end may have been in time.
        early = Posted("first", stamp(self.now.replace(minute=0, second=0) + datetime.timedelta(minutes=65)), 1e6)
        for reading, key in ((single, "nobody"), (early, "first")):
            self.refused.append((key, json.dumps({"device_id": reading.device_id, "timestamp": reading.timestamp, "value": reading.value}), [reading]))
        items = [{"timestamp": reading.timestamp, "value": reading.value} for reading in series]
        self.refused.append(("nobody", json.dumps({"device_id": "misdirected", "readings": items}), series))
