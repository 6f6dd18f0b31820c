"""The oracle's own tests: what it demands is worked out by hand here."""

import collections
import hashlib
import json
import time
import unittest

from emulator import oracle
from emulator.steps import send

NOW_NS = 1_767_225_600 * 10**9  # 2026-01-01T00:00:00Z


def reading(value, second=0, device="pump", **members):
    return json.dumps({"device_id": device, "timestamp": f"2025-12-31T00:00:{second:02}Z", "value": value, **members}).encode()


def judged(*records, now_ns=NOW_NS):
    """The oracle of records given as (partition key, data)."""
    return oracle.Oracle([oracle.Record("shard", str(number), *record, now_ns) for number, record in enumerate(records)])


def reasons(*records):
    return [reason for reason, _ in judged(*records).letters.elements()]


def item(**changed):
    shown = {
        "count": "3", "mean": "66", "median": "40", "standard_deviation": "49.426713425029586", "minimum": "35", "maximum": "123",
        "first_timestamp": "2025-12-31T00:00:00Z", "last_timestamp": "2025-12-31T00:00:02.000Z",
    }
    return {**shown, **changed}


class Statistics(unittest.TestCase):
    def expected(self):
        return judged(*(("pump", reading(value, second)) for second, value in enumerate((35, 40, 123)))).statistics()["pump"]

    def test_the_worked_example_is_taken_for_right(self):
        self.assertEqual(list(oracle.differences(item(), self.expected())), [])

    def test_each_wrong_member_is_seen(self):
        wrong = {
            "count": "4", "mean": "66.00000000002", "median": "41", "standard_deviation": "49.4267134251", "minimum": "35.1",
            "maximum": "122", "first_timestamp": "2025-12-31T00:00:00.000000001Z", "last_timestamp": "2025-12-31T00:00:01Z",
        }
        for name, value in wrong.items():
            for shown in (value, None):
                found = list(oracle.differences(item(**{name: shown}), self.expected()))
                self.assertEqual([difference.split()[0] for difference in found], [name])

    def test_one_reading_has_no_standard_deviation(self):
        expected = judged(("pump", reading(5))).statistics()["pump"]
        self.assertEqual(expected["standard_deviation"], (None, None))
        shown = {name: "5" for name in ("mean", "median", "minimum", "maximum", "standard_deviation")} | {"count": "1"}
        shown |= {"first_timestamp": "2025-12-31T00:00:00Z", "last_timestamp": "2025-12-31T01:00:00+01:00"}
        self.assertEqual(len(list(oracle.differences(shown, expected))), 1)

    def test_an_even_count_has_the_mean_of_the_middle_two(self):
        records = [("pump", reading(value, second)) for second, value in enumerate((1, 8, 2, 4))]
        self.assertEqual(judged(*records).statistics()["pump"]["median"], (3, 3))


    def test_a_median_of_many_values_may_be_off_by_one_hundredth_of_the_rank(self):
        series = [{"timestamp": f"2025-12-31T00:{number // 60:02}:{number % 60:02}Z", "value": number} for number in range(1, 402)]
        expected = judged(("pump", json.dumps({"device_id": "pump", "readings": series}).encode())).statistics()["pump"]
        self.assertEqual(expected["median"], (201 - 5, 201 + 5))


class Identity(unittest.TestCase):
    def test_the_same_again_counts_once_however_it_is_written(self):
        again = b'{"value":5.0,"timestamp":"2025-12-31T02:00:00.000+02:00","device_id":"pump"}'
        found = judged(("pump", reading(5)), ("pump", again))
        self.assertEqual((found.statistics()["pump"]["count"][0], found.duplicates, found.letters.total()), (1, 1, 0))

    def test_another_value_is_a_dead_letter_and_the_first_stands(self):
        found = judged(("pump", reading(5)), ("pump", reading(6)))
        self.assertEqual(found.letters, {("conflicting_duplicate", oracle.canonical(reading(6))): 1})
        self.assertEqual(found.statistics()["pump"]["mean"], (5, 5))

    def test_another_event_id_is_another_reading(self):
        found = judged(("pump", reading(5)), ("pump", reading(6, event_id="a")), ("pump", reading(7, event_id="b")))
        self.assertEqual(found.statistics()["pump"]["count"], (3, 3))

    def test_everything_that_stands_in_the_stream_is_accounted_for(self):
        series = {"device_id": "pump", "readings": [{"timestamp": f"2025-12-31T00:00:{second}Z", "value": 5} for second in (10, 11, 10)]}
        found = judged(("pump", json.dumps(series).encode()), ("pump", b"?"), ("pump", reading(6, 10)))
        self.assertEqual((found.total(), found.duplicates, found.letters.total()), (5, 1, 2))


class Rejects(unittest.TestCase):
    def test_a_bad_reading_of_a_series_stands_alone_as_a_body_of_its_own(self):
        good, bad = {"timestamp": "2025-12-31T00:00:00Z", "value": 5}, {"timestamp": "2025-12-31T00:00:01Z", "value": None}
        found = judged(("pump", json.dumps({"device_id": "pump", "readings": [good, bad]}).encode()))
        self.assertEqual(found.statistics()["pump"]["count"], (1, 1))
        self.assertEqual(found.letters, {("invalid_reading", oracle.canonical(json.dumps({"device_id": "pump", **bad}).encode())): 1})

    def test_every_poison_record_has_the_reason_that_it_is_sent_for(self):
        first = [(send.DEVICE, json.dumps(send.reading(0, 35)).encode())]
        poison = send.poison()
        found = judged(*first, *((key, data) for key, data, _ in poison), now_ns=time.time_ns())
        self.assertEqual(found.letters, collections.Counter((reason, oracle.canonical(data)) for _, data, reason in poison))

    def test_what_is_no_reading_is_rejected(self):
        for members in ({"value": True}, {"value": "5"}, {"value": 1e101}, {"timestamp": "2025-02-30T00:00:00Z"}, {"timestamp": 5}, {"device_id": "-pump"}):
            body = {"device_id": "pump", "timestamp": "2025-12-31T00:00:00Z", "value": 5} | members
            self.assertEqual(reasons(("pump", json.dumps(body).encode())), ["invalid_reading"], members)


class Aggregates(unittest.TestCase):
    def packed(self, *records):
        def field(number, content):
            return bytes([number << 3 | 2, len(content)]) + content

        keys = b"".join(field(1, key.encode()) for key, _ in records)
        parts = b"".join(field(3, bytes([1 << 3, index]) + field(3, data)) for index, (_, data) in enumerate(records))
        return oracle.AGGREGATE + keys + parts + hashlib.md5(keys + parts).digest()

    def test_each_record_counts_under_its_own_key(self):
        found = judged(("aggregate-1", self.packed(("pump", reading(5)), ("fan", reading(7, device="fan")), ("fan", reading(8, 1)))))
        self.assertEqual({device: exact["mean"][0] for device, exact in found.statistics().items()}, {"pump": 5, "fan": 7})
        self.assertEqual(found.letters, {("partition_key_mismatch", oracle.canonical(reading(8, 1))): 1})

    def test_a_damaged_one_is_one_dead_letter_whole(self):
        damaged = self.packed(("pump", reading(5)))[:-1] + b"?"
        self.assertEqual(judged(("pump", damaged)).letters, {("bad_aggregate", damaged): 1})


if __name__ == "__main__":
    unittest.main()
