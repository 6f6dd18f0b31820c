"""One device's history, driven: what the files of curated statistics hold, across a restart."""

import os
import time

from browser import Tab
from pipeline import Pipeline, eventually

READINGS = 6


def drive_history(results, browser, options, pipelines, directory):
    place = os.path.join(directory, "history")
    pipelines.append(before := Pipeline(options.binary, place, "--curated-interval", "1"))
    for second in range(READINGS):
        before.post("kiln", second, 600 + 7 * second)
        time.sleep(1.2)  # a file between two readings, so that each leaves a state of its own
    before.stop()
    pipelines.append(pipeline := Pipeline(options.binary, place, "--curated-interval", "1"))
    told = pipeline.call("/history?device_id=kiln")[1]
    results.check("a device's states outlive the pipeline", told['rows_found'] >= 4 and told["rows"][-1]["count"] == READINGS, told)
    tab = Tab(browser, pipeline, path="#device=kiln")
    page = tab.page
    message = lambda: page.inner_text("#chart-message") if page.is_visible("#chart-message") else ""
    results.check("after a restart the chart says that it begins with the next reading", eventually(lambda: "begins with the next one" in message()), message())
    page.select_option("#period", "all")
    check_history(results, tab, told['rows_found'], READINGS)
    for period in ("86400", "604800", "2592000"):
        page.select_option("#period", period)
        results.check(f"all of it is of the last {period} seconds", eventually(lambda: caption_of(page).startswith(f"{told['rows_found']} states,")), caption_of(page))
    pipeline.post("kiln", READINGS, 600)
    results.check("a new reading is a new state, at once", eventually(lambda: caption_of(page).startswith(f"{told['rows_found'] + 1} states,")), caption_of(page))
    check_history(results, tab, told['rows_found'] + 1, READINGS + 1)
    if options.screenshots:
        page.locator("#device").screenshot(path=options.screenshots / "history.png")
    page.select_option("#period", "latest")
    results.check("the latest readings are shown again", eventually(lambda: page.get_attribute("#chart .points", "data-count") == "1"))
    page.select_option("#period", "all")
    pipeline.post("oven", 0, 1)
    page.goto(f"{pipeline.ready['dashboard']}#device=nobody")
    results.check("a device that is not there is said not to be", eventually(lambda: "No device has this name" in message()), message())
    results.check("history: nothing was complained about", not tab.complaints, tab.complaints)
    check_failure(results, page, message)
    tab.context.close()
    results.check("SIGTERM ends the pipeline of the history with exit code 0", pipeline.stop() == 0)


def check_failure(results, page, message):
    """What cannot be read is said, is nobody else's, and comes when it can be."""
    page.evaluate("() => { location.hash = 'device=kiln'; }")
    eventually(lambda: caption_of(page).startswith(f"{READINGS + 1} states,"))
    page.route("**/history*", lambda route: route.abort())
    page.evaluate("() => { location.hash = 'device=oven'; }")
    results.check("a history that cannot be read is said not to be", eventually(lambda: "cannot be read just now" in message()), message())
    results.check("and no other device's is shown for it", page.inner_text("#device-title") == "oven" and "states" not in caption_of(page), caption_of(page))
    page.unroute("**/history*")
    results.check("it is shown once it can be read", eventually(lambda: caption_of(page).startswith("1 state,"), 30), caption_of(page))


def caption_of(page):
    return page.inner_text("#chart-caption")


def check_history(results, tab, states, readings):
    page = tab.page
    drawn = eventually(lambda: (page.get_attribute("#chart .mean", "d") or "").count("L") == states - 1)
    results.check(f"{states} states are a line of means", drawn, page.get_attribute("#chart .mean", "d"))
    results.check("with a band of their intervals", "Z" in (page.get_attribute("#chart .interval", "d") or ""))
    results.check("and a median, no readings and no deviation", (page.get_attribute("#chart .median", "d") or "").count("L") == states - 1
                  and not page.get_attribute("#chart .points", "d") and not page.get_attribute("#chart .band", "d"))
    results.check("the legend names what is drawn", not page.is_visible(".legend .of-latest >> nth=0") and "Median" in page.inner_text(".legend"))
    labels = page.locator("#chart text").all_text_contents()
    results.check("the axis says whose time it is", "When the statistics were written" in labels, labels)
    page.focus("#chart")
    page.keyboard.press("End")
    last = page.inner_text("#tooltip").split("\n")
    shown = dict(zip(last[2::2], last[3::2]))
    results.check("the last state is the newest one", shown.get("Count") == str(readings) and "Reading" not in shown, last)
    page.keyboard.press("Home")
    results.check("the first one is older", page.inner_text("#tooltip").split("\n") != last)
    page.keyboard.press("Escape")
