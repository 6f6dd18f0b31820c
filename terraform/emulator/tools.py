"""What has to be there, and what is built: ministack, the functions' zips, and the command."""

import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

from .failure import Failure, demand

ROOT = pathlib.Path(__file__).resolve().parents[2]
TERRAFORM_AT_LEAST = (1, 9)
RUST_AT_LEAST = (1, 90)


def version(command, pattern):
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    found = re.search(pattern, said)
    demand(found, f"`{' '.join(command)}` says no version, but: {said.strip()[:200]}")
    return tuple(map(int, found.groups()))


def check_machine():
    """Everything that is missing, at once."""
    missing = []
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        missing.append(f"an x86_64 Linux, since ministack starts the function's binary itself: this is {platform.system()} on {platform.machine()}")
    if sys.version_info < (3, 10):
        missing.append(f"Python 3.10 or later: this is {platform.python_version()}")
    needed = [
        ("cargo", "Rust (https://rustup.rs)", RUST_AT_LEAST, r"cargo (\d+)\.(\d+)"),
        ("terraform", "Terraform (https://developer.hashicorp.com/terraform/install)", TERRAFORM_AT_LEAST, r"Terraform v(\d+)\.(\d+)"),
    ]
    for command, name, at_least, pattern in needed:
        wanted = f"{name} {at_least[0]}.{at_least[1]} or later"
        if shutil.which(command) is None:
            missing.append(f"{wanted}: there is no `{command}`")
        elif (there := version([command, "--version"], pattern)) < at_least:
            missing.append(f"{wanted}: `{command}` is {there[0]}.{there[1]}")
    demand(not missing, "what is needed is not there:\n" + "\n".join(f"  {line}" for line in missing))


def environment(name):
    """The place of a Python environment with pinned packages, made where it is not there yet."""
    command = [ROOT / ".ci/environment", name, ROOT / f".ci/requirements-{name}.txt"]
    made = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    demand(made.returncode == 0, f"the packages of .ci/requirements-{name}.txt could not be installed")
    return pathlib.Path(made.stdout.strip())


def build(what, command, variables):
    made = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode != 0:
        raise Failure(f"{made.stdout}\n{what} could not be built: `{' '.join(map(str, command))}` failed")
    return made.stdout


def target_directory():
    said = build("nothing", ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"], {})
    return pathlib.Path(json.loads(said[said.index("{"):])["target_directory"])


def function_zips(tools):
    """The zips that a user deploys, for this machine's processor, as docs/deploy.md builds them: aggregator's and curator's."""
    path = {"PATH": f"{tools / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    build("the functions", [tools / "bin/cargo-lambda", "lambda", "build", "--profile", "function", "--x86-64", "--locked"], path)
    return [target_directory() / "lambda" / name / "bootstrap.zip" for name in ("aggregator", "curator")]


def check_command(path):
    """Whether it is one that knows AWS: said now rather than after minutes."""
    said = subprocess.run([path, "send", "--kinesis", "x", "--jsonl", "/dev/null"], env={}, capture_output=True, text=True).stderr
    demand("built without AWS" not in said, f"{path} was built without AWS: it needs `--features aws`")


def command():
    """The `streamgauge` that knows AWS; unoptimised where that costs nothing here."""
    build("streamgauge", ["cargo", "build", "--locked", "--features", "aws"], {})
    return target_directory() / "debug/streamgauge"
