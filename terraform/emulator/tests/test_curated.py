"""That rows which are lost, strange or different are noticed."""

import unittest

from emulator.curated import demand_newest, demand_rows
from emulator.failure import Failure
from emulator.services import plain

IMAGE = {
    "device_id": {"S": "a"}, "item": {"S": "statistics"}, "revision": {"N": "2"}, "count": {"N": "1"}, "mean": {"N": "0.1"},
    "median": {"N": "0.1"}, "standard_deviation": {"NULL": True}, "minimum": {"N": "0.1"}, "maximum": {"N": "0.1"},
    "mean_confidence_95": {"M": {"low": {"N": "-1"}, "high": {"N": "1.5"}}}, "anomaly_count": {"N": "0"},
    "first_timestamp": {"S": "2026-01-01T00:00:00Z"}, "last_timestamp": {"S": "2026-01-01T00:00:00Z"},
    "updated_at": {"S": "2026-01-31T12:00:00.123456789Z"}, "state": {"B": "AAAA"},
}  # fmt: skip
ROW = {
    "device_id": "a", "revision": "2", "count": "1", "mean": "0.1", "median": "0.1", "standard_deviation": "", "minimum": "0.1",
    "maximum": "0.1", "mean_confidence_95_low": "-1.0", "mean_confidence_95_high": "1.5", "anomaly_count": "0",
    "first_timestamp": "2026-01-01 00:00:00", "last_timestamp": "2026-01-01 00:00:00", "updated_at": "2026-01-31 12:00:00.123000",
}  # fmt: skip
EXACT = {"count": (1, 1), "minimum": (0.1, 0.1), "maximum": (0.1, 0.1), "standard_deviation": (None, None)}
ITEM = {name: plain(value) for name, value in IMAGE.items()}


def change(**members):
    return {"dynamodb": {"NewImage": {**IMAGE, **members}}}


class Rows(unittest.TestCase):
    def test_a_row_for_each_revision_however_often_it_stands_is_right(self):
        older = {**ROW, "revision": "1"}
        standing = demand_rows([ROW, older, ROW], [change(), change(revision={"N": "1"})])
        self.assertEqual(standing, {("a", 2): 2, ("a", 1): 1})

    def test_a_lost_revision_is_noticed(self):
        with self.assertRaisesRegex(Failure, "1 of 2 revisions are in no row"):
            demand_rows([ROW], [change(), change(revision={"N": "3"})])

    def test_a_row_of_no_change_is_noticed(self):
        with self.assertRaisesRegex(Failure, "of no revision"):
            demand_rows([ROW, {**ROW, "device_id": "b"}], [change()])

    def test_every_column_is_compared_in_every_copy(self):
        others = {"device_id": "b", "updated_at": "2026-01-31 12:00:00.124000", "first_timestamp": "2026-01-01 00:00:01", "last_timestamp": ""}
        for column in ROW:
            other = {**ROW, column: others.get(column, "7")}
            with self.assertRaises(Failure, msg=column):
                demand_rows([ROW, other], [change()])


class Newest(unittest.TestCase):
    def test_it_is_the_item_and_the_oracles(self):
        items, exact = {"a": ITEM}, {"a": EXACT}
        demand_newest([{**ROW, "revision": "1", "count": "7"}, ROW], items, exact)
        with self.assertRaisesRegex(Failure, "and the item"):
            demand_newest([{**ROW, "mean": "0.2"}], items, exact)
        with self.assertRaisesRegex(Failure, "count is 1, and must be 2"):
            demand_newest([ROW], items, {"a": {**EXACT, "count": (2, 2)}})
        with self.assertRaisesRegex(Failure, "1 devices have rows"):
            demand_newest([ROW], items, {})


if __name__ == "__main__":
    unittest.main()
