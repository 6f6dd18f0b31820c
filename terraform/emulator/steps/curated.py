"""Has the curator follow the table's changes, while it dies and Firehose refuses, and nothing is lost."""

import os
import signal

from ..changes import ChangeMapping, Feed
from ..curated import key
from ..failure import demand
from ..ministack import function_process
from ..services import plain
from ..world import wait_until

# Small, so that there are batches before the one that is refused, and behind it.
BATCH_SIZE = 4


def revisions(mapping):
    """Device and revision of each change, in the stream's order."""
    images = (change["dynamodb"]["NewImage"] for change in mapping.changes())
    return [key({name: plain(image[name]) for name in ("device_id", "revision")}) for image in images]


def wait(world, mapping):
    """Until Firehose has taken a row of every change."""
    wait_until("every change is a row", lambda: world.proxy.rows.keys() >= set(revisions(mapping)))


def crash(world):
    """The curator dies after Firehose took its rows and before it answers, and the emulator's own mapping delivers them again."""
    mapping, killed = ChangeMapping(world), []

    def kill():
        process = function_process(world.endpoint, mapping.function)
        os.kill(process, signal.SIGKILL)
        killed.append(process)

    def twice():
        return {row for row, times in (world.proxy.rows - before).items() if times > 1}

    before = world.proxy.rows.copy()
    world.proxy.when_rows_are_taken(kill)
    with mapping.emulated():
        wait(world, mapping)
        wait_until("what the curator had delivered when it died is delivered again", twice)
    demand(len(killed) == 1, f"the curator was killed {len(killed)} times")
    return f"{len(world.proxy.rows)} rows, {len(twice())} of them twice"


def refusal(world):
    """Firehose refuses a device's newest rows for a while: nothing behind them goes, and all goes when it takes them. Every change
    is delivered again, from the first on."""
    mapping = ChangeMapping(world)
    new = [revision for revision in revisions(mapping) if revision not in world.proxy.rows]
    demand(new, "every change is a row already")
    demand(mapping.left_out(), "no page of the ledger was written, for the mapping to leave out")
    device, revision = new[0]
    feed = Feed(mapping, BATCH_SIZE)
    held = len(feed.waiting)
    with world.proxy.refusing_rows(lambda row: row["device_id"] == device and row["revision"] >= revision) as proxy:
        while feed.deliver():
            demand(feed.waiting, f"the curator took rows for delivered that Firehose refused, those of {device}")
        stuck = list(feed.waiting)
        demand(not feed.deliver() and feed.waiting == stuck, "what was refused is done when it is delivered again")
        demand(proxy.refusals > 1, "Firehose refused no record by itself")
        demand(not proxy.rows.keys() & set(new), f"rows went while those of {device} before them were refused")
    while feed.waiting:
        demand(feed.deliver(), "something is refused still")
    lost = set(new) - world.proxy.rows.keys()
    demand(not lost, f"{len(lost)} rows are lost, such as {min(lost, default=None)}")
    return f"{held} changes delivered again, of which {len(stuck)} waited for {device}; {len(new)} rows are new"
