"""What the curated table must hold: worked out from the table's change stream, its items and the oracle, by none of our code."""

import collections

from .failure import demand
from .oracle import differences, instant_ns
from .services import plain

TEXTS = {"device_id"}
TIMESTAMPS = {"first_timestamp", "last_timestamp", "updated_at"}
INTERVAL = "mean_confidence_95"
COLUMNS = [
    "device_id", "revision", "count", "mean", "median", "standard_deviation", "minimum", "maximum",
    f"{INTERVAL}_low", f"{INTERVAL}_high", "anomaly_count", "first_timestamp", "last_timestamp", "updated_at",
]  # fmt: skip


def instant(text):
    """Of a row's text, which is in UTC and says so nowhere, the item's form."""
    return f"{text.replace(' ', 'T')}Z"


def read(column, text):
    """A column's value from its text, in the item or in the table: columns hold milliseconds."""
    if text in (None, ""):
        return None
    if column in TEXTS:
        return text
    if column in TIMESTAMPS:
        return instant_ns(text) // 10**6
    return float(text)


def of_item(item):
    """The row that an item of the table must be."""
    ends = {f"{INTERVAL}_{end}": value for end, value in (item.get(INTERVAL) or {}).items()}
    return {column: read(column, {**item, **ends}.get(column)) for column in COLUMNS}


def of_change(change):
    return of_item({name: plain(value) for name, value in change["dynamodb"]["NewImage"].items()})


def of_answer(row):
    """A row as Athena answers it, all texts."""
    return {column: read(column, instant(row[column]) if column in TIMESTAMPS and row[column] else row[column]) for column in COLUMNS}


def key(row):
    return row["device_id"], int(row["revision"])


def demand_rows(answers, changes):
    """Every change that the mapping lets through is a row, and nothing else is; each is equal wherever it stands. Gives how often
    each stands."""
    wanted = {key(row): row for row in map(of_change, changes)}
    rows = [of_answer(row) for row in answers]
    standing = collections.Counter(map(key, rows))
    missing, strange = wanted.keys() - standing.keys(), standing.keys() - wanted.keys()
    demand(not missing, f"{len(missing)} of {len(wanted)} revisions are in no row, such as {min(missing, default=None)}")
    demand(not strange, f"{len(strange)} rows are of no revision that there was, such as {min(strange, default=None)}")
    for row in rows:
        demand(row == wanted[key(row)], f"a row is {row}, and its change {wanted[key(row)]}")
    return standing


def demand_newest(answers, items, expected):
    """The newest row of every device is the table's item, and what the oracle says."""
    newest = {}
    for answer in sorted(answers, key=lambda row: int(row["revision"])):
        newest[answer["device_id"]] = answer
    demand(newest.keys() == items.keys() == expected.keys(), f"{len(newest)} devices have rows, {len(items)} items, and {len(expected)} must have")
    for device, answer in newest.items():
        demand(of_answer(answer) == of_item(items[device]), f"the newest row of {device} is {answer}, and the item {items[device]}")
        shown = {name: instant(value) if name in TIMESTAMPS else value for name, value in answer.items() if value not in (None, "")}
        said = list(differences(shown, expected[device]))
        demand(not said, f"the newest row of {device}: {'; '.join(said)}")
