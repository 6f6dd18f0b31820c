"""Sends the example of docs/analytics.md through the whole stack, and demands of Athena the answers that are printed there,
which are those of one machine (dashboards/athena/tests/test_documented.py)."""

import json

from .. import documented
from ..changes import ChangeMapping
from ..failure import demand
from ..mapping import Mapping
from . import answers, curated
from .send import accepted

# They depend on when the readings arrived, and when one asks.
PASSING = {*answers.PASSING, "hours_late_at_least"}
DEVICES = {json.loads(line)["device_id"] for line in documented.readings().splitlines()}


def demand_as_printed(question, answered, printed):
    demand(len(answered) >= len(printed), f"{question}: the answer has {len(answered)} rows, and docs/analytics.md {len(printed)}")
    for one, other in zip(answered, printed):
        same = all(answers.alike(question, name, one[name], other[name]) for name in other.keys() - PASSING)
        demand(same, f"{question}: the answer says {one}, and docs/analytics.md {other}")


def run(world):
    """The stack holds nothing else yet: a question about a day is about all devices."""
    for _ in range(2):
        accepted(world, "--jsonl", "-", text=documented.readings())
    # A poller of its own, so that the next one starts from nothing.
    mapping = Mapping(world, "example")
    mapping.until("the example is counted", mapping.is_done)
    changes = ChangeMapping(world)
    with changes.emulated():
        curated.wait(world, changes)
    printed = documented.answers()
    demand(len(printed) == 5, f"docs/analytics.md answers {len(printed)} questions, and not five")
    with answers.as_delivered(world):
        answered = answers.all_of(printed, lambda question: answers.of_athena(world, question))
    for question, rows in printed.items():
        demand_as_printed(question, answered[question], rows)
    return f"{len(printed)} questions, answered as docs/analytics.md prints"
