"""Looks for every record's bytes under `raw/`, where Firehose puts them."""

import collections

from ..failure import demand


def run(world):
    bucket = world.outputs["archive_bucket_name"]
    keys = world.services.keys(bucket, "raw/dt=")
    # ministack's Firehose makes an object of each record, and neither compresses it nor appends the newline.
    archived = collections.Counter(world.services.object(bucket, key) for key in keys)
    sent = collections.Counter(record.data for record in world.services.records(world.stream))
    demand(archived == sent, f"{archived.total()} records are archived, {(archived & sent).total()} of them whole, of {sent.total()} in the stream")
    return f"{archived.total()} records, byte for byte"
