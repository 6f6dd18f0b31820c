"""Drives the dashboard page of a whole pipeline in headless Chromium.

Starts `streamgauge up` with a simulated fleet over an empty data directory, opens the page as a person would, and checks
what it shows against what the gateway answers to somebody who holds the key.

    python drive_page.py --binary PATH_OF_STREAMGAUGE [--screenshots DIR] [--chromium PATH]

Ends with "N passed, 0 failed"; the exit code is 0 only then.
"""

import argparse
import json
import os
import pathlib
import re
import sys
import tempfile
import traceback
import urllib.error
import urllib.request

from playwright.sync_api import sync_playwright

import browser as browser_module
import dead_letters
import fleet
import history
from browser import CHROMIUM_FLAGS, Tab
from pipeline import Pipeline, Results, eventually

DEVICES = 25
FLEET = ["--devices", str(DEVICES), "--rate", "100"]
ROWS = "#devices tbody tr[data-device]"
FIRST_STATE = rb'id="first-state">(.*?)</script>'
POLICY = {
    "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'",
    "img-src": "'self' data:", "form-action": "'self'", "base-uri": "'none'", "frame-ancestors": "'none'",
}
FIELDS = ["count", "mean", "median", "standard_deviation", "minimum", "maximum", "anomaly_count", "first_timestamp",
          "last_timestamp", "updated_at"]


class Visit(Tab):
    """A tab of the fleet's page."""

    READY = ROWS

    def tile(self, name):
        return float(self.page.get_attribute(f"#tile-{name} .value", "data-value") or 0)

    def tiles(self):
        # All of one moment: read one by one, they could straddle an update.
        return self.page.evaluate("""() => Object.fromEntries(['accepted', 'counted', 'duplicates', 'dead-letters', 'pending']
            .map((name) => [name, Number(document.querySelector(`#tile-${name} .value`).dataset.value)]))""")

    def column(self, field):
        return self.page.evaluate("""(field) => [...document.querySelectorAll(`#devices tbody td[data-field="${field}"]`)]
            .map((cell) => cell.dataset.value)""", field)

    def names(self):
        return self.page.evaluate(f"() => [...document.querySelectorAll('{ROWS}')].map((row) => row.dataset.device)")

    def shown(self):
        """The chosen device's name and exact numbers, all of one moment."""
        return self.page.evaluate("""() => ({
            device: document.querySelector('#device-title').textContent,
            ...Object.fromEntries([...document.querySelectorAll('#numbers dd')].map((cell) => [cell.dataset.field, cell.dataset.value])),
        })""")


def check_first_sight(results, visit, pipeline):
    policy = dict(part.strip().split(" ", 1) for part in
                  visit.response.headers.get("content-security-policy", "").split(";") if part.strip())
    results.check("the page's content security policy allows its own origin alone", policy == POLICY, policy)
    count = eventually(lambda: visit.page.locator(ROWS).count() == DEVICES)
    results.check(f"the table shows {DEVICES} devices", count, visit.page.locator(ROWS).count())
    results.check("the page says that it is connected",
                  eventually(lambda: visit.page.get_attribute("#connection", "data-state") == "connected"))
    cookies = visit.context.cookies()
    results.check("the session cookie is HttpOnly and SameSite=Strict",
                  cookies and all(cookie["httpOnly"] and cookie["sameSite"] == "Strict" for cookie in cookies), cookies)
    held = visit.page.evaluate("() => document.cookie + document.documentElement.outerHTML + JSON.stringify({...localStorage})")
    results.check("the page holds no key", pipeline.key not in held and all(pipeline.key not in c["value"] for c in cookies))
    results.check("without key or session nothing is answered", pipeline.call("/pipeline", key=False)[0] in (401, 403))
    cookie = "; ".join(f"{c['name']}={c['value']}" for c in cookies)
    request = urllib.request.Request(pipeline.ingest + "/data", b'{"device_id":"a","timestamp":"2024-05-01T10:00:00Z","value":1}',
                                     {"content-type": "application/json", "cookie": cookie})
    try:
        status = urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error:
        status = error.code
    results.check("the session is good for reading alone", status in (401, 403), status)


def check_live_numbers(results, visit):
    before, counted = visit.column("count"), visit.tile("counted")
    moved = eventually(lambda: sum(a != b for a, b in zip(before, visit.column("count"))) >= DEVICES // 2)
    results.check("the devices' numbers move", moved, before)
    results.check("the counted tile rises", eventually(lambda: visit.tile("counted") > counted), counted)
    rate = eventually(lambda: 30 < float(visit.page.inner_text("#rate .value").replace(",", "").replace("–", "0")) < 300, 30)
    results.check("the rate shown is near the 100 readings/s that are sent", rate, visit.page.inner_text("#rate"))
    results.check("accepted comes to counted + duplicates + dead letters", eventually(lambda: reconciles(visit), 30), visit.tiles())
    results.check("the page says so itself", eventually(
        lambda: visit.page.get_attribute("#reconciliation", "data-state") == "balanced", 30))
    results.check("the pipeline is said to keep up", visit.page.inner_text("#pipeline-state") == "Keeping up",
                  visit.page.inner_text("#pipeline-state"))


def reconciles(visit):
    tiles = visit.tiles()
    known = tiles["counted"] + tiles["duplicates"] + tiles["dead-letters"]
    # A fleet that goes on sending has some on the way at most moments.
    return tiles["accepted"] == known + tiles["pending"] and known > 0


def check_chart(results, visit):
    page = visit.page
    points = eventually(lambda: int(page.get_attribute("#chart .points", "data-count") or 0) >= 5)
    results.check("the chart draws readings as points", points)
    for part, name in [("mean", "the running mean as a line"), ("median", "the median"), ("interval", "the mean's 95% interval"),
                       ("band", "the band of ±1 standard deviation")]:
        drawn = eventually(lambda part=part: "L" in (page.get_attribute(f"#chart .{part}", "d") or ""))
        results.check(f"the chart draws {name}", drawn, page.get_attribute(f"#chart .{part}", "d"))
    box = page.locator("#chart .band").bounding_box()
    results.check("the band has an area", box and box["width"] > 50 and box["height"] > 5, box)
    labels = page.locator("#chart text").all_text_contents()
    results.check("both axes are labelled, and named", len(labels) >= 5 and any(":" in label for label in labels)
                  and "Timestamp of the reading" in labels and any("unit" in label for label in labels), labels)
    page.hover("#chart", position={"x": 500, "y": 150})
    results.check("pointing shows a reading's exact values", page.is_visible("#tooltip") and "Reading" in page.inner_text("#tooltip"))
    page.mouse.move(2, 2)
    page.focus("#chart")
    page.keyboard.press("End")
    last = page.inner_text("#tooltip")
    page.keyboard.press("ArrowLeft")
    results.check("arrow keys move from reading to reading", last and page.inner_text("#tooltip") not in ("", last), last)
    page.keyboard.press("Escape")
    results.check("Escape puts the crosshair away", page.is_hidden("#tooltip"))


def check_table(results, visit):
    page = visit.page
    for field in ("count", "mean", "standard_deviation"):
        heading = f'#devices th[data-key="{field}"]'
        for expected in ("descending", "ascending"):
            page.click(f"{heading} button")
            eventually(lambda: (keys := [float(value) for value in visit.column(field)]) == sorted(keys, reverse=expected == "descending"), 5)
            keys = [float(value) for value in visit.column(field)]
            results.check(f"the table sorts by {field}, {expected}", page.get_attribute(heading, "aria-sort") == expected
                          and keys == sorted(keys, reverse=expected == "descending"), keys)
    page.click('#devices th[data-key="device_id"] button')
    by_name = lambda: (names := visit.names()) == sorted(names, key=lambda name: [int(part) if part.isdigit() else part
                                                                                  for part in re.split(r"(\d+)", name)]) and names
    names = eventually(by_name)
    results.check("by name, numbers are ordered as numbers", names, visit.names())
    wanted = names[-1]
    page.fill("#search", wanted.upper())
    expected = [name for name in names if wanted.lower() in name.lower()]
    results.check("search leaves the devices whose names contain it", eventually(lambda: visit.names() == expected), visit.names())
    page.fill("#search", "no such device")
    results.check("search for nobody says so", eventually(lambda: visit.names() == [] and page.is_visible("#no-match")))
    page.fill("#search", "")
    results.check("an empty search shows all again", eventually(lambda: visit.names() == names), visit.names())


def check_choice(results, visit, pipeline):
    page, names = visit.page, visit.names()
    results.check("the first device is chosen at first", visit.shown()["device"] == names[0], visit.shown())
    line = page.get_attribute("#chart .mean", "d")
    page.click(f'tr[data-device="{names[3]}"] td[data-field="mean"]')
    results.check("a click on a row chooses its device", eventually(lambda: visit.shown()["device"] == names[3]), visit.shown())
    results.check("the chart changes with it", eventually(lambda: page.get_attribute("#chart .mean", "d") not in ("", line)))
    results.check("the choice stands in the address", page.url.endswith(f"#device={names[3]}"), page.url)
    page.focus(f'tr[data-device="{names[3]}"] a')
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    results.check("arrow and Enter choose the next row", eventually(lambda: visit.shown()["device"] == names[4]), visit.shown())
    pairs = []

    def same_count():
        shown, (_, answer) = visit.shown(), pipeline.call(f"/?device_id={names[4]}")
        pairs[:] = [shown, answer]
        return shown["count"] == str(answer["count"])

    results.check("the page comes to the count that GET / answers", eventually(same_count, 30), pairs)
    check_equal(results, "a moving device's numbers equal GET /", *pairs)


def check_equal(results, fact, shown, answer):
    wrong = [field for field in FIELDS if not equal(shown[field], answer[field])]
    interval = answer["mean_confidence_95"] or {"low": None, "high": None}
    wrong += [end for end in ("low", "high") if not equal(shown[f"confidence_{end}"], interval[end])]
    results.check(fact, not wrong, f"{wrong}: {shown} {answer}")


def equal(shown, answered):
    if answered is None or isinstance(answered, str):
        return shown == (answered or "")
    return shown != "" and float(shown) == answered


def check_worked_example(results, visit, pipeline):
    page, device = visit.page, "worked.example:1"
    statuses = [pipeline.post(device, 1, 35)]
    page.evaluate("(device) => { location.hash = `device=${device}` }", device)
    results.check("one reading has no standard deviation", eventually(
        lambda: (shown := visit.shown())["count"] == "1" and shown["standard_deviation"] == ""), visit.shown())
    statuses += [pipeline.post(device, second, value) for second, value in [(2, 40), (3, 123), (3, 123), (2, 41)]]
    results.check("readings are accepted", statuses == [200] * 5, statuses)
    results.check("35, 40 and 123 are counted once each", eventually(lambda: visit.shown()["count"] == "3"), visit.shown())
    shown, (_, answer) = visit.shown(), pipeline.call(f"/?device_id={device}")
    check_equal(results, "a resting device's numbers equal GET /", shown, answer)
    text = {field: page.inner_text(f'#numbers dd[data-field="{field}"]') for field in ("mean", "median", "standard_deviation")}
    results.check("the page reads mean 66, median 40, standard deviation 49.4267…", text["mean"] == "66" and text["median"] == "40"
                  and text["standard_deviation"].startswith("49.4267"), text)
    results.check("a new device joins the fleet", eventually(lambda: page.inner_text("#device-count") == str(DEVICES + 1)))
    results.check("one page of the table holds 25 rows", page.locator(ROWS).count() == 25)
    first = visit.names()
    page.click("#page-next")
    results.check("the next page holds the one that is left", eventually(
        lambda: len(visit.names()) == 1 and visit.names()[0] not in first), visit.names())
    page.select_option("#page-size", "50")
    results.check("a larger page holds them all", eventually(
        lambda: device in visit.names() and len(visit.names()) == DEVICES + 1), visit.names())
    results.check("a repeated reading is shown as a duplicate", eventually(lambda: visit.tile("duplicates") == 1), visit.tiles())
    results.check("a conflicting one is shown as a dead letter, with its reason", eventually(
        lambda: visit.tile("dead-letters") == 1 and page.is_visible('#dead-letter-reasons [data-reason="conflicting_duplicate"]')),
        visit.tiles())
    link = page.get_attribute('#dead-letter-reasons [data-reason="conflicting_duplicate"] a', "href")
    results.check("which leads to the dead letters of that reason", link == "/dashboard/dead-letters#reason=conflicting_duplicate", link)
    results.check("the page asks for a look at dead letters", page.is_visible("#dead-letter-state"))
    results.check("the tiles still add up", eventually(lambda: reconciles(visit), 30), visit.tiles())


def check_weight_and_quiet(results, visit, pipeline):
    files = {url.split("#")[0] for url in visit.requests if "/dashboard" in url}
    bodies = [visit.context.request.get(url).body() for url in files]
    whole = sum(map(len, bodies))
    results.check("the page weighs less than 300 KB", whole < 300_000, whole)
    state = sum(len(found[1]) for body in bodies if (found := re.search(FIRST_STATE, body)))
    results.check("and less than 100 KB without the state that it comes with", 20_000 < whole - state < 100_000, (whole, state))
    foreign = [url for url in visit.requests if not url.startswith((pipeline.ingest + "/", "data:"))]
    results.check("no request left the origin", not foreign, foreign)
    results.check("nothing was complained about in the console", not visit.complaints, visit.complaints)


def check_opening(results, browser, pipeline):
    """What the page comes with is enough to show everything, before it has been told anything."""
    context = browser_module.new_context(browser)
    context.route(re.compile("/(events|fleet|recent)"), lambda route: route.abort())
    page = context.new_page()
    page.goto(pipeline.ready["dashboard"])
    page.wait_for_selector(ROWS)
    first = page.get_attribute(f"{ROWS} >> nth=0", "data-device")
    results.check("a page that hears nothing shows the devices that it came with", page.locator(ROWS).count() == DEVICES)
    results.check("and the first one's numbers", page.inner_text("#device-title") == first
                  and page.get_attribute('#numbers [data-field="mean"]', "data-value") == page.get_attribute(f'{ROWS} [data-field="mean"] >> nth=0', "data-value"))
    shown = {part: page.locator(selector).count() for part, selector in
             {"readings": "#chart .points[data-count]", "means": "#means .bar", "freshness": "#freshness .bar"}.items()}
    results.check("and the charts", all(shown.values()) and int(page.get_attribute("#chart .points", "data-count")) > 0, shown)
    results.check("and says that it is not told", eventually(lambda: page.get_attribute("#connection", "data-state") == "reconnecting"))
    other = page.get_attribute(f"{ROWS} >> nth=3", "data-device")
    page.goto("about:blank")
    page.goto(f"{pipeline.ready['dashboard']}#device={other}")
    page.wait_for_selector(ROWS)
    results.check("a device that the address names is shown instead", page.inner_text("#device-title") == other
                  and page.get_attribute(f'{ROWS}[aria-current="true"]', "data-device") == other)
    context.close()


def check_looks(results, browser, pipeline, screenshots):
    for name, width, height in [("desktop", 1280, 900), ("phone", 390, 844), ("narrow", 360, 740)]:
        for scheme in ("light", "dark"):
            visit = Visit(browser, pipeline, width, height, scheme)
            page = visit.page
            eventually(lambda: "L" in (page.get_attribute("#chart .mean", "d") or "") and page.inner_text("#rate .value") != "–"
                       and len((page.get_attribute("#devices .trend >> nth=0", "points") or "").split()) > 3)
            results.check(f"no sideways scrolling at {width}x{height}, {scheme}", not visit.scrolls_sideways())
            background = page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor")
            brightness = sum(int(part) for part in background[4:-1].split(",")[:3]) / 3
            results.check(f"the {scheme} theme follows the system at {width}x{height}", (brightness > 128) == (scheme == "light"), background)
            if screenshots:
                page.screenshot(path=screenshots / f"{name}-{scheme}.png")
                page.screenshot(path=screenshots / f"{name}-{scheme}-whole.png", full_page=True)
            results.check(f"no complaints at {width}x{height}, {scheme}", not visit.complaints, visit.complaints)
            visit.context.close()


def check_alarms(results, browser, pipeline):
    """What is wrong is said in plain words, and never with `Keeping up` in its place."""
    page = told(browser, pipeline, "pipeline", {"unexplained": 3})
    check_badge(results, page, "Totals don’t add up")
    text = page.inner_text("#reconciliation .text")
    results.check("and how many readings", text == "3 more counted or dead letters than accepted"
                  and page.get_attribute("#reconciliation", "data-state") == "difference", text)
    page.context.close()
    page = told(browser, pipeline, "health", {"status": "degraded", "reason": "the disk is full"})
    check_badge(results, page, "Not storing readings")
    results.check("and why", page.get_attribute("#pipeline-state", "title") == "the disk is full")
    page.context.close()


def told(browser, pipeline, member, wrong):
    """A page that is told the pipeline's state with something wrong in it."""
    _, state = pipeline.call("/fleet")
    state[member] |= wrong
    event = f"event: state\ndata: {json.dumps(state)}\n\n"
    context = browser_module.new_context(browser)
    context.route(re.compile("/events"), lambda route: route.fulfill(content_type="text/event-stream", body=event))
    page = context.new_page()
    page.goto(pipeline.ready["dashboard"])
    return page


def check_badge(results, page, badge):
    shown = eventually(lambda: page.inner_text("#pipeline-state") == badge)
    results.check(f"the page says “{badge}”, as an alarm", shown and page.get_attribute("#pipeline-state", "data-state") == "bad",
                  page.inner_text("#pipeline-state"))


def check_theme_toggle(results, visit):
    page = visit.page
    theme = "() => getComputedStyle(document.documentElement).colorScheme"
    page.click("#theme-toggle")
    results.check("the toggle switches to dark", page.evaluate(theme) == "dark", page.evaluate(theme))
    page.reload()
    page.wait_for_selector(ROWS)
    results.check("the choice of theme is remembered", page.evaluate(theme) == "dark", page.evaluate(theme))


def check_restart(results, visit, pipeline, binary):
    page, port = visit.page, int(pipeline.ingest.rsplit(":", 1)[1])
    code = pipeline.stop()
    results.check("SIGTERM ends the pipeline with exit code 0", code == 0, code)
    results.check("the page says that it reconnects", eventually(
        lambda: page.get_attribute("#connection", "data-state") == "reconnecting"))
    again = Pipeline(binary, pipeline.ready["data_dir"], *FLEET, port=port)
    state = eventually(lambda: (s := page.get_attribute("#connection", "data-state")) in ("connected", "ended") and s, 30)
    if state == "ended":  # the new process does not know the old one's session
        results.check("an ended session offers to reload", page.is_visible("#reload"))
        page.click("#reload")
    counted = visit.tile("counted") if state == "connected" else 0
    results.check("after a restart the page is live again", eventually(
        lambda: page.get_attribute("#connection", "data-state") == "connected" and visit.tile("counted") > counted, 30))
    results.check("after a restart the tiles still add up", eventually(lambda: reconciles(visit), 30), visit.tiles())
    return again


def drive(results, browser, options, pipelines, data_dir):
    pipelines.append(pipeline := Pipeline(options.binary, os.path.join(data_dir, "fleet"), *FLEET))
    results.check("the ready line names the addresses and the key", pipeline.ready["event"] == "ready"
                  and pipeline.ready["dashboard"] == pipeline.ingest + "/dashboard", pipeline.ready)
    visit = Visit(browser, pipeline)
    check_first_sight(results, visit, pipeline)
    check_live_numbers(results, visit)
    check_chart(results, visit)
    check_table(results, visit)
    check_choice(results, visit, pipeline)
    fleet.check_overview(results, visit, pipeline)
    fleet.check_events(results, visit)
    check_looks(results, browser, pipeline, options.screenshots)
    check_alarms(results, browser, pipeline)
    check_worked_example(results, visit, pipeline)
    check_theme_toggle(results, visit)
    check_weight_and_quiet(results, visit, pipeline)
    check_opening(results, browser, pipeline)
    pipelines.append(again := check_restart(results, visit, pipeline, options.binary))
    visit.context.close()
    code = again.stop()
    results.check("SIGTERM ends the restarted pipeline with exit code 0", code == 0, code)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, help="the streamgauge executable")
    parser.add_argument("--screenshots", type=pathlib.Path, help="where to write screenshots")
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="a Chromium; none is ever downloaded")
    parser.add_argument("--files", help="take the scripts and styles from this folder, instead of those in the executable")
    parser.add_argument("--only", choices=["fleet", "history", "letters", "many"], help="drive one of the pages alone")
    options = parser.parse_args()
    browser_module.files = options.files
    options.binary = os.path.abspath(options.binary)
    if options.screenshots:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    results, pipelines = Results(), []
    with tempfile.TemporaryDirectory(prefix="streamgauge-page-") as temporary, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=CHROMIUM_FLAGS)
        try:
            for name, drive_it in [("fleet", drive), ("history", history.drive_history), ("letters", dead_letters.drive), ("many", fleet.drive_many)]:
                if options.only in (None, name):
                    drive_it(results, browser, options, pipelines, temporary)
        except Exception:
            results.check("the test runs to its end", False, traceback.format_exc())
        finally:
            browser.close()
            for pipeline in pipelines:
                if pipeline.process.poll() is None:
                    pipeline.process.kill()
                    pipeline.process.wait()
    print(f"{results.passed} passed, {results.failed} failed")
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
