"""Every SQL file is Athena's, and reads and gives the columns that the Glue catalog of Terraform has (schema.json)."""

import pathlib
import sys
import tempfile
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent)]

import local
import sql
import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify

# What Athena's own reference lists of functions (engine version 3), as far as the files use them.
FUNCTIONS = {
    "abs", "approx_percentile", "avg", "cardinality", "cast", "coalesce", "concat", "count", "count_if", "current_date",
    "current_timestamp", "date_diff", "date_trunc", "from_base64", "from_utf8", "json_extract", "json_extract_scalar",
    "json_format", "json_parse", "length", "lower", "max", "min", "regexp_extract", "regexp_like", "row_number", "rpad",
    "stddev_samp", "substr", "sum", "try", "try_cast", "unnest",
}
ATHENA_TYPES = {"string": "VARCHAR", "int": "INT", "bigint": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN", "timestamp": "TIMESTAMP"}


def columns_of(described):
    return described["columns"] + described.get("partitions", [])


def catalog():
    """What the optimizer has to know: every table's and view's columns, and the name of the file that Athena adds."""
    everything = sql.schema()["tables"] | sql.schema()["views"]
    tables = {name: {column: ATHENA_TYPES[kind] for column, kind in columns_of(described)} for name, described in everything.items()}
    tables["raw"]["$path"] = "VARCHAR"
    return tables


class EverySqlFile(unittest.TestCase):
    def setUp(self):
        self.statements = {f"{kind}/{name}": text for kind in ("views", "queries") for name, text in sql.files(kind).items()}
        self.assertGreaterEqual(len(self.statements), 12)

    def each(self):
        for name, text in self.statements.items():
            with self.subTest(name):
                yield name, text

    def test_is_one_question_in_athenas_dialect(self):
        for _, text in self.each():
            [statement] = sqlglot.parse(text, read="athena")
            self.assertIsInstance(statement, exp.Select)

    def test_reads_columns_that_are_there(self):
        for _, text in self.each():
            qualify(sql.parsed(text), schema=catalog(), dialect="athena", validate_qualify_columns=True)

    def test_a_column_that_is_not_there_is_found(self):
        with self.assertRaises(sqlglot.errors.OptimizeError):
            qualify(sql.parsed("SELECT modian FROM latest_statistics"), schema=catalog(), dialect="athena", validate_qualify_columns=True)

    def test_calls_functions_that_athena_has(self):
        for _, text in self.each():
            # By the words before brackets: the syntax tree has its own names for some functions.
            tokens = sqlglot.tokenize(text, read="athena")
            called = {before.text.lower() for before, after in zip(tokens, tokens[1:]) if after.text == "(" and before.text.isidentifier()}
            words = {"as", "and", "or", "on", "in", "over", "by", "then", "else", "when", "not", "from", "part", "array", "with"}
            self.assertLessEqual(called - words, FUNCTIONS)

    def test_a_query_begins_with_its_question(self):
        for name, text in self.each():
            self.assertTrue(text.startswith("-- "))
            if name.startswith("queries/"):
                self.assertIn("?", text.splitlines()[0])

    def test_reads_the_archive_by_the_day_or_says_that_it_does_not(self):
        unbounded = {"views/arrivals", "views/readings", "queries/duplicates_and_late_arrivals", "queries/worst_outliers"}
        for name, text in self.each():
            if sql.tables_named(sql.parsed(text)) & {"raw", "arrivals", "readings"} and name not in unbounded:
                self.assertIn("dt >=", text)


class EveryView(unittest.TestCase):
    def test_is_in_the_schema_and_the_schema_has_no_other(self):
        self.assertEqual(set(sql.files("views")), set(sql.schema()["views"]))

    def test_gives_the_columns_that_the_catalog_says(self):
        with tempfile.TemporaryDirectory() as directory:
            (pathlib.Path(directory) / "archive").mkdir()
            connection = local.opened(pathlib.Path(directory))
            for name, described in sql.schema()["views"].items():
                with self.subTest(name):
                    found = connection.execute(f"DESCRIBE {sql.duckdb(f'SELECT * FROM {name}')}").fetchall()
                    # DuckDB counts what holds a condition in wider integers.
                    given = [[column, kind.replace("HUGEINT", "BIGINT")] for column, kind, *_ in found]
                    self.assertEqual(given, [[column, local.DUCKDB_TYPES[kind]] for column, kind in described["columns"]])

    def test_comes_after_the_views_that_it_reads(self):
        ordered = list(sql.views())
        for name, tree in sql.views().items():
            for read in sql.tables_named(tree) & set(ordered):
                self.assertLess(ordered.index(read), ordered.index(name))


class AStatementForDuckdb(unittest.TestCase):
    def test_has_the_views_that_it_needs_and_no_others(self):
        said = sql.duckdb("WITH mine AS (SELECT * FROM readings) SELECT count(*) AS n FROM mine")
        names = [cte.alias for cte in sqlglot.parse_one(said, read="duckdb").args["with_"].expressions]
        self.assertEqual(names, ["arrivals", "readings", "mine"])

    def test_leaves_a_name_of_its_own_alone(self):
        self.assertNotIn("dead_letters", sql.duckdb("WITH readings AS (SELECT 1 AS x) SELECT x FROM readings"))

    def test_can_do_without_the_files_names(self):
        self.assertNotIn("$path", sql.duckdb("SELECT * FROM readings", files_named=False))


if __name__ == "__main__":
    unittest.main()
