"""Measures how fast the dashboard's page opens, and how much it loads, with many devices.

    python measure_page.py --binary PATH_OF_STREAMGAUGE [--devices 10000] [--loads 20]

A load is measured in a browser without a cache, from the beginning of the navigation until table, charts and numbers are
on the screen; its size is everything that came over the network until then. On a busy machine the time says more about the
machine: the processor time that page and pipeline took for it is told too.
"""

import argparse
import os
import pathlib
import statistics
import tempfile

from playwright.sync_api import sync_playwright

from browser import CHROMIUM_FLAGS
from pipeline import Pipeline, eventually

# Notes when the first frame has been drawn in which everything stands: a message posted by a frame is handled after it.
WATCH = """
const isThere = () => document.querySelectorAll('#devices tbody tr').length >= 25 && document.querySelector('#means .bar rect')
    && document.querySelector('#freshness .bar rect') && (document.querySelector('#chart .points')?.getAttribute('d') ?? '') !== ''
    && document.querySelector('#numbers dd').dataset.value;
const { port1: drawn, port2: frame } = new MessageChannel();
drawn.onmessage = () => { if (isThere()) window.openedAfter ??= performance.now(); else requestAnimationFrame(look); };
const look = () => frame.postMessage(null);
requestAnimationFrame(look);
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, help="the streamgauge executable")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--loads", type=int, default=20)
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="a Chromium; none is ever downloaded")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streamgauge-measure-") as temporary, sync_playwright() as playwright:
        pipeline = Pipeline(os.path.abspath(options.binary), os.path.join(temporary, "data"))
        browser = playwright.chromium.launch(executable_path=options.chromium, args=CHROMIUM_FLAGS)
        try:
            measure(browser, pipeline, options)
        finally:
            browser.close()
            pipeline.stop()


def measure(browser, pipeline, options):
    code, printed = pipeline.command("send", "--devices", str(options.devices), "--readings", "12", "--format", "json", timeout=600)
    if code:
        raise SystemExit(f"send exited with {code}: {printed}")
    eventually(lambda: pipeline.call("/pipeline")[1]["pending"] == 0, 120)
    before = processor_ms(pipeline)
    times, sizes, busy = zip(*(load(browser, pipeline) for _ in range(options.loads)))
    of_pipeline = (processor_ms(pipeline) - before) / options.loads
    ordered = sorted(times)
    print(f"{options.devices:,} devices, {options.loads} loads: median {statistics.median(times):.0f} ms, slowest {ordered[-1]:.0f} ms, "
          f"largest {max(sizes) / 1000:.0f} KB; processor time: page {statistics.median(busy):.0f} ms, pipeline {of_pipeline:.0f} ms")


def processor_ms(pipeline):
    """What the pipeline's process has taken so far, in milliseconds of processor time."""
    fields = pathlib.Path(f"/proc/{pipeline.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def load(browser, pipeline):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.add_init_script(WATCH)
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    sizes = []
    # A stream of events never finishes: its parts count as they come.
    session.on("Network.dataReceived", lambda event: sizes.append(event["dataLength"]))
    session.on("Network.responseReceived", lambda event: sizes.append(event["response"]["encodedDataLength"]))
    page.goto(pipeline.ready["dashboard"], wait_until="commit")
    page.wait_for_function("() => window.openedAfter !== undefined")
    opened = page.evaluate("() => window.openedAfter")
    busy = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}["TaskDuration"] * 1000
    context.close()
    return opened, sum(sizes), busy


if __name__ == "__main__":
    main()
