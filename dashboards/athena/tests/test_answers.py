"""Every view and query, asked of what a pipeline wrote, against an oracle that knows what was posted.

STREAMGAUGE_BINARY names the program that writes it.
"""

import datetime
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import curated
import local
import oracle
import pipeline
import scenario
import sql


def utc_now():
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)


def hour_of(at):
    return at.replace(minute=0, second=0, microsecond=0)


class Answers(unittest.TestCase):
    """One pipeline for all; each fact is a method."""

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="streamgauge-answers-")
        cls.addClassCleanup(cls.directory.cleanup)
        # Everything has to arrive within one hour for late and not late to be known beforehand.
        left = 3600 - (time.time() % 3600)
        time.sleep(left + 1 if left < 30 else 0)
        cls.began = utc_now()
        cls.scenario = scenario.Scenario(cls.began)
        cls.data, cls.devices, cls.accounts = pipeline.run(os.environ["STREAMGAUGE_BINARY"], cls.scenario, cls.directory.name)
        cls.ended = utc_now()
        cls.written = curated.ensure(cls.data, cls.devices)
        cls.connection = local.opened(cls.data)
        cls.expected = oracle.readings(cls.scenario.posted)
        cls.refused = [reading for _, _, readings in cls.scenario.refused for reading in readings]
        cls.statistics = oracle.device_statistics(cls.scenario.posted)

    def ask(self, statement):
        columns, rows = local.answer(self.connection, sql.files("queries").get(statement, statement))
        return [dict(zip(columns, row)) for row in rows]

    def close(self, given, expected, why=None):
        self.assertTrue(math.isclose(given, expected, rel_tol=1e-12, abs_tol=1e-12), f"{given} is not {expected} {why or ''}")

    # The views.

    def test_readings_are_each_identity_once_and_the_first_stands(self):
        given = {(row["device_id"], row["epoch_second"], row["nanosecond"], row["event_id"]): row for row in self.ask("SELECT * FROM readings")}
        self.assertEqual(given.keys(), self.expected.keys())
        self.assertEqual(len(given), self.accounts["counted"])
        for name, (reading, copies, conflicting) in self.expected.items():
            found = (given[name]["value"], given[name]["copies"], given[name]["is_conflicting"], given[name]["device_time"])
            self.assertEqual(found, (reading.value, copies, conflicting, oracle.device_time(reading.timestamp)), name)

    def test_readings_say_when_they_arrived_and_how_late(self):
        for row in self.ask("SELECT * FROM readings"):
            self.assertTrue(hour_of(self.began) <= row["arrival_hour"] <= self.ended)
            self.assertEqual(f"{row['arrival_hour']:%Y-%m-%d %H}", f"{row['dt']} {row['hour']}")
            late = (row["arrival_hour"] - row["device_time"].replace(microsecond=0)).total_seconds()
            self.assertLessEqual(abs(late - row["seconds_late_at_least"]), 1)

    def test_arrivals_are_every_copy_and_lose_nothing(self):
        rows = self.ask("SELECT * FROM arrivals")
        self.assertEqual(len(rows), len(self.scenario.posted) + len(self.refused) + len(self.scenario.hostile))
        self.assertEqual(len(rows), self.accounts["accepted"])
        valid = sorted((row["device_id"], row["posted_timestamp"], row["value"], row["event_id"] or "") for row in rows if row["is_valid"])
        self.assertEqual(valid, sorted((reading.device_id, reading.timestamp, reading.value, reading.event_id or "") for reading in self.scenario.posted + self.refused))
        self.assertEqual(sum(not row["is_json"] for row in rows), self.accounts["dead_letters"]["malformed_json"])

    def test_dead_letters_are_those_that_the_pipeline_counted(self):
        given = {row["reason"]: row["n"] for row in self.ask("SELECT reason, count(DISTINCT id) AS n FROM dead_letters GROUP BY reason")}
        self.assertEqual(given, {reason: count for reason, count in self.accounts["dead_letters"].items() if count})

    def test_latest_statistics_are_those_of_the_readings(self):
        rows = {row["device_id"]: row for row in self.ask("SELECT * FROM latest_statistics")}
        self.assertEqual(rows.keys(), self.statistics.keys())
        for device, expected in self.statistics.items():
            row, answered = rows[device], self.devices[device]
            for name, value in expected.items():
                if value is None or not isinstance(value, float):
                    self.assertEqual(row[name], value, (device, name))
                else:
                    self.close(row[name], value, (device, name))
            self.assertEqual(row["anomaly_count"], answered["anomaly_count"])
            interval = answered["mean_confidence_95"] or {"low": None, "high": None}
            self.assertEqual((row["mean_confidence_95_low"], row["mean_confidence_95_high"]), (interval["low"], interval["high"]))

    def test_the_views_agree_with_each_other(self):
        found = self.ask("""
            SELECT latest.device_id, latest.count, count(*) AS readings, latest.mean, avg(readings.value) AS average
            FROM latest_statistics AS latest JOIN readings ON readings.device_id = latest.device_id
            GROUP BY latest.device_id, latest.count, latest.mean""")
        self.assertEqual(len(found), len(self.devices))
        for row in found:
            self.assertEqual(row["count"], row["readings"])
            self.close(row["mean"], row["average"])

    def test_history_has_each_revision_once(self):
        rows = self.ask("SELECT device_id, revision FROM statistics_history")
        self.assertEqual(sorted((row["device_id"], row["revision"]) for row in rows), sorted(self.written))
        repeated = self.ask("SELECT count(*) AS n FROM device_statistics")[0]["n"]
        self.assertGreater(repeated, len(rows), "the data must hold rows that were delivered twice")

    def test_data_quality_accounts_for_what_arrived(self):
        total = {name: sum(row[name] for row in self.ask("SELECT * FROM data_quality")) for name in self.ask("SELECT * FROM data_quality")[0] if name != "arrival_hour"}
        self.assertEqual(total["readings"], self.accounts["accepted"])
        self.assertEqual(total["not_json"], self.accounts["dead_letters"]["malformed_json"])
        self.assertEqual(total["not_json"] + total["not_valid"], len(self.scenario.hostile))
        self.assertEqual(total["repeated"], sum(copies - 1 for _, copies, _ in self.expected.values()))
        self.assertEqual(total["repeated"], self.accounts["duplicates"] + self.accounts["dead_letters"]["conflicting_duplicate"])
        self.assertEqual(total["conflicts"], self.accounts["dead_letters"]["conflicting_duplicate"])
        self.assertEqual(total["dead_letters"], sum(self.accounts["dead_letters"].values()))

    # The queries.

    def test_newest_per_device(self):
        rows = self.ask("newest_per_device")
        self.assertEqual([row["device_id"] for row in rows], sorted(self.statistics))
        first = next(row for row in rows if row["device_id"] == "first")
        self.assertEqual((first["count"], first["mean"], first["median"]), (3, 66.0, 40.0))
        self.assertEqual(f"{first['standard_deviation']:.4f}", "49.4267")
        self.assertIn(first["minutes_since"], range(29, 40))

    def test_readings_per_minute(self):
        expected = oracle.per_minute(self.scenario.posted)
        rows = {row["minute"]: row for row in self.ask("readings_per_minute")}
        self.assertEqual(rows.keys(), expected.keys())
        for minute, values in expected.items():
            row = rows[minute]
            self.assertEqual(row["readings"], len(values))
            self.close(row["mean"], statistics.fmean(values))
            if len(values) > 1:
                self.close(row["standard_deviation"], statistics.stdev(values))
            else:
                self.assertIsNone(row["standard_deviation"])
            # Approximate: between the values next to the middle.
            ordered = sorted(values)
            near = max(1, len(ordered) // 50)
            middle = len(ordered) // 2
            self.assertTrue(ordered[max(0, middle - 1 - near)] <= row["median"] <= ordered[min(len(ordered) - 1, middle + near)])

    def test_silent_devices(self):
        rows = self.ask("silent_devices")
        expected = sorted(
            (found["last_timestamp"], device) for device, found in self.statistics.items() if found["last_timestamp"] < self.ended - datetime.timedelta(hours=1)
        )
        self.assertEqual([(row["last_timestamp"], row["device_id"]) for row in rows], expected)
        self.assertIn("silent", [row["device_id"] for row in rows])
        self.assertIn(rows[0]["minutes_silent"], range(299, 310))

    def test_worst_outliers(self):
        rows = self.ask("worst_outliers")
        expected = []
        for reading, _, _ in self.expected.values():
            of_device = self.statistics[reading.device_id]
            if of_device["standard_deviation"]:
                expected.append((abs(reading.value - of_device["mean"]) / of_device["standard_deviation"], reading.device_id, reading.value))
        expected.sort(reverse=True)
        self.assertEqual(len(rows), 100)
        self.assertEqual({row["device_id"] for row in rows[:12]}, {f"fleet-{number:02}" for number in range(12)})
        for row, (deviations, _, _) in zip(rows, expected):
            self.close(row["deviations"], deviations)

    def test_duplicates_and_late_arrivals(self):
        rows = {row["device_id"]: row for row in self.ask("duplicates_and_late_arrivals")}
        for device in ("retrying", "contradicting", "clocks", "late", "silent"):
            mine = [found for found in self.expected.values() if found[0].device_id == device]
            self.assertEqual(rows[device]["readings"], len(mine))
            self.assertEqual(rows[device]["duplicates"], sum(copies - 1 for _, copies, _ in mine))
            self.assertEqual(rows[device]["conflicting"], sum(conflicting for _, _, conflicting in mine))
        self.assertEqual([rows[device]["late"] for device in ("retrying", "late", "silent", "clocks")], [0, 5, 1, 2])
        self.assertEqual(rows.keys(), {"retrying", "contradicting", "clocks", "late", "silent"})

    def test_device_history(self):
        rows = self.ask("device_history")
        self.assertEqual([row["revision"] for row in rows], sorted(revision for device, revision in self.written if device == "first"))
        self.assertEqual((rows[-1]["count"], rows[-1]["mean"], rows[-1]["median"]), (3, 66.0, 40.0))

    def test_cost_by_partition(self):
        rows = self.ask("cost_by_partition")
        batch_bodies = 3  # of the one batch, each a record of its own
        self.assertEqual(sum(row["bodies"] for row in rows), len(self.scenario.posts) - 1 + batch_bodies + len(self.scenario.hostile) + len(self.scenario.refused))
        self.assertEqual(sum(row["files"] for row in rows), len(list((self.data / "archive/raw").glob("dt=*/hour=*/*.gz"))))

    # The facts can fail: SQL that is wrong in one place, and the fact that finds it.

    MUTANTS = [
        ("readings", "is_refused, ", "", "readings_are_each_identity_once_and_the_first_stands"),
        ("readings", "  PARTITION BY device_id, epoch_second, nanosecond, event_id\n", "  PARTITION BY device_id, epoch_second, event_id\n", "readings_are_each_identity_once_and_the_first_stands"),
        ("readings", "  PARTITION BY device_id, epoch_second, nanosecond, event_id\n", "  PARTITION BY device_id, epoch_second, nanosecond\n", "readings_are_each_identity_once_and_the_first_stands"),
        ("readings", "least < greatest", "copies > 1", "readings_are_each_identity_once_and_the_first_stands"),
        ("readings", " AND NOT is_refused", "", "readings_are_each_identity_once_and_the_first_stands"),
        ("readings_per_minute", " AND NOT is_refused", "", "readings_per_minute"),
        ("readings", "WHERE is_valid", "", "readings_are_each_identity_once_and_the_first_stands"),
        ("readings", "device_time, arrival_hour", "arrival_hour, device_time", "readings_say_when_they_arrived_and_how_late"),
        ("arrivals", " - offset_seconds END", " + offset_seconds END", "readings_are_each_identity_once_and_the_first_stands"),
        ("arrivals", "local_millisecond - offset_seconds", "local_millisecond + offset_seconds", "readings_are_each_identity_once_and_the_first_stands"),
        ("arrivals", "= 'z' THEN 0", "= 'z' THEN 3600", "readings_are_each_identity_once_and_the_first_stands"),
        ("arrivals", "THEN series ELSE ARRAY[body] END) AS part(reading)\n)", "THEN series END) AS part(reading)\n)", "arrivals_are_every_copy_and_lose_nothing"),
        ("arrivals", "    AND timed.is_formed\n", "", "arrivals_are_every_copy_and_lose_nothing"),
        ("arrivals", "    AND timed.device_json LIKE '\"%'\n", "", "arrivals_are_every_copy_and_lose_nothing"),
        ("arrivals", "    AND regexp_like(timed.value_json, '^-?[0-9]')\n", "", "arrivals_are_every_copy_and_lose_nothing"),
        ("arrivals", "    AND abs(timed.value) <= 1E100\n", "", "arrivals_are_every_copy_and_lose_nothing"),
        ("arrivals", "    AND timed.device_time <= timed.arrival_hour + INTERVAL '65' MINUTE", "", "arrivals_are_every_copy_and_lose_nothing"),
        ("arrivals", "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](", "[0-9]{2}:[0-9]{2}:[0-9]{2}(", "arrivals_are_every_copy_and_lose_nothing"),
        ("latest_statistics", "revision DESC, ", "", "latest_statistics_are_those_of_the_readings"),
        ("statistics_history", "device_id, revision ORDER", "device_id, count, mean, updated_at, revision ORDER", "history_has_each_revision_once"),
        ("data_quality", "count(DISTINCT id) AS", "0 AS", "data_quality_accounts_for_what_arrived"),
        ("data_quality", "is_valid AND place > 1", "place > 1", "data_quality_accounts_for_what_arrived"),
        ("readings_per_minute", "is_refused, ", "", "readings_per_minute"),
        ("readings_per_minute", "WHERE place = 1 AND", "WHERE", "readings_per_minute"),
        ("readings_per_minute", "stddev_samp", "stddev_pop", "readings_per_minute"),
        ("silent_devices", "- INTERVAL '1' HOUR", "- INTERVAL '9' HOUR", "silent_devices"),
        ("worst_outliers", "latest.mean) / latest.standard_deviation", "latest.median) / latest.standard_deviation", "worst_outliers"),
        ("duplicates_and_late_arrivals", "sum(copies) - count(*) AS", "sum(copies) AS", "duplicates_and_late_arrivals"),
        ("duplicates_and_late_arrivals", "count_if(seconds_late_at_least > 3600) AS", "count_if(seconds_late_at_least > 0) AS", "duplicates_and_late_arrivals"),
    ]

    def test_every_mutant_is_caught(self):
        whole = {kind: sql.files(kind) for kind in ("views", "queries")}
        self.addCleanup(sql.views.cache_clear)
        for name, text, replacement, fact in self.MUTANTS:
            wrong = {kind: {**files, **({name: files[name].replace(text, replacement)} if name in files else {})} for kind, files in whole.items()}
            with self.subTest(f"{name}: {text}"):
                self.assertNotEqual(wrong, whole)
                with unittest.mock.patch.object(sql, "files", wrong.get):
                    sql.views.cache_clear()
                    with self.assertRaises(AssertionError):
                        getattr(self, f"test_{fact}")()

    # The command.

    def test_the_command_answers_the_same(self):
        asked = subprocess.run(
            [sys.executable, HERE.parent / "ask.py", "--data-dir", self.data, "--format", "csv", "SELECT count(*) AS readings, sum(copies) AS posted FROM readings"],
            capture_output=True, text=True, check=True,
        )
        self.assertEqual(asked.stdout.split(), ["readings,posted", f"{len(self.expected)},{len(self.scenario.posted)}"])

    def test_the_command_says_what_is_wrong(self):
        asked = subprocess.run([sys.executable, HERE.parent / "ask.py", "--data-dir", self.data, "SELECT modian FROM readings"], capture_output=True, text=True)
        self.assertEqual((asked.returncode, asked.stdout), (2, ""))
        self.assertIn("modian", asked.stderr)


if __name__ == "__main__":
    unittest.main()
