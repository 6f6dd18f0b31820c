"""Asks Athena what dashboards/athena asks, and demands the answers that DuckDB gives on one machine, and the oracle's.

The curated rows are those that the curator made and the emulator's Firehose converted. Of raw bodies that Firehose does not take
aggregates apart, compress or append newlines, as the one on AWS does: so for as long as is asked, what AWS's would have written
of the stream's records stands in the place of what is there.
"""

import concurrent.futures
import contextlib
import gzip
import json
import math
import shutil
import subprocess
import time

from .. import curated, oracle
from ..changes import ChangeMapping
from ..failure import demand
from ..ministack import variables_without_accounts
from ..tools import ROOT

ASK = ROOT / "dashboards/athena/ask"
QUERIES = sorted(path.stem for path in (ROOT / "dashboards/athena/queries").glob("*.sql"))
VIEWS = sorted(path.stem for path in (ROOT / "dashboards/athena/views").glob("*.sql"))
# What differs by when and of which files it is asked.
PASSING = {"minutes_since", "minutes_silent", "file", "files"}
APPROXIMATE = {("readings_per_minute", "median")}
# Every file's rows, repeats too.
ROWS = f"SELECT {', '.join(curated.COLUMNS)} FROM device_statistics"


def lines(records):
    """What Firehose makes of records: those of an aggregate each for itself, one a line. What is no UTF-8 is read as such by Athena."""
    for record in records:
        try:
            parts = oracle.unpacked(record.partition_key, record.data)
        except oracle.Rejected:
            parts = [(record.partition_key, record.data)]
        for _, part in parts:
            yield part.decode(errors="replace").replace("\n", " ").replace("\r", " ").replace("\x01", " ")


def raw_object(world):
    """Key and content of what Firehose on AWS would have written of the stream's records."""
    now = time.gmtime()
    content = "".join(line + "\n" for line in lines(world.services.records(world.stream)))
    return f"raw/dt={time.strftime('%Y-%m-%d', now)}/hour={time.strftime('%H', now)}/delivered.gz", gzip.compress(content.encode())


def copied(world, data):
    """The bucket's tables, as an archive on one machine."""
    bucket = world.outputs["archive_bucket_name"]
    for prefix in ("raw/", "dead-letters/", "curated/"):
        for key in world.services.keys(bucket, prefix):
            (data / "archive" / key).parent.mkdir(parents=True, exist_ok=True)
            (data / "archive" / key).write_bytes(world.services.object(bucket, key))


@contextlib.contextmanager
def as_delivered(world):
    """The archive as it would be on AWS; gives a data directory with the same files."""
    services, bucket, data = world.services, world.outputs["archive_bucket_name"], world.scratch / "asked"
    shutil.rmtree(data, ignore_errors=True)
    there = {key: services.object(bucket, key) for key in services.keys(bucket, "raw/")}
    raw, content = raw_object(world)
    for key in there:
        services.request("s3", "DELETE", f"/{bucket}/{key}", {}, None)
    services.request("s3", "PUT", f"/{bucket}/{raw}", {}, content)
    try:
        copied(world, data)
        yield data
    finally:
        services.request("s3", "DELETE", f"/{bucket}/{raw}", {}, None)
        for key, content in there.items():
            services.request("s3", "PUT", f"/{bucket}/{key}", {}, content)


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


def of_athena(world, question):
    place = ("--workgroup", world.outputs["athena_workgroup_name"], "--database", world.outputs["athena_database_name"])
    return asked(world, question, *place, "--emulated")


def answered_alike(world, data, question):
    """Athena's rows, which are those of DuckDB over the same files."""
    there = of_athena(world, question)
    demand_alike(question, comparable(there), comparable(asked(world, question, "--data-dir", data)))
    return there


def all_of(questions, ask):
    """The rows, by question. Two are asked at a time, since most of the time goes into starting to ask."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return dict(zip(questions, pool.map(ask, questions)))


def run(world):
    with as_delivered(world) as data:
        answers = all_of([*QUERIES, *VIEWS, ROWS], lambda question: answered_alike(world, data, question))
    expected = world.oracle()
    demand_oracle(expected, answers)
    standing = curated.demand_rows(answers[ROWS], ChangeMapping(world).changes())
    curated.demand_newest(answers["latest_statistics"], world.statistics(), expected.statistics())
    return (
        f"{len(QUERIES)} questions and {len(VIEWS)} views, answered alike here and there; {len(answers['readings'])} readings, each once; "
        f"{len(standing)} revisions in {standing.total()} curated rows"
    )


def demand_oracle(expected, answers):
    """Every reading that must be counted, and no other."""
    wanted = {(device, at, event): reading.value for device, counted in expected.values.items() for (at, event), reading in counted.items()}
    found = {(row["device_id"], instant_ns(row), row["event_id"] or None): float(row["value"]) for row in answers["readings"]}
    demand(found == wanted, f"Athena's readings are {len(found)}, of which {len(found.items() & wanted.items())} of the {len(wanted)} that must be")
