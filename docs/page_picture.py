"""Retakes `docs/images/page.png`, the README's picture of the page, with pictures of the model that is served.

mezzotint serve --dev --port 8401 --data NEW_FOLDER &
python docs/page_picture.py http://127.0.0.1:8401
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

PICTURE = Path(__file__).parent / "images" / "page.png"
PROMPTS = (
    "a blue car --seed 3",
    "the sun --seed 4",
    "a rocket --seed 5",
    "a blue fish --seed 11",
    "a green heart --seed 3",
    "an orange cat face --seed 2",
    "a red apple --seed 7",
)
PICTURE_MS = 120_000


def retake(url: str) -> None:
    """Make one picture after the other, then photograph the page with the last one in the viewer."""
    expect.set_options(timeout=PICTURE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 1090}, color_scheme="light")
        page.goto(url)
        box = page.get_by_label("Describe a picture")
        for number, prompt in enumerate(PROMPTS, start=1):
            box.fill(prompt)
            box.press("Enter")
            expect(page.locator(".image-grid img")).to_have_count(number)
        expect(page.locator("article img.finished")).to_have_js_property("complete", True)
        box.press("End")  # the box selects what was sent: unselect it
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    retake(sys.argv[1])
