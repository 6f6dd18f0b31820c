"""Drives the batches through the function's own `Invoke`, while poller and table fail, and compares with the oracle."""

from ..failure import demand
from ..mapping import Mapping
from ..oracle import differences
from . import example, send


def wrong(world, oracle, but=()):
    """What the table says otherwise than it must, as lines; of some devices it may say anything."""
    stored, expected = world.statistics(), oracle.statistics()
    lines = [f"{device}: counted, and must not be" for device in stored.keys() - expected.keys()]
    for device in sorted(expected.keys() - set(but)):
        said = differences(stored[device], expected[device]) if device in stored else ["not counted"]
        lines += [f"{device}: {difference}" for difference in said]
    return lines


def demand_equality(world, oracle):
    lines = wrong(world, oracle)
    demand(not lines, "the statistics are not those of what was sent:\n" + "\n".join(lines))


def crash(world):
    """The poller dies between the function's answer and the checkpoint."""
    mapping, oracle = Mapping(world), world.oracle()
    # A folder in the place of the file that a checkpoint is first written to.
    in_the_way = mapping.checkpoints.with_name(f"{mapping.checkpoints.name}.tmp")
    in_the_way.mkdir()
    mapping.killed_when("everything is counted", lambda: not wrong(world, oracle))
    in_the_way.rmdir()
    demand(not mapping.checkpoints.exists(), "the poller had a checkpoint, and must have had none")
    return f"{len(oracle.statistics())} devices counted, and no checkpoint"


def redelivery(world):
    """The next poller delivers every record again."""
    mapping, before = Mapping(world), world.statistics()
    summary = mapping.until("every record is done again", mapping.is_done)
    records = len(world.services.records(world.stream))
    demand(summary["records_invoked"] >= records, f"{summary['records_invoked']} records of {records} were delivered again")
    # Revision and state too: a duplicate is no reason to write.
    changed = sorted(device for device, item in world.statistics().items() if item != before.get(device))
    demand(not changed, f"delivered again, these devices changed: {', '.join(changed)}")
    demand_equality(world, world.oracle())
    return f"{summary['records_invoked']} records in {summary['invocations']} invocations; no item changed"


def partial_failure(world):
    """One device's writes are throttled for a while: it alone waits, and is counted once in the end."""
    device = sorted(world.statistics().keys() - {send.DEVICE, send.LONG, *example.DEVICES})[0]
    before = world.statistics()[device]
    send.fleet(world, 3)
    mapping, oracle = Mapping(world), world.oracle()
    with world.proxy.throttling_writes_of(device) as proxy:
        first = mapping.until("the others are counted", lambda: proxy.befallen > 3 and not wrong(world, oracle, but=[device]))
        demand(world.statistics()[device] == before, f"{device} changed while none of its writes went through")
        demand(not mapping.is_done(), f"the poller took records of {device} for done while none of its writes went through")
    demand(first["partial_answers"] > 0, "the function's answer named no record that failed")
    demand(first["function_errors"] == 0, "the function failed as a whole, and not in part")
    mapping.until("every record is done", mapping.is_done)
    demand_equality(world, world.oracle())
    return f"{first['partial_answers']} answers in part while {device} was throttled; then all counted"
