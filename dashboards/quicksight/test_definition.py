"""The dashboard's definition uses columns that its views have, as what they are, and lays nothing over another."""

import json
import pathlib
import re
import unittest

HERE = pathlib.Path(__file__).resolve().parent
DEFINITION = json.loads((HERE / "dashboard.json").read_text())
VIEWS = json.loads((HERE.parent / "athena/schema.json").read_text())["views"]
NUMBERS = {"int", "bigint", "double", "INTEGER", "DECIMAL"}
AGGREGATES = {"number": {"SUM", "AVERAGE", "MIN", "MAX", "MEDIAN"}, "time": {"MIN", "MAX"}, "text": {"COUNT", "DISTINCT_COUNT"}}
# QuickSight's grid has so many columns.
GRID = 36


def columns(data_set):
    calculated = {field["name"]: field["type"] for field in DEFINITION["calculated"] if field["data_set"] == data_set}
    return {name: kind for name, kind in VIEWS[data_set]["columns"]} | calculated


def kind(data_set, column):
    found = columns(data_set)[column]
    return "number" if found in NUMBERS else "time" if found in ("timestamp", "DATETIME") else "text"


def visuals():
    return [(sheet, visual) for sheet in DEFINITION["sheets"] for visual in sheet["visuals"]]


class TheDefinition(unittest.TestCase):
    def test_has_data_sets_that_are_views(self):
        self.assertLessEqual(set(DEFINITION["data_sets"]), set(VIEWS))
        self.assertEqual({visual["data_set"] for _, visual in visuals()}, set(DEFINITION["data_sets"]))

    def test_aggregates_columns_that_are_there_as_what_they_are(self):
        for _, visual in visuals():
            measures = [*visual.get("values", []), *[visual[axis] for axis in ("x", "y") if axis in visual]]
            with self.subTest(visual["id"]):
                for column, aggregate in measures:
                    self.assertIn(aggregate, AGGREGATES[kind(visual["data_set"], column)])
                self.assertTrue(measures or visual["columns"])

    def test_gives_each_kind_of_visual_what_it_needs(self):
        for _, visual in visuals():
            with self.subTest(visual["id"]):
                of = lambda column: kind(visual["data_set"], column)
                category = visual.get("category")
                if visual["type"] == "line":
                    self.assertEqual((of(category[0]), category[1]), ("time", "HOUR"))
                    self.assertEqual({of(column) for column, _ in visual["values"]}, {"number"})
                elif visual["type"] == "bar":
                    self.assertIn(of(category[0]), ("time", "text"))
                    self.assertNotIn("time", {of(column) for column, _ in visual["values"]})
                elif visual["type"] == "scatter":
                    self.assertEqual((of(category[0]), of(visual["x"][0]), of(visual["y"][0])), ("text", "number", "number"))
                elif visual["type"] == "histogram":
                    self.assertEqual([of(column) for column, _ in visual["values"]], ["number"])
                elif visual["type"] == "table":
                    self.assertLessEqual(set(visual["columns"]), set(columns(visual["data_set"])))
                    self.assertIn(visual["sort"][0], visual["columns"])
                else:
                    self.assertEqual((visual["type"], len(visual["values"])), ("kpi", 1))

    def test_calculates_from_columns_that_are_there(self):
        for field in DEFINITION["calculated"]:
            named = re.findall(r"\{(\w+)\}", field["expression"])
            self.assertTrue(named)
            self.assertLessEqual(set(named), {name for name, _ in VIEWS[field["data_set"]]["columns"]})

    def test_lays_visuals_beside_each_other(self):
        for sheet in DEFINITION["sheets"]:
            taken = set()
            for visual in sheet["visuals"]:
                column, row, width, height = visual["place"]
                cells = {(column + across, row + down) for across in range(width) for down in range(height)}
                self.assertTrue(0 <= column and column + width <= GRID, visual["id"])
                self.assertFalse(cells & taken, visual["id"])
                taken |= cells

    def test_says_for_each_sheet_whom_it_is_for_and_what_they_decide(self):
        for sheet in DEFINITION["sheets"]:
            self.assertRegex(sheet["purpose"], r"^For who .+: .+\?")
            self.assertNotRegex(sheet["purpose"], "[<>&]")

    def test_names_everything_once(self):
        names = [visual["id"] for _, visual in visuals()] + [sheet["id"] for sheet in DEFINITION["sheets"]]
        self.assertEqual(len(names), len(set(names)))

    def test_filters_by_a_device_that_is_there_to_choose(self):
        parameter = DEFINITION["device_parameter"]
        self.assertIn(parameter["column"], columns(parameter["data_set"]))
        [sheet] = [sheet for sheet in DEFINITION["sheets"] if sheet["id"] == parameter["sheet"]]
        self.assertEqual({visual["data_set"] for visual in sheet["visuals"]}, {parameter["data_set"]})


if __name__ == "__main__":
    unittest.main()
