"""What .ci/plan-summary publishes, and what it refuses to. The plans are Terraform's own where it is installed."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).with_name("plan-summary")
KEY = "QxR7-secret-key-of-an-api"

# The provider is built into Terraform. `shown` is one that forgets, once applied, that what it was given is sensitive.
CONFIGURATION = """
variable "key" {
  type      = string
  sensitive = true
}

output "keys" {
  value     = { default = var.key }
  sensitive = true
}
"""
SHOWN = """
resource "terraform_data" "shown" {
  input = var.key
}
"""


def summary(text, plan, title="Plan"):
    with tempfile.TemporaryDirectory() as directory:
        paths = [pathlib.Path(directory, name) for name in ("text", "json")]
        paths[0].write_text(text)
        paths[1].write_text(json.dumps(plan))
        return subprocess.run([sys.executable, SCRIPT, title, *paths], capture_output=True, text=True, check=False)


class Refused(unittest.TestCase):
    def refused(self, plan, text=f"+ value = {KEY}"):
        made = summary(text, plan)
        self.assertEqual((made.returncode, made.stdout), (1, ""))
        self.assertNotIn(KEY, made.stderr)

    def test_a_sensitive_attribute_of_a_change(self):
        change = {"before": None, "after": {"keys": [{"key": KEY}]}, "after_sensitive": {"keys": [{"key": True}]}}
        self.refused({"resource_changes": [{"change": change}]})

    def test_a_sensitive_attribute_of_what_is_deleted(self):
        change = {"before": {"key": KEY}, "after": None, "before_sensitive": {"key": True}}
        self.refused({"resource_changes": [{"change": change}]})

    def test_a_sensitive_attribute_of_what_drifted(self):
        change = {"before": {"key": KEY}, "after": None, "before_sensitive": {"key": True}}
        self.refused({"resource_drift": [{"change": change}]})

    def test_a_sensitive_attribute_of_a_module_of_the_state(self):
        resource = {"values": {"value": KEY}, "sensitive_values": {"value": True}}
        module = {"child_modules": [{"child_modules": [{"resources": [resource]}]}]}
        self.refused({"prior_state": {"values": {"root_module": module}}})

    def test_a_sensitive_output(self):
        self.refused({"planned_values": {"outputs": {"api_keys": {"sensitive": True, "value": {"default": KEY}}}}})
        self.refused({"output_changes": {"api_keys": {"after": {"default": KEY}, "after_sensitive": True}}})

    def test_a_sensitive_variable(self):
        declared = {"root_module": {"variables": {"key": {"sensitive": True}}}}
        self.refused({"variables": {"key": {"value": KEY}}, "configuration": declared})

    def test_one_line_of_a_secret_and_a_secret_in_quotes(self):
        output = {"planned_values": {"outputs": {"key": {"sensitive": True, "value": f"first line\n  {KEY}\n"}}}}
        self.refused(output)
        quoted = {"planned_values": {"outputs": {"key": {"sensitive": True, "value": f'"{KEY}"\\'}}}}
        self.refused(quoted, json.dumps({"x": f'"{KEY}"\\'}))


class Published(unittest.TestCase):
    def test_a_plan_whose_secrets_are_left_out(self):
        plan = {"planned_values": {"outputs": {"key": {"sensitive": True, "value": KEY}, "short": {"sensitive": True, "value": "1"}}}}
        made = summary("+ value = (sensitive value)\n+ shards = 1\n", plan, "Plan for production")
        self.assertEqual(made.returncode, 0)
        self.assertEqual(made.stdout, "## Plan for production\n\n```\n+ value = (sensitive value)\n+ shards = 1\n```\n")

    def test_a_text_cannot_close_its_fence(self):
        made = summary("a\n```\n<b>\n", {})
        self.assertTrue(made.stdout.startswith("## Plan\n\n````\na\n```\n<b>\n````\n"), made.stdout)

    def test_a_long_text_is_cut(self):
        made = summary("a" * 1_000_000, {})
        self.assertLess(len(made.stdout), 1_000_000)
        self.assertIn("100000 more characters", made.stdout)


@unittest.skipIf(shutil.which("terraform") is None, "terraform is not installed")
class OfTerraform(unittest.TestCase):
    def planned(self, configuration):
        with tempfile.TemporaryDirectory() as directory:
            pathlib.Path(directory, "main.tf").write_text(configuration)

            def terraform(*arguments):
                command = ["terraform", arguments[0], "-no-color", *arguments[1:]]
                return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True).stdout

            terraform("init")
            terraform("apply", "-auto-approve", f"-var=key={KEY}")
            terraform("plan", "-out=plan", f"-var=key={KEY}2")
            return summary(terraform("show", "plan"), json.loads(terraform("show", "-json", "plan")))

    def test_a_plan_is_published_without_its_secrets(self):
        made = self.planned(CONFIGURATION)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn("keys = (sensitive value)", made.stdout)
        self.assertNotIn(KEY, made.stdout)

    def test_a_plan_that_shows_a_secret_is_refused(self):
        made = self.planned(CONFIGURATION + SHOWN)
        self.assertEqual((made.returncode, made.stdout), (1, ""))


if __name__ == "__main__":
    unittest.main()
