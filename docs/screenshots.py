"""Makes the pictures of the page anew, from a running service of the demo::

uv run -m rec_sys.serving.app                          # in one terminal, after train
uv run docs/screenshots.py http://127.0.0.1:8000       # in another
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

PICTURES = Path(__file__).parent / "pictures"
WISH = "easy for a beginner, and it stays in tune"
SIZE = {"width": 1280, "height": 820}
TOAST_MS = 30_000  # what was said last goes by itself


def main() -> None:
    """Writes ``docs/pictures/page.png``."""
    if len(sys.argv) != 2:
        sys.exit("usage: docs/screenshots.py ADDRESS (of a running service)")
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light", reduced_motion="reduce")
        page.goto(sys.argv[1])
        page.locator("#people button").first.click()  # a history ...
        page.get_by_label("What are you looking for?").fill(WISH)  # ... and a wish
        expect(page.locator("#cards .match").first).to_be_visible()
        page.wait_for_load_state("networkidle")
        page.get_by_label("What are you looking for?").blur()
        expect(page.locator("#toast")).to_be_hidden(timeout=TOAST_MS)
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=PICTURES / "page.png")
        browser.close()
    print(f"written: {PICTURES / 'page.png'}")


if __name__ == "__main__":
    main()
