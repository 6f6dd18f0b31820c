"""One `streamgauge up` over an empty data directory, which the scenario is posted to."""

import json
import pathlib
import signal
import subprocess
import time
import urllib.request


def run(binary, scenario, directory):
    """Posts everything, waits until it is counted, ends the pipeline. Gives what `GET /?device_id=` said of each device."""
    data = pathlib.Path(directory) / "data"
    with open(pathlib.Path(directory) / "log", "wb") as log:
        up = subprocess.Popen([binary, "up", "--port", "0", "--data-dir", str(data)], stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        ready = json.loads(up.stdout.readline())
        url, key_file = ready["ingest"], ready["api_key_file"]
        key = pathlib.Path(key_file).read_text().strip()

        def call(path, body=None):
            headers = {"x-api-key": key, "content-type": "application/json"}
            with urllib.request.urlopen(urllib.request.Request(url + path, body, headers), timeout=30) as answer:
                return json.load(answer)

        for path, body in scenario.posts:
            call(path, body.encode())
        hostile = [(device or "nobody", body) for device, body in scenario.hostile]
        for partition_key, body in hostile + [(partition_key, body.encode()) for partition_key, body, _ in scenario.refused]:
            put = [binary, "put", "--endpoint", url, "--api-key-file", key_file, "--partition-key", partition_key, "-"]
            subprocess.run(put, input=body, check=True, stdout=subprocess.DEVNULL)
        for _ in range(600):
            accounts = call("/pipeline")
            if accounts["pending"] == 0:
                break
            time.sleep(0.1)
        else:
            raise AssertionError(f"the pipeline does not come to an end: {accounts}")
        devices = {device["device_id"]: device for device in call("/devices?limit=1000")["devices"]}
    finally:
        up.send_signal(signal.SIGTERM)
        up.communicate(timeout=60)
    if up.returncode != 0:
        raise AssertionError(f"up ended with {up.returncode}")
    return data, devices, accounts
