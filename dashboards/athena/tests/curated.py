"""Rows of curated data beside those that the pipeline wrote: older revisions, and rows that were delivered twice."""

import datetime

import pyarrow
import pyarrow.parquet

MILLISECONDS = pyarrow.timestamp("ms")
SCHEMA = pyarrow.schema(
    [("device_id", pyarrow.string()), ("revision", pyarrow.int64()), ("count", pyarrow.int64())]
    + [(name, pyarrow.float64()) for name in ("mean", "median", "standard_deviation", "minimum", "maximum", "mean_confidence_95_low", "mean_confidence_95_high")]
    + [("anomaly_count", pyarrow.int64())]
    + [(name, MILLISECONDS) for name in ("first_timestamp", "last_timestamp", "updated_at")]
)


def instant(text):
    """To the millisecond, rounded down, without its zone, which is UTC."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.datetime.fromisoformat(whole) + datetime.timedelta(milliseconds=int(fraction.ljust(3, "0")[:3]))


def row(device, revision):
    interval = device["mean_confidence_95"] or {"low": None, "high": None}
    return {
        **{name: device[name] for name in ("device_id", "count", "mean", "median", "standard_deviation", "minimum", "maximum", "anomaly_count")},
        "revision": revision,
        "mean_confidence_95_low": interval["low"],
        "mean_confidence_95_high": interval["high"],
        **{name: instant(device[name]) for name in ("first_timestamp", "last_timestamp", "updated_at")},
    }


def written_by_the_pipeline(data):
    files = sorted((data / "archive/curated/device_statistics").glob("dt=*/*.parquet"))
    rows = [row for file in files for row in pyarrow.parquet.ParquetFile(file).read().to_pylist()]
    return {(row["device_id"], row["revision"]): row for row in rows}


def ensure(data, devices):
    """Adds older revisions and copies to what is there. Gives the revisions that are there then: {(device, revision)}."""
    newest = written_by_the_pipeline(data)
    if not newest:
        newest = {(name, 9): row(device, 9) for name, device in devices.items()}
    older = [{**found, "revision": found["revision"] - 1, "count": found["count"] - 1, "mean": -1.0} for found in newest.values() if found["count"] > 1]
    # Whose clock was ahead wrote an older revision: the revision decides.
    older += [{**found, "updated_at": found["updated_at"] + datetime.timedelta(seconds=1)} for found in older]
    day = data / "archive/curated/device_statistics" / f"dt={datetime.date(2026, 1, 1)}"
    day.mkdir(parents=True)
    # A later file holds older revisions, as Firehose may deliver them.
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([*newest.values()], SCHEMA), day / "1.parquet")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([*older, *newest.values()], SCHEMA), day / "2.parquet")
    return {(found["device_id"], found["revision"]) for found in [*newest.values(), *older]}
