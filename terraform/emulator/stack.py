"""The stack, applied to the emulator from a copy, so that nothing of it stays in the working tree."""

import json
import os
import re
import shutil
import subprocess

from .failure import Failure
from .ministack import variables_without_accounts
from .tools import ROOT

REGION = "eu-central-1"
# What the stack reads beside its own folder.
DOCUMENT = "crates/gateway/openapi.yaml"
DASHBOARDS = "dashboards"

# What an emulator needs of the provider, beside the endpoint in AWS_ENDPOINT_URL.
EMULATED_PROVIDER = """
provider "aws" {
  region                      = var.region
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  s3_use_path_style           = true
}
"""

# The stack less what ministack lacks. It imports no API document, and its own mappings overlook batch item failures: the
# curator's is switched on where nothing is refused.
SETTINGS = {
    "region": REGION,
    "architecture": "x86_64",
    "ingest_enabled": "false",
    "mapping_enabled": "false",
    "deletion_protection": "false",
    "stream_mode": "PROVISIONED",
    "stream_shard_count": "4",
}


class Stack:
    """The stack in `scratch`, against the emulator at `endpoint`."""

    def __init__(self, scratch, endpoint, settings):
        self.directory = copied(scratch)
        (self.directory / "emulated_override.tf").write_text(EMULATED_PROVIDER)
        self.variables = variables_for_terraform(scratch, endpoint)
        self.flags = [flag for name, value in {**SETTINGS, **settings}.items() for flag in ("-var", f"{name}={value}")]

    def terraform(self, *arguments):
        command = ["terraform", *arguments]
        made = subprocess.run(command, cwd=self.directory, env=self.variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if made.returncode != 0:
            raise Failure(f"{made.stdout}\nterraform {arguments[0]} failed")
        return made.stdout

    def apply(self):
        """Gives how many resources were made."""
        self.terraform("init", "-backend=false", "-no-color")
        said = self.terraform("apply", "-auto-approve", "-no-color", *self.flags)
        return number(r"Apply complete! Resources: (\d+) added", said)

    def outputs(self):
        said = json.loads(self.terraform("output", "-json"))
        return {name: output["value"] for name, output in said.items()}

    def destroy(self):
        """Gives how many resources were removed."""
        return number(r"Destroy complete! Resources: (\d+) destroyed", self.terraform("destroy", "-auto-approve", "-no-color", *self.flags))


def number(pattern, text):
    found = re.search(pattern, text)
    if not found:
        raise Failure(f"{text}\nterraform does not say how many resources it made or removed")
    return int(found[1])


def copied(scratch):
    (scratch / DOCUMENT).parent.mkdir(parents=True)
    shutil.copy(ROOT / DOCUMENT, scratch / DOCUMENT)
    shutil.copytree(ROOT / DASHBOARDS, scratch / DASHBOARDS)
    ignored = shutil.ignore_patterns(".terraform*", "__pycache__", "*.tfstate*", "*.auto.tfvars", "backend*.tf", "planned")
    shutil.copytree(ROOT / "terraform", scratch / "terraform", ignore=ignored)
    return scratch / "terraform"


def variables_for_terraform(scratch, endpoint):
    unwanted = ("TF_VAR_", "TF_CLI_ARGS", "TF_DATA_DIR", "TF_WORKSPACE")
    variables = {name: value for name, value in variables_without_accounts().items() if not name.startswith(unwanted)}
    variables |= {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1", "AWS_ENDPOINT_URL": endpoint}
    mirror = os.environ.get("STREAMGAUGE_TERRAFORM_MIRROR")
    if mirror:
        configuration = scratch / "terraform.rc"
        configuration.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n')
        variables["TF_CLI_CONFIG_FILE"] = str(configuration)
    return variables
