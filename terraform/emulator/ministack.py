"""The emulator: one process on a free port of 127.0.0.1, ended by its id."""

import contextlib
import os
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request

from .failure import Failure

START_SECONDS = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def variables_without_accounts():
    """This process' variables without a developer's own account, which must have no part in this."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def function_process(endpoint, function):
    """The process that runs a function of the emulator at this endpoint, by the variables that it was given."""
    wanted = {f"AWS_LAMBDA_FUNCTION_NAME={function}".encode(), f"AWS_ENDPOINT_URL={endpoint}".encode()}
    for place in pathlib.Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted <= set(place.read_bytes().split(b"\0")):
                return int(place.parent.name)
    raise Failure(f"no process runs {function}")


def started(process, endpoint):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=1).close()
            return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    return False


@contextlib.contextmanager
def running(executable, scratch, port, proxied):
    """Gives the endpoint. The functions that ministack starts talk to it too, but to table and Firehose by the endpoint `proxied`."""
    endpoint = f"http://127.0.0.1:{port}"
    variables = {
        **variables_without_accounts(),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "LOG_LEVEL": "WARNING",
        "TMPDIR": str(scratch),
        "S3_DATA_DIR": str(scratch / "s3"),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT_URL_DYNAMODB": proxied,
        "AWS_ENDPOINT_URL_FIREHOSE": proxied,
    }
    log = scratch / "ministack.log"
    with log.open("wb") as output:
        # In a session of its own, so that Ctrl-C does not end it before the stack is removed.
        process = subprocess.Popen([executable], env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        try:
            if not started(process, endpoint):
                raise Failure(f"{log.read_text(errors='replace')[-4000:]}\nministack did not start")
            yield endpoint
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
