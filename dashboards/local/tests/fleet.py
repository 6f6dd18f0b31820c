"""The fleet's page, driven: the overview, what it is told, and 10,000 devices."""

import os
import re
import time

from browser import Tab
from pipeline import Pipeline, eventually

MANY = 10_000
ROWS = "#devices tbody tr[data-device]"


def number(text):
    return float(text.replace(",", "").split()[0])


def bars(page, chart):
    """What a bar chart's tooltip says of each bar, walked through by keyboard."""
    page.focus(f"#{chart}")
    page.keyboard.press("Home")
    told = []
    for _ in range(page.locator(f"#{chart} .bar").count()):
        told.append(page.inner_text(f"#{chart} .tooltip").split("\n"))
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    return told


def devices_in(told):
    return [number(lines[lines.index("Devices") + 1]) for lines in told]


def check_overview(results, visit, pipeline):
    page = visit.page
    shown = lambda name: page.get_attribute(f"#figure-{name} .value", "data-value")
    same = []

    def equal():
        told = pipeline.call("/fleet")[1]["overview"]
        same[:] = [told, {name: shown(name) for name in ("devices", "readings", "anomalies")}]
        return all(float(same[1][name]) == told[name] for name in ("devices", "readings", "anomalies"))

    results.check("the fleet's figures come to those of GET /fleet", eventually(equal, 30), same)
    answers = [pipeline.call(f"/?device_id={name}")[1] for name in visit.names()]
    told = pipeline.call("/fleet")[1]["overview"]
    total = sum(answer["count"] for answer in answers)
    results.check("whose readings are those of its devices, to the second", abs(told["readings"] - total) < 1000 and total > 0, (told["readings"], total))
    for chart, name in [("freshness", "Time since the device was last counted"), ("means", "Mean of a device"),
                        ("deviations", "Standard deviation of a device")]:
        labels = page.locator(f"#{chart} text").all_text_contents()
        results.check(f"the axes of {chart} have marks and names", len(labels) >= 5 and "Devices" in labels
                      and any(label.startswith(name) for label in labels), labels)
        counts = devices_in(bars(page, chart))
        beyond = [int(found) for found in re.findall(r"(\d+) devices?", page.inner_text(f"#{chart}-note"))] if chart != "freshness" else []
        results.check(f"every device stands in one bar of {chart}", sum(counts) + sum(beyond) == told["devices"], (counts, beyond))
    results.check("devices that post are fresh", devices_in(bars(page, "freshness"))[0] == told["devices"])
    check_pick(results, visit)


def check_pick(results, visit):
    page = visit.page
    told = bars(page, "means")
    fullest = max(range(len(told)), key=lambda index: devices_in(told)[index])
    page.focus("#means")
    page.keyboard.press("Home")
    for _ in range(fullest):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    results.check("Enter on a bar shows its devices in the table", eventually(lambda: page.is_visible("#range")))
    low, high = [float(part.replace(",", "")) for part in re.findall(r"-?[\d.,]+", page.inner_text("#range-text"))]
    slack = (high - low) * 0.2 + abs(high) * 1e-3
    means = [float(value) for value in visit.column("mean")]
    results.check("whose means lie in it", means and all(low - slack <= mean <= high + slack for mean in means), (low, high, means))
    page.click("#range-clear")
    results.check("and all devices again when that is closed", eventually(lambda: page.is_hidden("#range") and len(visit.names()) == 25))


def check_events(results, visit):
    page = visit.page
    before = len(visit.requests)
    count = visit.tile("counted")
    page.wait_for_timeout(3000)
    asked = [url for url in visit.requests[before:] if "/recent" not in url]
    results.check("the page is told, and asks for nothing again and again", asked == [] and visit.tile("counted") > count, asked)


def drive_many(results, browser, options, pipelines, directory):
    """10,000 devices: what the page loads and shows stays small, and finding one of them is quick."""
    pipelines.append(pipeline := Pipeline(options.binary, os.path.join(directory, "many")))
    code, printed = pipeline.command("send", "--devices", str(MANY), "--readings", "2", "--format", "json", timeout=600)
    results.check("10,000 devices are sent", code == 0, printed)
    eventually(lambda: pipeline.call("/pipeline")[1]["pending"] == 0, 120)
    tab = Tab(browser, pipeline, ready=ROWS)
    page = tab.page
    results.check("the page counts them", eventually(lambda: page.inner_text("#device-count") == "10,000"), page.inner_text("#device-count"))
    results.check("and shows 25", page.locator(ROWS).count() == 25)
    nodes = page.evaluate("() => document.querySelectorAll('*').length")
    results.check("its document stays small", nodes < 2500, nodes)
    top = pipeline.call("/fleet?sort=mean&order=descending&limit=1")[1]["devices"][0]["device_id"]
    first = lambda: page.get_attribute(f"{ROWS} >> nth=0", "data-device")
    for click, expected in [("#devices th[data-key=mean] button", top)]:
        page.click(click)
        results.check("sorting is over all of them", eventually(lambda: first() == expected), (first(), expected))
    page.click("#devices th[data-key=device_id] button")
    page.fill("#search", "9999")
    results.check("search finds one of them", eventually(lambda: page.locator(ROWS).count() == 1 and first().endswith("9999")), first())
    page.click(f"{ROWS} >> nth=0")
    results.check("which can be chosen", eventually(lambda: page.inner_text("#device-title").endswith("9999")), page.inner_text("#device-title"))
    page.fill("#search", "")
    eventually(lambda: page.locator(ROWS).count() == 25)
    page.click("#page-next")
    results.check("the next page follows", eventually(lambda: page.inner_text("#page-range").startswith("26–50 of")), page.inner_text("#page-range"))
    started = time.monotonic()
    page.reload()
    page.wait_for_selector(ROWS)
    took = time.monotonic() - started
    results.check("it opens within two seconds, on however busy a machine", took < 2, took)
    results.check("10,000 devices: nothing was complained about", not tab.complaints, tab.complaints)
    tab.context.close()
    results.check("SIGTERM ends it with exit code 0", pipeline.stop() == 0)
