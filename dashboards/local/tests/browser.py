"""Headless Chromium, and a tab of it."""

import pathlib

CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]


# While the pages are worked on: their scripts and styles from this folder instead of those in the executable.
files = None


def serve_files(context, folder):
    def serve(route):
        file = pathlib.Path(folder) / route.request.url.rsplit("/", 1)[1]
        if not file.is_file():
            return route.continue_()
        kind = "text/javascript" if file.suffix == ".js" else "text/css"
        return route.fulfill(content_type=f"{kind}; charset=utf-8", body=file.read_text())

    context.route("**/dashboard/*.*", serve)


def new_context(browser, **options):
    context = browser.new_context(**options)
    if files:
        serve_files(context, files)
    return context


class Tab:
    """One tab, with everything it asked for and everything it complained about."""

    READY = "#connection[data-state=connected]"

    def __init__(self, browser, pipeline, width=1280, height=900, scheme="light", path="", ready=None):
        self.context = new_context(browser, viewport={"width": width, "height": height}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.requests, self.complaints = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: message.type in ("error", "warning")
                     and self.complaints.append(f"{message.text} {message.location.get('url', '')}"))
        self.page.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.response = self.page.goto(pipeline.ready["dashboard"] + path)
        self.page.wait_for_selector(ready or self.READY)

    def scrolls_sideways(self):
        return self.page.evaluate("() => document.documentElement.scrollWidth > innerWidth")
