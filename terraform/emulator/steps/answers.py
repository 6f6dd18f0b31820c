"""Asks Athena what dashboards/athena asks, and demands the answers that DuckDB gives on one machine, and the oracle's.

ministack's Firehose does not take aggregates apart, compress or append newlines, as the one on AWS does; it converts no rows
to Parquet either, and no curator runs here. So the step writes by itself what they would have written, from the stream's
records and the table's items, into the bucket and into a data directory: what is tried is the catalog, the workgroup and the SQL.
"""

import gzip
import json
import math
import shutil
import subprocess
import time

from .. import oracle
from ..failure import demand
from ..ministack import variables_without_accounts
from ..tools import ROOT

ASK = ROOT / "dashboards/athena/ask"
QUERIES = sorted(path.stem for path in (ROOT / "dashboards/athena/queries").glob("*.sql"))
VIEWS = sorted(path.stem for path in (ROOT / "dashboards/athena/views").glob("*.sql"))
# What differs by when and of which files it is asked.
PASSING = {"minutes_since", "minutes_silent", "file", "files"}
APPROXIMATE = {("readings_per_minute", "median")}

CURATED = """
import duckdb, sys
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
connection.execute(f'''COPY (SELECT device_id, CAST(revision AS BIGINT) AS revision, CAST(count AS BIGINT) AS count,
    CAST(mean AS DOUBLE) AS mean, CAST(median AS DOUBLE) AS median, CAST(standard_deviation AS DOUBLE) AS standard_deviation,
    CAST(minimum AS DOUBLE) AS minimum, CAST(maximum AS DOUBLE) AS maximum, CAST(mean_confidence_95.low AS DOUBLE) AS mean_confidence_95_low,
    CAST(mean_confidence_95.high AS DOUBLE) AS mean_confidence_95_high, CAST(anomaly_count AS BIGINT) AS anomaly_count,
    CAST(first_timestamp AS TIMESTAMP) AS first_timestamp, CAST(last_timestamp AS TIMESTAMP) AS last_timestamp, CAST(updated_at AS TIMESTAMP) AS updated_at
    FROM read_json('{sys.argv[1]}', format = 'newline_delimited')) TO '{sys.argv[2]}' (FORMAT parquet)''')
"""


def lines(records):
    """What Firehose makes of records: those of an aggregate each for itself, one a line. What is no UTF-8 is read as such by Athena."""
    for record in records:
        try:
            parts = oracle.unpacked(record.partition_key, record.data)
        except oracle.Rejected:
            parts = [(record.partition_key, record.data)]
        for _, part in parts:
            yield part.decode(errors="replace").replace("\n", " ").replace("\r", " ").replace("\x01", " ")


def delivered(world, data):
    """Writes the objects below `data`/archive. Gives their keys."""
    now = time.gmtime()
    raw = f"raw/dt={time.strftime('%Y-%m-%d', now)}/hour={time.strftime('%H', now)}/delivered.gz"
    archive = data / "archive"
    contents = {raw: gzip.compress("".join(line + "\n" for line in lines(world.services.records(world.stream))).encode())}
    bucket = world.outputs["archive_bucket_name"]
    contents |= {key: world.services.object(bucket, key) for key in world.services.keys(bucket, "dead-letters/")}
    for key, content in contents.items():
        (archive / key).parent.mkdir(parents=True, exist_ok=True)
        (archive / key).write_bytes(content)
    curated = f"curated/device_statistics/dt={time.strftime('%Y-%m-%d', now)}/delivered.parquet"
    (archive / curated).parent.mkdir(parents=True)
    items = data / "items.jsonl"
    names = ("state", "window")
    items.write_text("".join(json.dumps({name: value for name, value in item.items() if name not in names}) + "\n" for item in world.statistics().values()))
    python = subprocess.run([ROOT / ".ci/environment", "athena", ASK.parent / "requirements.txt"], stdout=subprocess.PIPE, text=True, check=True)
    subprocess.run([f"{python.stdout.strip()}/bin/python", "-c", CURATED, items, archive / curated], check=True)
    return [*contents, curated]


def put(world, data, keys):
    """Puts the objects into the bucket, in the place of what the emulator's Firehose left in raw/."""
    bucket = world.outputs["archive_bucket_name"]
    for key in world.services.keys(bucket, "raw/"):
        world.services.request("s3", "DELETE", f"/{bucket}/{key}", {}, None)
    for key in keys:
        world.services.request("s3", "PUT", f"/{bucket}/{key}", {}, (data / "archive" / key).read_bytes())


def asked(world, question, *where):
    command = [ASK, "--format", "json", *map(str, where), question]
    made = subprocess.run(command, env={**variables_without_accounts(), **world.variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    demand(made.returncode == 0, f"`{' '.join(map(str, command))}` ended with {made.returncode}: {made.stderr}")
    rows = [{name: value for name, value in row.items() if name not in PASSING} for row in json.loads(made.stdout)]
    return rows


def comparable(rows):
    """Athena gives text, DuckDB values; both as text, in one order."""
    texts = [{name: "" if value is None else str(value).lower() for name, value in row.items()} for row in rows]
    return sorted(texts, key=lambda row: list(row.values()))


def alike(question, name, there, here):
    """Whether two texts say the same: numbers but for the order in which they were added up, and an approximate median nearly."""
    if there == here:
        return True
    try:
        return math.isclose(float(there), float(here), rel_tol=0.05 if (question, name) in APPROXIMATE else 1e-9, abs_tol=1e-9)
    except ValueError:
        return False


def demand_alike(question, there, here):
    demand(len(there) == len(here), f"{question}: Athena has {len(there)} rows, and one machine {len(here)}")
    for one, other in zip(there, here):
        same = one.keys() == other.keys() and all(alike(question, name, one[name], other[name]) for name in one)
        demand(same, f"{question}: Athena says {one}, and one machine {other}")


def instant_ns(row):
    return int(row["epoch_second"]) * 10**9 + int(row["nanosecond"])


def run(world):
    data = world.scratch / "asked"
    shutil.rmtree(data, ignore_errors=True)
    keys = delivered(world, data)
    put(world, data, keys)
    athena = ("--workgroup", world.outputs["athena_workgroup_name"], "--database", world.outputs["athena_database_name"], "--emulated")
    answers = {}
    for question in QUERIES + VIEWS:
        answers[question] = asked(world, question, *athena)
        here = asked(world, question, "--data-dir", data)
        demand_alike(question, comparable(answers[question]), comparable(here))
    demand_oracle(world.oracle(), answers)
    return f"{len(QUERIES)} questions and {len(VIEWS)} views, answered alike here and there; {len(answers['readings'])} readings, each once"


def demand_oracle(expected, answers):
    """Every reading that must be counted, and no other."""
    wanted = {(device, at, event): reading.value for device, counted in expected.values.items() for (at, event), reading in counted.items()}
    found = {(row["device_id"], instant_ns(row), row["event_id"] or None): float(row["value"]) for row in answers["readings"]}
    demand(found == wanted, f"Athena's readings are {len(found)}, of which {len(found.items() & wanted.items())} of the {len(wanted)} that must be")
    devices = {row["device_id"]: row for row in answers["latest_statistics"]}
    demand(devices.keys() == expected.statistics().keys(), "Athena has statistics of other devices")
    for device, exact in expected.statistics().items():
        row, count, mean = devices[device], exact["count"][0], float(exact["mean"][0])
        demand(int(row["count"]) == count and abs(float(row["mean"]) - mean) <= 1e-9 * max(1.0, abs(mean)), f"Athena's statistics of {device} are {row}")
