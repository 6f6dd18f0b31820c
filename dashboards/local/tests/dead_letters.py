"""The page of dead letters, driven: what it shows of hostile payloads, and how it sends letters again."""

import json
import os

from browser import Tab
from pipeline import Pipeline, eventually

PATH = "/dead-letters"
ROWS = "#letters tbody tr[data-letter]"
MARKUP = '<img src=x onerror="document.title=1"><script>document.title=1</script><b id=theirs>'
# What must not reach a screen as it is, as the page's own list and the command's have it.
UNSAFE = (r"[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Noncharacter_Code_Point}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800"
          r"\u3164\ufe00-\ufe0f\uffa0\u{e0000}-\u{e0fff}]")
HOSTILE = {
    "markup in a payload": MARKUP.encode(),
    "markup in a member's name": json.dumps({"device_id": "d", MARKUP: 1}).replace("}", f", {json.dumps(MARKUP)}: 2}}").encode(),
    "markup in a device": json.dumps({"device_id": MARKUP, "timestamp": "2026-01-01T00:00:00Z", "value": 1}).encode(),
    "terminal commands": b'{"value":"\x1b]0;title\x07\x1b[2J\x9b31m"}',
    "characters that turn the line": '{"value":"\u202e}1:"eulav"{\u2066\u200b\u2028"}'.encode(),
    "hidden characters": "\ufeff\u00ad\u180e\ufe0f\U000e0041\u3164\u2800".encode(),
    "right-to-left letters": '{"value":"\u05d0\u05d1", "\u0627":1}'.encode(),
    "every byte": bytes(range(256)),
    "invalid UTF-8": b"\xff" * 4000,
    "half a character": b'{"a":"\xed\xa0\x80"}',
    "half a character, escaped": b'{"device_id":"\\ud800","timestamp":"2026-01-01T00:00:00Z","value":1}',
    "combining marks": ("z" + "\u0300\u0310\u0489" * 600).encode(),
    "256 KiB of arrays": b"[" * (256 * 1024),
    "256 KiB of objects": b'{"a":' * (256 * 1024 // 5),
    "one long line": b"x" * (256 * 1024),
    "many lines": b"\n" * 5000,
    "nothing": b"",
}


def reading(device, value, second=0):
    return json.dumps({"device_id": device, "timestamp": f"2026-01-01T00:00:{second:02}Z", "value": value}).encode()


class LetterTab(Tab):
    """A tab of the page of dead letters."""

    def __init__(self, browser, pipeline, **options):
        super().__init__(browser, pipeline, path=PATH, **options)

    def ids(self):
        return self.page.evaluate(f"() => [...document.querySelectorAll('{ROWS}')].map((row) => row.dataset.letter)")

    def open(self, letter):
        self.page.click(f'tr[data-letter="{letter}"] td >> nth=0')
        return eventually(lambda: self.page.is_visible("#letter-present") and self.page.inner_text("#letter-id") == letter)

    def filter(self, **values):
        for name, value in values.items():
            field = f"#filter-{name}"
            if name in ("reason", "since"):
                self.page.select_option(field, value)
            else:
                self.page.fill(field, value)

    def unsafe(self):
        """What stands anywhere in the page's text that no screen should get."""
        return self.page.evaluate("""(unsafe) => {
            const text = document.body.textContent + [...document.querySelectorAll('[title]')].map((node) => node.title).join('');
            return [...text.replaceAll('\\n', '').matchAll(new RegExp(unsafe, 'gu'))].map(([found]) => found.codePointAt(0).toString(16));
        }""", UNSAFE)

    def foreign_elements(self):
        return self.page.evaluate("() => document.querySelectorAll('body img, body script, #theirs, iframe, object').length")

    def outcomes(self):
        return self.page.evaluate("""() => [...document.querySelectorAll('#outcomes tbody tr')].map((row) =>
            [row.querySelector('th').title, row.dataset.action, row.cells[4].textContent])""")


def letters(pipeline, query=""):
    return pipeline.call(f"/dead-letters{query}")[1]["dead_letters"]


def drive(results, browser, options, pipelines, directory):
    pipelines.append(pipeline := Pipeline(options.binary, os.path.join(directory, "letters")))
    tab = LetterTab(browser, pipeline)
    results.check("without dead letters the page says so", eventually(lambda: tab.page.is_visible("#none")))
    for payload in HOSTILE.values():
        pipeline.put(payload)
    expected = len(HOSTILE)
    found = eventually(lambda: len(tab.ids()) == expected, 30)
    results.check("new dead letters appear by themselves", found, len(tab.ids()))
    check_hostile(results, tab, pipeline)
    check_marking(results, tab, pipeline)
    fill(pipeline)
    check_summary(results, tab, pipeline)
    check_search(results, tab, pipeline)
    check_chart(results, tab)
    check_preview(results, tab, pipeline)
    check_redrive(results, tab, pipeline)
    check_editing(results, tab, pipeline)
    foreign = [url for url in tab.requests if not url.startswith((pipeline.ingest + "/", "data:"))]
    results.check("no request of the page of dead letters left the origin", not foreign, foreign)
    # The wrong repair and the wrong key were on purpose.
    expected = [complaint for complaint in tab.complaints if "400" not in complaint and "403" not in complaint]
    results.check("nothing was complained about in the console there", not expected, expected)
    tab.context.close()
    check_looks(results, browser, pipeline, options.screenshots)
    code = pipeline.stop()
    results.check("SIGTERM ends that pipeline with exit code 0", code == 0, code)


def check_hostile(results, tab, pipeline):
    title = tab.page.title()
    by_size = {len(payload): name for name, payload in HOSTILE.items()}
    wrong = []
    for letter in tab.ids():
        name = letter
        if not tab.open(letter):
            wrong.append(f"{name} does not open")
        size = int(tab.page.inner_text("#letter-bytes").split()[0].replace(",", ""))
        name = by_size.get(size, name)
        if unsafe := tab.unsafe():
            wrong.append(f"{name}: {unsafe[:5]}")
        if tab.foreign_elements() or tab.page.title() != title:
            wrong.append(f"{name}: markup became part of the page")
        if tab.scrolls_sideways():
            wrong.append(f"{name}: the page scrolls sideways")
    results.check(f"{len(HOSTILE)} hostile payloads are shown as text, without a character that hides or commands", not wrong, wrong)
    shown = tab.page.evaluate("() => document.body.textContent")
    results.check("what they hold can be read", "\\u001b[2J" in shown or "<img src=x" in shown)
    tab.page.evaluate("() => document.querySelectorAll('[data-letter] a')[0].focus()")
    tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("Enter")
    second = tab.ids()[1]
    results.check("arrow and Enter open the next letter", eventually(lambda: tab.page.inner_text("#letter-id") == second))
    results.check("the letter stands in the address", f"letter={second}" in tab.page.url, tab.page.url)


def check_marking(results, tab, pipeline):
    pipeline.put(b'{"device_id":"marked","timestamp":"2026-01-01T00:00:00Z","value":"warm"}')
    letter = eventually(lambda: letters(pipeline, "?device_id=marked"))[0]["id"]
    eventually(lambda: letter in tab.ids())
    tab.open(letter)
    mark = eventually(lambda: tab.page.inner_text("#letter-payload mark"))
    results.check("the wrong member is marked in its payload", mark == '"warm"', mark)
    whole = tab.page.inner_text("#letter-payload")
    results.check("around it stands the payload", whole.startswith('{"device_id":"marked"') and whole.endswith("}"), whole)
    where = tab.page.inner_text("#letter-where")
    results.check("its place is named", where.startswith("value, line 1, column 66 (byte 65)"), where)
    _, printed = pipeline.command("dlq", "show", letter)
    results.check("`dlq show` names the same place", f"where           {where}" in printed, printed)


def fill(pipeline):
    for number in range(6):
        pipeline.put(reading(f"boiler-{number % 2}", "warm", number))
    pipeline.put(reading("kitchen", 1), "kitchen")
    pipeline.put(reading("kitchen", 2), "kitchen")  # another value of one instant
    pipeline.put(reading("cellar", 3), "another")   # under another key


def check_summary(results, tab, pipeline):
    total = len(HOSTILE) + 1 + 6 + 2
    results.check("the page counts what stands in the queue", eventually(
        lambda: tab.page.inner_text("#letter-count") == str(total), 20), tab.page.inner_text("#letter-count"))
    _, printed = pipeline.command("dlq", "summary", "--format", "json")
    summary = json.loads(printed)
    shown = tab.page.evaluate("""() => Object.fromEntries([...document.querySelectorAll('#reasons button')]
        .map((button) => [button.dataset.reason, Number(button.querySelector('b').textContent)]))""")
    told = {code: of["letters"] for code, of in summary["reasons"].items()}
    results.check("by reason they are those of `dlq summary`", shown == told, (shown, told))


def check_search(results, tab, pipeline):
    tab.filter(text="WARM")
    results.check("search finds what stands in a payload, in either case", eventually(lambda: len(tab.ids()) == 7), len(tab.ids()))
    tab.filter(device="boiler-1")
    results.check("with a device it finds that one's", eventually(lambda: len(tab.ids()) == 3), len(tab.ids()))
    tab.filter(text="nowhere to be found")
    results.check("what is not there is said not to be", eventually(lambda: tab.page.is_visible("#letters-none")))
    tab.page.click("#filter-clear")
    tab.page.click('#reasons button[data-reason="conflicting_duplicate"]')
    results.check("a reason of the summary filters by itself", eventually(lambda: len(tab.ids()) == 1), tab.ids())
    tab.filter(since="1h")
    results.check("the last hour holds it", eventually(lambda: len(tab.ids()) == 1), tab.ids())
    tab.page.reload()
    results.check("the filter stands in the address", eventually(
        lambda: len(tab.ids()) == 1 and tab.page.input_value("#filter-reason") == "conflicting_duplicate"), tab.page.url)
    tab.page.click("#filter-clear")


def check_chart(results, tab):
    page = tab.page
    results.check("letters over time are bars by reason", eventually(lambda: page.locator("#timeline .bar rect").count() >= 3))
    labels = page.locator("#timeline text").all_text_contents()
    results.check("the chart's axes have marks, names and a unit", "Dead letters" in labels and any("a bar" in label for label in labels)
                  and any(":" in label for label in labels), labels)
    page.focus("#timeline")
    page.keyboard.press("End")
    last = page.inner_text("#timeline .tooltip")
    page.keyboard.press("Home")
    results.check("arrow keys move from bar to bar, and say what each holds", page.is_visible("#timeline .tooltip") and last != "", last)
    page.keyboard.press("Escape")
    results.check("Escape puts the bar's numbers away", page.is_hidden("#timeline .tooltip"))


def check_preview(results, tab, pipeline):
    before = pipeline.call("/pipeline")[1]
    for flags, fields in [
        ([], {}),
        (["--all-reasons"], {"all": True}),
        (["--reason", "invalid_reading", "--set", "value=21.5"], {"reason": "invalid_reading", "set": "value=21.5"}),
        (["--device", "kitchen", "--set", "event_id=second", "--all-reasons"], {"device": "kitchen", "set": "event_id=second", "all": True}),
        (["--device", "boiler-0", "--set", "device_id= "], {"device": "boiler-0", "set": 'device_id=" "'}),
    ]:
        tab.page.click("#filter-clear")
        tab.filter(**{name: fields[name] for name in ("reason", "device") if name in fields})
        tab.page.fill("#redrive-set", fields.get("set", ""))
        tab.page.set_checked("#redrive-all", fields.get("all", False))
        tab.page.wait_for_timeout(250)
        tab.page.click("#preview")
        eventually(lambda: "so far" not in (text := tab.page.inner_text("#plan-totals")) and "Looking" not in text)
        _, printed = pipeline.command("dlq", "redrive", *flags, "--format", "json")
        told = [json.loads(line) for line in printed.splitlines()]
        readings = lambda count: "1 reading" if count == 1 else f"{count} readings"
        expected = [[line["id"], line["action"], readings(line["readings"]) if line["why"] is None else line["why"]] for line in told[:-1]]
        shown = tab.outcomes()
        results.check(f"the preview says what `dlq redrive {' '.join(flags)}` says of each letter", shown == expected and shown, (shown, expected))
        command = tab.page.inner_text("#plan-command") if tab.page.is_visible("#plan-command") else ""
        results.check("and how to do the same from a terminal", command.startswith("streamgauge dlq redrive") and command.endswith("--apply"), command)
    results.check("a preview changes nothing", pipeline.call("/pipeline")[1] == before)
    tab.page.fill("#redrive-set", "value=warm")
    results.check("a change makes the preview void", tab.page.is_hidden("#plan"))
    tab.page.click("#preview")
    results.check("what is wrong with a repair is said", eventually(
        lambda: "must be a JSON number" in tab.page.inner_text("#redrive-problem")), tab.page.inner_text("#redrive-problem"))


def check_redrive(results, tab, pipeline):
    page = tab.page
    page.click("#filter-clear")
    tab.filter(reason="invalid_reading", device="boiler-1")
    page.fill("#redrive-set", "value=21.5")
    page.set_checked("#redrive-all", False)
    page.wait_for_timeout(250)
    page.click("#preview")
    results.check("the preview offers to send", eventually(lambda: page.is_visible("#apply-button"))
                  and "3 letters" in page.inner_text("#apply-button"), page.inner_text("#plan-totals"))
    page.fill("#apply-key", "not the key")
    page.click("#apply-button")
    results.check("without the key nothing goes", eventually(lambda: "not accepted" in page.inner_text("#redrive-problem"))
                  and len(letters(pipeline, "?device_id=boiler-1")) == 3)
    page.fill("#apply-key", pipeline.key)
    page.click("#apply-button")
    results.check("with it they go", eventually(lambda: page.inner_text("#plan-totals").startswith("3 dead letters: 3 sent (3 readings)")),
                  page.inner_text("#plan-totals"))
    answer = eventually(lambda: (found := pipeline.call("/?device_id=boiler-1"))[0] == 200 and found[1]["count"] == 3 and found[1])
    results.check("and are counted, fixed", answer and answer["mean"] == 21.5, answer)
    results.check("they stand in the queue no more", letters(pipeline, "?device_id=boiler-1") == [])
    results.check("the list follows", eventually(lambda: tab.ids() == []), tab.ids())
    held = page.evaluate("() => document.documentElement.outerHTML + [...document.querySelectorAll('input')].map((input) => input.value)"
                         " + JSON.stringify({...localStorage, ...sessionStorage}) + document.cookie")
    results.check("the key is forgotten", pipeline.key not in held)


def check_editing(results, tab, pipeline):
    page = tab.page
    page.click("#filter-clear")
    tab.filter(text="theirs", reason="malformed_json")
    eventually(lambda: len(tab.ids()) == 1)
    tab.open(tab.ids()[0])
    page.check("#scope-letter")
    results.check("the open letter's payload is offered for editing", MARKUP in page.input_value("#redrive-body"))
    page.fill("#redrive-set", "")
    page.fill("#redrive-body", reading("edited", 7).decode())
    page.click("#preview")
    eventually(lambda: page.is_visible("#apply-button"))
    results.check("one edited letter would go", "1 would be sent" in page.inner_text("#plan-totals"), page.inner_text("#plan-totals"))
    page.fill("#apply-key", pipeline.key)
    page.keyboard.press("Enter")
    answer = eventually(lambda: (found := pipeline.call("/?device_id=edited"))[0] == 200 and found[1])
    results.check("a letter edited by hand is counted", answer and answer["mean"] == 7, answer)
    results.check("its place says that it has gone", eventually(lambda: "not in the queue any more" in page.inner_text("#letter-absent")),
                  page.inner_text("#letter-absent"))


def check_looks(results, browser, pipeline, screenshots):
    for name, width, height in [("desktop", 1280, 900), ("phone", 390, 844)]:
        for scheme in ("light", "dark"):
            tab = LetterTab(browser, pipeline, width=width, height=height, scheme=scheme)
            page = tab.page
            eventually(lambda: page.locator(ROWS).count() > 5 and page.locator("#timeline .bar rect").count() > 0)
            tab.filter(text="boiler-0")
            eventually(lambda: len(tab.ids()) == 3)
            tab.open(tab.ids()[0])
            tab.page.click("#preview")
            eventually(lambda: page.locator("#outcomes tbody tr").count() == 3)
            tab.filter(text="")
            eventually(lambda: page.locator(ROWS).count() > 5)
            results.check(f"dead letters: no sideways scrolling at {width}x{height}, {scheme}", not tab.scrolls_sideways())
            results.check(f"dead letters: no complaints at {width}x{height}, {scheme}", not tab.complaints, tab.complaints)
            if screenshots:
                page.evaluate("() => scrollTo(0, 0)")
                page.screenshot(path=screenshots / f"letters-{name}-{scheme}.png")
                page.screenshot(path=screenshots / f"letters-{name}-{scheme}-whole.png", full_page=True)
            tab.context.close()
