"""Every metric of our own that the dashboard or an alarm shows is one that a function writes."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TEMPLATE = (ROOT / "dashboards/cloudwatch/dashboard.json.tftpl").read_text()
ALARMS = [path.read_text() for path in (ROOT / "terraform/modules").glob("*/*.tf")]
REASONS = re.findall(r'=> "([a-z_]+)"', (ROOT / "crates/telemetry/src/reject.rs").read_text())


def shown():
    """Names in the namespace of ours: of the template, where `.` repeats the namespace before, and of the alarms."""
    namespace = None
    for first, name in re.findall(r'\[\s*"([^"]+)", "([^"]+)", ', TEMPLATE):
        namespace = namespace if first == "." else first
        if namespace == "${namespace}" and first != "...":
            yield name
    for text in ALARMS:
        yield from re.findall(r'namespace\s+= var\.metrics_namespace, metric = "(\w+)"', text)


class OurMetrics(unittest.TestCase):
    def test_are_written_by_a_function(self):
        sources = "".join(path.read_text() for path in (ROOT / "consumers").glob("*/src/metrics.rs"))
        names = set(shown())
        self.assertGreater(len(names), 10)
        for name in names:
            with self.subTest(name):
                if reason := name.removeprefix("DeadLetters_") if name.startswith("DeadLetters_") else None:
                    self.assertIn(reason, REASONS)
                else:
                    self.assertIn(f'"{name}"', sources)

    def test_show_every_reason_of_a_dead_letter(self):
        self.assertLessEqual({f"DeadLetters_{reason}" for reason in REASONS}, set(shown()))


if __name__ == "__main__":
    unittest.main()
