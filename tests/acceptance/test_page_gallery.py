"""The page with more on it than a screen holds."""

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.browsing import browser, needs_chromium, window
from tests.acceptance.conftest import Server, finished

__all__ = ["browser"]
pytestmark = needs_chromium

COVERED = """async () => {
    const covered = new Set();
    const buttons = [...document.querySelectorAll(".image-grid button")];
    for (let y = 0; y < document.documentElement.scrollHeight; y += 200) {
        scrollTo(0, y);
        await new Promise((drawn) => requestAnimationFrame(drawn));
        const boxes = [...document.querySelectorAll(".sheet, .prompt, .job-list, .about-model, .usage")];
        for (const [index, button] of buttons.entries()) {
            const own = button.getBoundingClientRect();
            for (const box of boxes.map((other) => other.getBoundingClientRect()))
                if (own.left < box.right && box.left < own.right && own.top < box.bottom && box.top < own.bottom)
                    covered.add(index);
        }
    }
    return covered.size;
}"""
"""How many pictures of the grid lie under something else, wherever the page is scrolled to."""


@pytest.fixture(scope="module")
def collector(server: Server) -> str:
    """A token of somebody who has 40 pictures."""
    with server.client("collector") as client:
        made = client.post("/v1/jobs", json={"prompt": "a red apple --repeat 40 --steps 1"}).json()["jobs"]
        for job in made:
            assert finished(client, job)["state"] == "succeeded"
    return server.token("collector")


@pytest.mark.parametrize("width", [1024, 1280, 1440])
def test_nothing_covers_a_picture_of_the_gallery(server: Server, browser: Browser, collector: str, width: int) -> None:
    with window(browser, server.url, collector, viewport={"width": width, "height": 800}) as tab:
        expect(tab.grid).to_have_count(24)
        tab.page.get_by_role("button", name="Load more").click()
        expect(tab.grid).to_have_count(40)
        assert tab.page.evaluate(COVERED) == 0
        tab.grid.last.click()
        expect(tab.grid.last).to_have_attribute("aria-current", "true")
        tab.check_accessibility()
