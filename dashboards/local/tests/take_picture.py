"""Takes the dashboard's picture, of real readings: sends a folder of CSV files to a pipeline of its own, and looks.

    python take_picture.py --binary PATH_OF_STREAMGAUGE --readings FOLDER [--device NAME] [--output FILE.png]

The files have the columns timestamp and value, one device a file, as `streamgauge send --csv` takes them.
"""

import argparse
import os
import pathlib
import tempfile

from playwright.sync_api import sync_playwright

from browser import CHROMIUM_FLAGS, Tab
from pipeline import Pipeline, eventually

PICTURE = pathlib.Path(__file__).parents[3] / "docs" / "images" / "dashboard.png"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, help="the streamgauge executable")
    parser.add_argument("--readings", required=True, nargs="+", help="folders of CSV files, or files")
    parser.add_argument("--device", help="the device whose chart is shown; without it the first by name")
    parser.add_argument("--output", type=pathlib.Path, default=PICTURE, help="the PNG to write")
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="a Chromium; none is ever downloaded")
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="streamgauge-picture-") as temporary, sync_playwright() as playwright:
        pipeline = Pipeline(os.path.abspath(options.binary), os.path.join(temporary, "data"))
        browser = playwright.chromium.launch(executable_path=options.chromium, args=CHROMIUM_FLAGS)
        try:
            take(browser, pipeline, options)
        finally:
            browser.close()
            pipeline.stop()
    print(f"{options.output}: {options.output.stat().st_size:,} bytes")


def take(browser, pipeline, options):
    # Small posts: the chart then has a point of the mean for every few readings.
    code, printed = pipeline.command("send", "--csv", *options.readings, "--batch", "10", "--format", "json")
    print(printed.strip())
    if code:
        raise SystemExit(f"send exited with {code}")
    eventually(lambda: pipeline.call("/pipeline")[1]["pending"] == 0, 60)
    tab = Tab(browser, pipeline, width=1280, height=800, path=f"#device={options.device}" if options.device else "")
    eventually(lambda: "L" in (tab.page.get_attribute("#chart .mean", "d") or "") and tab.page.locator("#means .bar").count() > 0)
    tab.page.wait_for_timeout(1500)
    tab.page.evaluate("() => document.activeElement?.blur?.()")
    bottom = tab.page.evaluate("""() => {
        const rows = document.querySelectorAll('#devices tbody tr');
        return rows[Math.min(rows.length, 8) - 1].getBoundingClientRect().bottom + scrollY;
    }""")
    tab.page.screenshot(path=options.output, full_page=True, clip={"x": 0, "y": 0, "width": 1280, "height": round(bottom)})


if __name__ == "__main__":
    main()
