"""What the alarms of records that nobody reads do in time, by CloudWatch's documented rules of metric math.

The expression is the one in terraform/modules/observability. Nothing here asks CloudWatch: how it really evaluates, only an
account can show.
"""

import math
import pathlib
import re
import unittest

TEXT = (pathlib.Path(__file__).resolve().parents[2] / "modules/observability/unread.tf").read_text()
EXPRESSION = re.search(r'expression +\= "(FILL.*)"', TEXT)[1]
PERIOD = 300
# "CloudWatch attempts to retrieve a higher number of data points than the number specified": five where three are evaluated.
EXTRA_PERIODS = 2
# From what is measured until CloudWatch has it: at most this, as the periods of the alarm assume one of 300 s for it.
DELAY = 240
REPEAT = object()


class Series:
    """A value, or None, for each period."""

    def __init__(self, values):
        self.values = values

    def __gt__(self, other):
        if not isinstance(other, Series):
            return Series([None if value is None else int(value > other) for value in self.values])
        # Where only one of the two has a value, the other's is taken for 0.
        pairs = zip(self.values, other.values)
        return Series([None if a is None and b is None else int((a or 0) > (b or 0)) for a, b in pairs])


def IF(condition, value):
    return Series([value if holds else None for holds in condition.values])


def FILL(series, filler):
    assert filler is REPEAT
    filled, last = [], None
    for value in series.values:
        last = last if value is None else value
        filled.append(last)
    return Series(filled)


def evaluated(now, periods, arrived, read):
    """What the expression makes of the events that CloudWatch has at `now`, by periods that end there."""

    def summed(events):
        counts = [0] * (periods + EXTRA_PERIODS)
        for at, known_at in events:
            age = math.floor((now - at) / PERIOD)
            if known_at <= now and 0 <= age < len(counts):
                counts[-1 - age] += 1
        # A period without events has no value, rather than 0.
        return Series([count or None for count in counts])

    names = {"IF": IF, "FILL": FILL, "REPEAT": REPEAT, "arrived": summed(arrived), "read": summed(read)}
    return eval(EXPRESSION, {"__builtins__": {}}, names).values


def states(until, periods, arrivals, invocations, duration=1):
    """Whether the alarm is raised, minute by minute."""
    arrived = [(at, at + DELAY) for at in arrivals]
    # An invocation counts for when it began, and is known when it has ended.
    read = [(at, at + duration + DELAY) for at in invocations]
    raised = False
    for now in range(0, until, 60):
        values = [value for value in evaluated(now, periods, arrived, read) if value is not None][-periods:]
        # With less than that, one that is not breaching is enough for OK; else missing data decides, which is ignored.
        if len(values) == periods or not all(values):
            raised = len(values) == periods and all(values)
        yield now, raised


def raised_at(*arguments, **named):
    return [now for now, raised in states(*arguments, **named) if raised]


def periods_for(window, timeout):
    return 2 + math.ceil((window + 2 * timeout) / PERIOD)


class Unread(unittest.TestCase):
    def test_a_quiet_stream_is_no_alarm(self):
        self.assertEqual(raised_at(7200, 3, [], []), [])

    def test_a_stopped_mapping_is_an_alarm_within_20_minutes(self):
        for arrivals in ([3599], range(3600, 20000, 10), range(3600, 20000, 900)):
            raised = raised_at(20000, 3, arrivals, [])
            self.assertLessEqual(raised[0], 3600 + 20 * 60)
            # It does not end while nothing is invoked, however quiet the stream.
            self.assertEqual(raised, list(range(raised[0], 20000, 60)))

    def test_a_mapping_that_stops_after_it_ran_is_an_alarm(self):
        raised = raised_at(9000, 3, range(0, 9000, 10), range(0, 3600, 10))
        self.assertTrue(3600 < raised[0] <= 3600 + 25 * 60)

    def test_an_invocation_ends_it(self):
        raised = raised_at(9000, 3, range(600, 3000, 10), range(6000, 6100, 10))
        self.assertTrue(6000 < raised[-1] <= 6000 + DELAY + 60)

    def test_a_record_at_any_second_of_a_period_is_no_alarm(self):
        for second in (0, 1, 59, 61, 150, 298, 299):
            self.assertEqual(raised_at(9000, 3, [3000 + second], [3001 + second]), [], second)

    def test_neither_batching_window_nor_long_batches_are_an_alarm(self):
        for window, timeout in ((1, 60), (10, 60), (300, 60), (300, 900)):
            for pause in (10, 290, 310, 3700):
                # One shard: each batch waits for its window and for the batch before it, and takes the whole timeout.
                arrivals, invocations, free = list(range(0, 20000, pause)), [], 0
                while waiting := [at for at in arrivals if at > (invocations[-1] if invocations else -1)]:
                    invocations.append(max(waiting[0] + window, free))
                    free = invocations[-1] + timeout
                raised = raised_at(15000, periods_for(window, timeout), arrivals, invocations, duration=timeout)
                self.assertEqual(raised, [], (window, timeout, pause))

    def test_the_periods_are_those_of_the_module(self):
        self.assertIn("periods     = 2 + ceil((var.batching_window_seconds + 2 * var.timeout_seconds) / 300)", TEXT)


if __name__ == "__main__":
    unittest.main()
