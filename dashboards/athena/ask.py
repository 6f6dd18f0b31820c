"""Asks about readings and statistics, in Athena's SQL: on one machine over the data directory, or in Athena itself.

  dashboards/athena/ask newest_per_device
  dashboards/athena/ask "SELECT count(*) FROM readings"
  dashboards/athena/ask --workgroup streamgauge newest_per_device
"""

import argparse
import csv
import json
import os
import pathlib
import sys
import time

import sql


def options(arguments):
    names = ", ".join([*sql.files("queries"), *sql.files("views")])
    parser = argparse.ArgumentParser(prog="ask", description="Asks about readings and statistics, in Athena's SQL.")
    parser.add_argument("question", help=f"SQL, or one of {names}")
    parser.add_argument("--data-dir", type=pathlib.Path, default=pathlib.Path("streamgauge-data"), help="the data directory of `streamgauge up` (streamgauge-data)")
    parser.add_argument("--workgroup", help="ask Athena, in this workgroup, rather than a data directory")
    parser.add_argument("--database", help="the Glue database there (the workgroup's name, with _ for -)")
    parser.add_argument("--emulated", action="store_true", help="Athena is an emulator over DuckDB that knows no views (ministack)")
    parser.add_argument("--format", choices=["table", "csv", "json"], default="table", help="how the answer is printed (table)")
    return parser.parse_args(arguments)


def statement_of(question):
    """The SQL of a query or view that was named, or what was asked, as it is."""
    if question in sql.files("views"):
        return f"SELECT * FROM {question}"
    return sql.files("queries").get(question, question)


def asked_of_athena(statement, workgroup, database):
    """Columns and rows, all as text, as Athena gives them."""
    import boto3

    # The library by itself knows the other variable alone.
    athena = boto3.client("athena", region_name=os.environ.get("AWS_REGION"))
    context = {"QueryString": statement, "QueryExecutionContext": {"Database": database}, "WorkGroup": workgroup}
    execution = athena.start_query_execution(**context)["QueryExecutionId"]
    while True:
        status = athena.get_query_execution(QueryExecutionId=execution)["QueryExecution"]["Status"]
        if status["State"] not in ("QUEUED", "RUNNING"):
            break
        time.sleep(0.2)
    if status["State"] != "SUCCEEDED":
        raise RuntimeError(f"Athena: {status['State'].lower()}: {status.get('StateChangeReason', 'no reason given')}")
    columns, rows = [], []
    for page in athena.get_paginator("get_query_results").paginate(QueryExecutionId=execution):
        columns = columns or [column["Name"] for column in page["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]]
        rows += [[cell.get("VarCharValue") for cell in row["Data"]] for row in page["ResultSet"]["Rows"]]
    # The first row names the columns.
    return columns, rows[1:]


def text(value):
    return "" if value is None else str(value)


def print_table(columns, rows):
    widths = [max(len(text(cell)) for cell in column) for column in zip(columns, *rows)]
    right = [all(isinstance(row[at], (int, float)) or row[at] is None for row in rows) for at in range(len(columns))]
    for row in [columns, *rows]:
        cells = [text(cell).rjust(width) if number else text(cell).ljust(width) for cell, width, number in zip(row, widths, right)]
        print("  ".join(cells).rstrip())
    print(f"({len(rows)} {'row' if len(rows) == 1 else 'rows'})")


def print_answer(columns, rows, form):
    if form == "json":
        json.dump([dict(zip(columns, row)) for row in rows], sys.stdout, default=str, indent=1)
        print()
    elif form == "csv":
        csv.writer(sys.stdout).writerows([columns, *[[text(cell) for cell in row] for row in rows]])
    else:
        print_table(columns, rows)


def answer(asked):
    statement = statement_of(asked.question)
    if asked.workgroup:
        said = sql.duckdb(statement, files_named=False) if asked.emulated else statement
        return asked_of_athena(said, asked.workgroup, asked.database or asked.workgroup.replace("-", "_"))
    import local

    return local.answer(local.opened(asked.data_dir), statement)


def main():
    asked = options(sys.argv[1:])
    try:
        print_answer(*answer(asked), asked.format)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 three libraries' errors, all of them an answer to who asked
        print(f"ask: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
