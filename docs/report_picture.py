"""Retakes `docs/images/eval-report.png`, the beginning of a report of `mezzotint eval`.

mezzotint eval all --out FOLDER
python docs/report_picture.py FOLDER/all.html
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).parent / "images" / "eval-report.png"


def retake(report: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1060, "height": 1150}, color_scheme="light")
        page.goto(report.resolve().as_uri())
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    retake(Path(sys.argv[1]))
