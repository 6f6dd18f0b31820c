"""The SQL of this folder: its schema, its views in the order in which they rest on each other, and its queries.

Athena gets every file as it is. Elsewhere there is DuckDB, which speaks another dialect and knows none of the views: `duckdb`
writes a statement anew for it, with the views that it names inside.
"""

import functools
import json
import pathlib

import sqlglot
from sqlglot import exp

FOLDER = pathlib.Path(__file__).resolve().parent


@functools.cache
def schema():
    """Tables and views: name -> {"columns": [[name, type]], "partitions": …}, as the Glue catalog has them."""
    return json.loads((FOLDER / "schema.json").read_text())


def files(kind):
    """Name -> SQL of `views` or `queries`."""
    return {path.stem: path.read_text() for path in sorted((FOLDER / kind).glob("*.sql"))}


def parsed(sql):
    return sqlglot.parse_one(sql, read="athena")


def tables_named(tree):
    """The tables and views that a statement reads; what it names by WITH is its own."""
    own = {cte.alias for cte in tree.find_all(exp.CTE)}
    return {table.name for table in tree.find_all(exp.Table)} - own


@functools.cache
def views():
    """Name -> syntax tree of every view, each after those that it reads."""
    waiting = {name: parsed(sql) for name, sql in files("views").items()}
    ordered = {}
    while waiting:
        ready = [name for name, tree in waiting.items() if not tables_named(tree) & waiting.keys()]
        if not ready:
            raise ValueError(f"these views rest on each other: {', '.join(waiting)}")
        for name in ready:
            ordered[name] = waiting.pop(name)
    return ordered


def with_views(tree):
    """The statement with the views that it reads, directly or not, before it."""
    tree = tree.copy()
    needed, looked_at = set(), [tree]
    while looked_at:
        for name in tables_named(looked_at.pop()) & views().keys() - needed:
            needed.add(name)
            looked_at.append(views()[name])
    own = tree.args.pop("with_", None)
    for name, view in views().items():
        if name in needed:
            tree = tree.with_(name, as_=view.copy())
    for cte in own.expressions if own else []:
        tree = tree.with_(cte.alias, as_=cte.this)
    return tree


def duckdb(sql, files_named=True):
    """One statement of Athena's for DuckDB, views included. Without `files_named` nobody knows the files' names."""
    tree = with_views(parsed(sql))
    for column in list(tree.find_all(exp.Column)):
        if not files_named and column.name == "$path":
            column.replace(exp.Literal.string(""))
    return tree.sql("duckdb", comments=False)
