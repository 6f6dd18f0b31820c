"""That filters pass what they name, and that a feed goes on where the answer says."""

import types
import unittest

from emulator.changes import ChangeMapping, Feed
from emulator.failure import Failure

PATTERN = '{"eventName": ["INSERT", "MODIFY"], "dynamodb": {"Keys": {"item": {"S": ["statistics"]}}}}'


def change(number, item="statistics", event="INSERT"):
    return {"eventName": event, "dynamodb": {"SequenceNumber": str(number), "Keys": {"device_id": {"S": "a"}, "item": {"S": item}}}}


class Services:
    """A stream of these changes, and a function that gives these answers."""

    def __init__(self, changes, answers=()):
        self.held, self.answers, self.invoked = changes, list(answers), []

    def event_source_mapping(self, function):
        return {"EventSourceArn": "stream", "FilterCriteria": {"Filters": [{"Pattern": PATTERN}]}, "function": function}

    def changes(self, _):
        return self.held

    def invoke(self, _, event):
        self.invoked.append([int(each["dynamodb"]["SequenceNumber"]) for each in event["Records"]])
        return self.answers.pop(0)


def mapping(services):
    return ChangeMapping(types.SimpleNamespace(services=services, outputs={"curator_function_name": "curator"}))


def failures(*numbers):
    return {"batchItemFailures": [{"itemIdentifier": str(number)} for number in numbers]}


class Filter(unittest.TestCase):
    def test_pages_and_deletions_are_left_out(self):
        held = [change(1), change(2, item="ledger#2026-01-01#1"), change(3, event="REMOVE"), change(4, event="MODIFY")]
        seen = mapping(Services(held))
        self.assertEqual(seen.changes(), [held[0], held[3]])
        self.assertEqual(seen.left_out(), [held[1], held[2]])


class Feeding(unittest.TestCase):
    def feed(self, *answers):
        self.services = Services([change(number) for number in range(10, 15)], answers)
        return Feed(mapping(self.services), 3)

    def test_batches_go_in_order_until_none_is_left(self):
        feed = self.feed(failures(), failures())
        self.assertTrue(feed.deliver() and feed.deliver())
        self.assertEqual((self.services.invoked, feed.waiting), ([[10, 11, 12], [13, 14]], []))

    def test_after_a_failure_the_first_that_failed_goes_first(self):
        feed = self.feed(failures(12, 11), failures())
        self.assertFalse(feed.deliver())
        self.assertTrue(feed.deliver())
        self.assertEqual(self.services.invoked, [[10, 11, 12], [11, 12, 13]])

    def test_an_answer_that_names_no_change_of_the_batch_is_a_failure(self):
        for answer in (failures(14), {"errorType": "Runtime.Unknown"}):
            with self.assertRaises(Failure):
                self.feed(answer).deliver()


if __name__ == "__main__":
    unittest.main()
