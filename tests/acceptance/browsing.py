"""A real browser on the page, as a person uses it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: `apt-get install chromium` (Debian)")
AXE = Axe()

PICTURE_MS = 60_000
"""Longest wait for a picture on a busy machine."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PICTURE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@dataclass
class Window:
    """A tab on the page, with what its console complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    @property
    def prompt(self) -> Any:
        return self.page.get_by_label("Describe a picture")

    def picture(self, name: str) -> Any:
        """The finished picture in the viewer."""
        return self.page.get_by_role("article", name=name, exact=True).locator("img.finished")

    @property
    def grid(self) -> Any:
        return self.page.get_by_role("list", name="My pictures").get_by_role("button")

    def make(self, prompt: str) -> None:
        """Write a prompt and send it with the Enter key."""
        self.prompt.fill(prompt)
        self.prompt.press("Enter")

    def check_accessibility(self) -> None:
        """What axe finds wrong with the page as it is now: nothing."""
        found = AXE.run(self.page)
        assert found.violations_count == 0, found.generate_report()

    def sideways_px(self) -> int:
        """How far the page can be scrolled sideways."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return width


@contextmanager
def window(browser: Browser, url: str, token: str | None = None, **options: Any) -> Iterator[Window]:
    """A tab in a profile of its own. token: signs in with it; None: as the server's own developer."""
    with browser.new_context(**options) as context:
        if token is not None:
            context.add_init_script(f"sessionStorage.setItem('mezzotint.token', '{token}')")
        yield open_tab(context, url)


def open_tab(context: BrowserContext, url: str) -> Window:
    page = context.new_page()
    page.set_default_timeout(PICTURE_MS)
    opened = Window(page)
    page.on("console", lambda line: opened.complaints.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.goto(url)
    opened.prompt.wait_for()
    return opened
