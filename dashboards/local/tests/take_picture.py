"""Takes the dashboard's picture, of real readings: sends a folder of CSV files to a pipeline of its own, and looks.

    python take_picture.py --binary PATH_OF_STREAMGAUGE --readings FOLDER [--device NAME] [--output FILE.png]

The files have the columns timestamp and value, one device a file, as `streamgauge send --csv` takes them.
"""

import argparse
import base64
import os
import pathlib
import struct
import tempfile
import zlib

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
        return rows[Math.min(rows.length, 5) - 1].getBoundingClientRect().bottom + scrollY;
    }""")
    picture = tab.page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": 1280, "height": round(bottom)})
    options.output.write_bytes(with_palette(tab.context.new_page(), picture))


# The picture's pixels as places in a palette of its 256 most frequent colours, each pixel the nearest of them.
QUANTISE = """async (encoded) => {
    const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const pixels = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
    const counts = new Map();
    for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
    const palette = [...counts.entries()].sort((a, b) => b[1] - a[1]).slice(0, 256).map(([pixel]) => pixel);
    const part = (pixel, at) => (pixel >>> at) & 255;
    const distance = (a, b) => [0, 8, 16].reduce((sum, at) => sum + (part(a, at) - part(b, at)) ** 2, 0);
    const nearest = new Map([...counts.keys()].map((pixel) => {
        let best = 0;
        palette.forEach((color, place) => { if (distance(pixel, color) < distance(pixel, palette[best])) best = place; });
        return [pixel, best];
    }));
    let text = '';
    for (const pixel of pixels) text += String.fromCharCode(nearest.get(pixel));
    const colors = palette.flatMap((pixel) => [0, 8, 16].map((at) => part(pixel, at)));
    return { width: image.width, height: image.height, colors, pixels: btoa(text) };
}"""


def with_palette(page, picture):
    """The picture as a PNG with a palette, a third as large."""
    told = page.evaluate(QUANTISE, base64.b64encode(picture).decode())
    width, height, pixels = told["width"], told["height"], base64.b64decode(told["pixels"])
    rows = b"".join(b"\0" + pixels[start:start + width] for start in range(0, width * height, width))

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"PLTE", bytes(told["colors"])), chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


if __name__ == "__main__":
    main()
