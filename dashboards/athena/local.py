"""The tables over the data directory of `streamgauge up`, in DuckDB: the same names, columns and partitions as on AWS."""

import pathlib

import duckdb
import sql

DUCKDB_TYPES = {"string": "VARCHAR", "int": "INTEGER", "bigint": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN", "timestamp": "TIMESTAMP"}


def place(archive, table):
    """Where a table's files lie, as a pattern. What begins with a dot is not whole yet."""
    return str(archive / {"raw": "raw/dt=*/hour=*/[!.]*", "device_statistics": "curated/device_statistics/dt=*/[!.]*.parquet", "dead_letters": "dead-letters/dt=*/[!.]*.jsonl"}[table])


def relation(connection, archive, table, encoding):
    """The SELECT of a table: over its files, or empty where there are none."""
    described = sql.schema()["tables"][table]
    columns, partitions = described["columns"], described["partitions"]
    types = {name: DUCKDB_TYPES[kind] for name, kind in columns}
    pattern = place(archive, table)
    if not connection.execute("SELECT count(*) FROM glob(?)", [pattern]).fetchone()[0]:
        nothing = [f'CAST(NULL AS {DUCKDB_TYPES[kind]}) AS "{name}"' for name, kind in columns + partitions]
        return f"SELECT {', '.join(nothing)}, CAST(NULL AS VARCHAR) AS \"$path\" WHERE false"
    files = "'" + pattern.replace("'", "''") + "'"
    hive = ", ".join(f"'{name}': VARCHAR" for name, _ in partitions)
    shared = f"filename = true, hive_partitioning = true, hive_types = {{{hive}}}"
    fields = ", ".join(f"'{name}': '{kind}'" for name, kind in types.items())
    reader = {
        "raw": f"read_csv({files}, columns = {{{fields}}}, header = false, auto_detect = false, delim = '\x01', quote = '', escape = '', "
        f"encoding = '{encoding}', strict_mode = false, null_padding = true, max_line_size = 4194304, {shared})",
        "device_statistics": f"read_parquet({files}, {shared})",
        "dead_letters": f"read_json({files}, format = 'newline_delimited', columns = {{{fields}}}, maximum_object_size = 67108864, {shared})",
    }[table]
    names = [f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in types.items()] + [f'"{name}"' for name, _ in partitions]
    return f"SELECT {', '.join(names)}, filename AS \"$path\" FROM {reader}"


def define(connection, archive, encoding):
    for table in sql.schema()["tables"]:
        connection.execute(f'CREATE OR REPLACE VIEW "{table}" AS {relation(connection, archive, table, encoding)}')


def opened(data_directory):
    """A connection that has the tables of a data directory."""
    archive = data_directory / "archive"
    if not archive.is_dir():
        raise FileNotFoundError(f"there is no archive in {data_directory}")
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET VARIABLE archive = ?", [str(archive)])
    define(connection, archive, "utf-8")
    return connection


def answer(connection, statement):
    """Columns and rows of one statement in Athena's dialect."""
    said = sql.duckdb(statement)
    try:
        made = connection.execute(said)
        return [column[0] for column in made.description], made.fetchall()
    except duckdb.InvalidInputException as error:
        if "unicode" not in str(error).lower():
            raise
    # Bytes that are no UTF-8 are a body too, if none that counts. Each is taken for a character then, which changes nothing
    # that views look at: that is ASCII.
    [[archive]] = connection.execute("SELECT getvariable('archive')").fetchall()
    define(connection, pathlib.Path(archive), "latin-1")
    made = connection.execute(said)
    return [column[0] for column in made.description], made.fetchall()
