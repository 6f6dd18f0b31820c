#!/usr/bin/env python3
"""Reads, with pyarrow and DuckDB, the curated Parquet files that `streamgauge up` writes: types, nulls, rows, statistics.

Usage: read_files.py --binary PATH

A pipeline takes readings of devices with one, two and many of them, some twice and some late. What the files then say is
compared with what the endpoint answers, and with the statistics' plain definitions over the same readings; and again once
the files are those of a day that is over, which the next start merges into one.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import tempfile
import time
import urllib.request
from datetime import datetime, timedelta, timezone

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

INTEGERS = ["revision", "count", "anomaly_count"]
DOUBLES = [
    "mean", "median", "standard_deviation", "minimum", "maximum", "mean_confidence_95_low", "mean_confidence_95_high",
]
TIMESTAMPS = ["first_timestamp", "last_timestamp", "updated_at"]
COLUMNS = ["device_id", "revision", "count", *DOUBLES, "anomaly_count", *TIMESTAMPS]
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Pipeline:
    """A running `streamgauge up`."""

    def __init__(self, binary, data_dir):
        arguments = [binary, "up", "--port", "0", "--data-dir", data_dir, "--curated-interval", "1"]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.ready = json.loads(self.process.stdout.readline())
        self.key = pathlib.Path(self.ready["api_key_file"]).read_text().strip()

    def call(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"x-api-key": self.key, "content-type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(self.ready["ingest"] + path, data, headers)) as answer:
            return json.load(answer)

    def settle(self):
        while self.call("/pipeline")["pending"]:
            pass

    def end(self):
        self.process.terminate()
        assert self.process.wait(60) == 0


def post(pipeline, device, readings):
    body = [{"timestamp": at.isoformat(), "value": value} for at, value in readings]
    for start in range(0, len(body), 500):
        pipeline.call("/data/series", {"device_id": device, "readings": body[start:start + 500]})


def run_pipeline(binary, data_dir):
    """What each device sent, and what the endpoint answers of it in the end."""
    random.seed(1)
    sent = {}
    pipeline = Pipeline(binary, data_dir)
    try:
        for round_number in range(3):
            for number in range(60):
                device = f"device-{number:03d}"
                count = [1, 2, 700][number % 3] if round_number == 0 else random.choice([0, 1, 40]) * (number % 3 == 2)
                readings = sent.setdefault(device, [])
                first = len(readings)
                readings.extend(
                    (START + timedelta(seconds=number, milliseconds=250 * (first + n)), round(random.gauss(20, 5), 2))
                    for n in range(count)
                )
                if count:
                    post(pipeline, device, readings[first:])
                    # Some of it again, and out of its order.
                    post(pipeline, device, random.sample(readings, min(len(readings), 3)))
            pipeline.settle()
            # So that the device's row of this round stands in a file before the next one's.
            subprocess.run(["sleep", "1.3"], check=True)
        answers = {device: pipeline.call(f"/?device_id={device}") for device in sent}
    finally:
        pipeline.end()
    return sent, answers


def milliseconds(text):
    """An answer's instant, rounded down to the millisecond, without a zone, as columns have it."""
    instant = datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00").astimezone(timezone.utc).replace(tzinfo=None)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def check_row(row, answer, readings):
    values = [value for _, value in readings]
    interval = answer["mean_confidence_95"] or {"low": None, "high": None}
    expected = {**answer, "mean_confidence_95_low": interval["low"], "mean_confidence_95_high": interval["high"]}
    for name in ["device_id", "count", "anomaly_count", *DOUBLES]:
        assert row[name] == expected[name], (name, row, answer)
    for name in TIMESTAMPS:
        assert row[name] == milliseconds(answer[name]), (name, row, answer)
    # The plain definitions.
    assert row["count"] == len(values)
    assert (row["minimum"], row["maximum"], row["median"]) == (min(values), max(values), statistics.median(values)), row
    assert abs(row["mean"] - statistics.mean(values)) <= 1e-12 * abs(row["mean"]), row
    if len(values) == 1:
        assert row["standard_deviation"] is None and row["mean_confidence_95_low"] is None, row
    else:
        assert abs(row["standard_deviation"] - statistics.stdev(values)) <= 1e-12 * row["standard_deviation"], row
    first, last = min(at for at, _ in readings), max(at for at, _ in readings)
    assert (row["first_timestamp"], row["last_timestamp"]) == (first.replace(tzinfo=None), last.replace(tzinfo=None))


def check_with_pyarrow(files, sent, answers):
    types = {"device_id": pa.string(), **{name: pa.int64() for name in INTEGERS}}
    types |= {name: pa.float64() for name in DOUBLES} | {name: pa.timestamp("ms") for name in TIMESTAMPS}
    rows = []
    for file in files:
        parquet = pq.ParquetFile(file)
        assert parquet.schema_arrow.names == COLUMNS, parquet.schema_arrow
        for field in parquet.schema_arrow:
            assert field.type == types[field.name], field
            assert field.nullable == (field.name in DOUBLES + TIMESTAMPS), field
        table = parquet.read()
        assert table.num_rows == parquet.metadata.num_rows > 0
        rows.extend(table.to_pylist())
    newest = {}
    for row in rows:
        if row["device_id"] not in newest or row["revision"] > newest[row["device_id"]]["revision"]:
            newest[row["device_id"]] = row
    assert newest.keys() == sent.keys()
    for device, row in newest.items():
        check_row(row, answers[device], sent[device])
    return rows, newest


def check_with_duckdb(table, rows, newest):
    connection = duckdb.connect()
    source = f"read_parquet('{table}/*/*.parquet', hive_partitioning = true)"
    types = {"VARCHAR": ["device_id"], "BIGINT": INTEGERS, "DOUBLE": DOUBLES, "TIMESTAMP": TIMESTAMPS}
    described = connection.sql(f"DESCRIBE SELECT * EXCLUDE (dt) FROM {source}").fetchall()
    # Milliseconds may stand in the type's name.
    found = {name: kind.removesuffix("_MS") for name, kind, *_ in described}
    assert found == {name: kind for kind, names in types.items() for name in names}, found
    count, days, nulls = connection.sql(
        f"SELECT count(*), min(CAST(dt AS VARCHAR)), count(*) FILTER (standard_deviation IS NULL) FROM {source}"
    ).fetchall()[0]
    assert count == len(rows) and datetime.fromisoformat(days)
    assert nulls == sum(row["standard_deviation"] is None for row in rows) > 0
    columns = ", ".join(COLUMNS)
    latest = connection.sql(
        f"SELECT {columns} FROM {source} QUALIFY row_number() OVER (PARTITION BY device_id ORDER BY revision DESC) = 1"
    ).fetchall()
    assert {row[0]: dict(zip(COLUMNS, row)) for row in latest} == newest
    mean, deviation = connection.sql(f"SELECT avg(mean), max(standard_deviation) FROM {source}").fetchall()[0]
    assert abs(mean - statistics.mean(row["mean"] for row in rows)) < 1e-9
    assert deviation == max(row["standard_deviation"] or 0 for row in rows)


def merge(binary, data_dir, table, files):
    """The day moves into the past, where the next start makes one file of it; what that is."""
    (today,) = {file.parent for file in files}
    day = today.rename(table / "dt=2026-01-31")
    pipeline = Pipeline(binary, data_dir)
    try:
        while len(merged := list(day.glob("*.parquet"))) > 1:
            time.sleep(0.05)
    finally:
        pipeline.end()
    parquet = pq.ParquetFile(merged[0])
    ids = parquet.read(["device_id", "revision"]).to_pylist()
    keys = [(row["device_id"], row["revision"]) for row in ids]
    assert keys == sorted(set(keys)), "sorted by device and revision, each once"
    sorted_by = [(column.column_index, column.descending) for column in parquet.metadata.row_group(0).sorting_columns]
    assert sorted_by == [(0, False), (1, False)], sorted_by
    return merged


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    binary = parser.parse_args().binary
    with tempfile.TemporaryDirectory() as data_dir:
        sent, answers = run_pipeline(binary, data_dir)
        table = pathlib.Path(data_dir, "archive/curated/device_statistics")
        files = sorted(table.glob("dt=*/*.parquet"))
        assert len(files) >= 3, files
        rows, newest = check_with_pyarrow(files, sent, answers)
        check_with_duckdb(table, rows, newest)
        if len({file.parent for file in files}) == 1:
            merged = merge(binary, data_dir, table, files)
            merged_rows, newest = check_with_pyarrow(merged, sent, answers)
            by_key = lambda row: (row["device_id"], row["revision"])
            assert merged_rows == sorted(rows, key=by_key)
            check_with_duckdb(table, merged_rows, newest)
        else:
            print("midnight came between: nothing was merged")
    print(f"{len(files)} files, {len(rows)} rows, {len(newest)} devices: pyarrow {pa.__version__}, duckdb {duckdb.__version__}")


if __name__ == "__main__":
    main()
