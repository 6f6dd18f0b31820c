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


def counts_of(page, chart):
    """The bars of a chart, and how many devices it says that it does not draw, all of one moment."""
    counts, note = page.evaluate("""(chart) => [[...document.querySelectorAll(`#${chart} .bar`)].map((bar) => Number(bar.dataset.count)),
        document.querySelector(`#${chart}-note`)?.textContent ?? '']""", chart)
    return counts, sum(int(found.replace(",", "")) for found in re.findall(r"([\d,]+) devices?", note))


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
        counts, beyond = counts_of(page, chart)
        results.check(f"every device stands in one bar of {chart}", sum(counts) + beyond == told["devices"], (counts, beyond))
        said = bars(page, chart)
        results.check(f"arrow keys walk through the bars of {chart}, each with its devices", len(said) == len(counts)
                      and all("Devices" in lines and number(lines[lines.index("Devices") + 1]) >= 0 for lines in said), said)
    results.check("devices that post are fresh", sum(counts_of(page, "freshness")[0][:2]) == told["devices"])
    check_pick(results, visit)


def check_pick(results, visit):
    page = visit.page
    counts, _ = counts_of(page, "means")
    fullest = max(range(len(counts)), key=lambda index: counts[index])
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
    names = lambda: page.evaluate(f"() => [...document.querySelectorAll('{ROWS}')].map((row) => row.dataset.device)")
    page.click("#devices th[data-key=mean] button")
    results.check("sorting is over all of them", eventually(lambda: names()[:1] == [top]), (names()[:1], top))
    page.click("#devices th[data-key=device_id] button")
    wanted = pipeline.call("/devices?limit=1000")[1]["devices"][777]["device_id"]
    page.fill("#search", wanted)
    results.check("search finds one of them", eventually(lambda: len(found := names()) < 25 and wanted in found), (names(), wanted))
    page.click(f'tr[data-device="{wanted}"] td >> nth=1')
    results.check("which can be chosen", eventually(lambda: page.inner_text("#device-title") == wanted), page.inner_text("#device-title"))
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
