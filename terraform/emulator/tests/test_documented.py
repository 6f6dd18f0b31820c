"""That the example of docs/analytics.md is read as it stands there."""

import json
import unittest

from emulator import documented


class Documented(unittest.TestCase):
    def test_the_first_five_questions_have_answers_with_all_their_columns(self):
        answers = documented.answers()
        rows = {question: len(rows) for question, rows in answers.items()}
        expected = {"newest_per_device": 2, "readings_per_minute": 3, "silent_devices": 2, "worst_outliers": 3, "duplicates_and_late_arrivals": 2}
        self.assertEqual(rows, expected)
        self.assertEqual(answers["worst_outliers"][0]["device_time"], "2026-01-01 00:02:30")
        self.assertEqual(answers["newest_per_device"][1]["standard_deviation"], "49.42671342502959")

    def test_its_readings_are_lines_of_json(self):
        bodies = [json.loads(line) for line in documented.readings().splitlines()]
        self.assertEqual([body["device_id"] for body in bodies], ["kitchen", "boiler", "boiler"])


if __name__ == "__main__":
    unittest.main()
