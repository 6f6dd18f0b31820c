"""The curator's event source mapping, as Terraform made it. The emulator has a poller for it, which overlooks batch item
failures; where something is refused, `Feed` stands in its place, which resumes where the answer says."""

import contextlib
import itertools
import json

from .failure import demand


def matches(pattern, part):
    """Whether a part of a record is as a filter's pattern has it: members that are one of the texts listed."""
    if isinstance(pattern, list):
        return part in pattern
    return isinstance(part, dict) and all(matches(wanted, part.get(name)) for name, wanted in pattern.items())


class ChangeMapping:
    """The mapping from the table's change stream to the curator's alias."""

    def __init__(self, world):
        self.world = world
        self.function = world.outputs["curator_function_name"]
        self.settings = world.services.event_source_mapping(f"{self.function}:live")
        demand(self.settings.get("FilterCriteria"), "the curator's mapping has no filter")

    def passes(self, change):
        return any(matches(json.loads(each["Pattern"]), change) for each in self.settings["FilterCriteria"]["Filters"])

    def changes(self):
        """What the stream holds and the mapping's filters let through, in order."""
        return list(filter(self.passes, self.world.services.changes(self.settings["EventSourceArn"])))

    def left_out(self):
        """What the stream holds beside that."""
        return list(itertools.filterfalse(self.passes, self.world.services.changes(self.settings["EventSourceArn"])))

    @contextlib.contextmanager
    def emulated(self):
        """The emulator's own poller, which goes on where it was switched off."""
        self.world.services.set_mapping_enabled(self.settings["UUID"], True)
        try:
            yield
        finally:
            self.world.services.set_mapping_enabled(self.settings["UUID"], False)


class Feed:
    """The changes from the first on, handed to the curator's own Invoke a batch after the other."""

    def __init__(self, mapping, batch_size):
        self.mapping = mapping
        self.batch_size = batch_size
        self.waiting = mapping.changes()

    def deliver(self):
        """Delivers a batch. Says whether it is done as a whole; if not, the first change that failed is the next one to go."""
        batch = self.waiting[:self.batch_size]
        answer = self.mapping.world.services.invoke(f"{self.mapping.function}:live", {"Records": batch})
        demand("batchItemFailures" in answer, f"the curator failed as a whole: {answer}")
        numbers = [change["dynamodb"]["SequenceNumber"] for change in batch]
        failed = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
        demand(set(failed) <= set(numbers), f"the curator names changes that it was not given: {failed}")
        done = min(map(numbers.index, failed), default=len(batch))
        self.waiting = self.waiting[done:]
        return not failed
