"""What the page tells while jobs are under way: in several tabs, with many jobs, over a network that goes and comes."""

import re

import pytest
from playwright.sync_api import Browser, Page, WebSocket, expect

from tests.acceptance.browsing import browser, needs_chromium, open_tab, window
from tests.acceptance.conftest import Server, finished, held

__all__ = ["browser"]
pytestmark = needs_chromium

SEVERAL, MORE_THAN_TWENTY = re.compile(r"In the works: \d+"), re.compile(r"In the works: (2[1-9]|3\d|40)")
LARGE = {"num_steps": 80, "width": 128, "height": 128}
LONG = "a dog face --repeat 8 --steps 80"
IS_DRAWN = "async (image) => { await image.decode(); return image.naturalWidth > 0; }"

NOTE_SHIFTS = """
    window.shifted = 0;
    const add = (list) => {
        for (const shift of list.getEntries()) if (!shift.hadRecentInput) window.shifted += shift.value;
    };
    new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
"""


def list_open(server: Server, tenant: str) -> int:
    with server.client(tenant) as client:
        page = client.get("/v1/jobs", params={"limit": 100, "state": ["queued", "running"]}).json()
        return len(page["jobs"])


def test_two_tabs_share_one_socket_and_none_holds_up_the_other(server: Server, browser: Browser) -> None:
    sockets: list[WebSocket] = []  # of the tabs after the first

    def note(page: Page) -> None:
        page.on("websocket", lambda socket: sockets.append(socket))  # noqa: PLW0108  # playwright marks its listeners

    with window(browser, server.url, server.token("twins")) as first:
        first.page.context.on("page", note)
        first.make(LONG)
        expect(first.page.locator("article progress[value]")).to_be_visible()
        with held(server):
            second = open_tab(first.page.context, server.url)
            expect(second.page.get_by_role("heading", name=SEVERAL)).to_be_visible()
            second.make("a red apple --steps 1")
            expect(second.page.get_by_role("article", name="a red apple")).to_be_visible()
            expect(first.page.get_by_role("heading", name=SEVERAL)).to_be_visible()
            assert sockets == [], "the second tab hears through the first"
            first.page.get_by_role("button", name="Cancel all").click()
            expect(second.page.get_by_role("heading", name="Ended without a picture")).to_be_visible()
        first.page.close()
        second.make("a green heart --steps 30")
        second.picture("a green heart").wait_for()
        assert sockets, "it took over when the first was closed"
        third = open_tab(second.page.context, server.url)
        expect(third.grid.first).to_have_attribute("title", "a green heart")
        second.make("a blue fish --steps 8")
        expect(third.grid.first).to_have_attribute("title", "a blue fish")
        assert [*first.complaints, *second.complaints, *third.complaints] == []


def test_forty_jobs_are_all_there_after_a_reload(server: Server, browser: Browser) -> None:
    with server.client("crowd") as client:
        client.post("/v1/jobs", json={**LARGE, "prompt": "a cat --repeat 40"}).raise_for_status()
    with window(browser, server.url, server.token("crowd")) as tab:
        heading = tab.page.get_by_role("heading", name=MORE_THAN_TWENTY)
        expect(heading).to_be_visible()
        tab.page.reload()
        expect(heading).to_be_visible()
        tab.page.get_by_role("button", name=re.compile("Show all")).click()
        assert tab.page.locator(".job-card").count() > 20
        tab.check_accessibility()
        assert count_requests(tab.page) <= 12
        tab.page.get_by_role("button", name="Cancel all").click()
        expect(tab.page.get_by_role("heading", name="Ended without a picture")).to_be_visible()
        assert list_open(server, "crowd") == 0
        tab.page.reload()
        expect(tab.page.get_by_role("heading", name="Ended without a picture")).to_be_visible()
        tab.page.get_by_role("button", name="Dismiss all that ended").click()
        expect(tab.prompt).to_be_focused()
        tab.page.reload()
        expect(tab.prompt).to_be_visible()
        expect(tab.page.locator(".job-card")).to_have_count(0)
        assert tab.complaints == []


def count_requests(page: Page) -> int:
    """How many requests the page makes in about ten seconds, whose end it says itself."""
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    for _ in range(2):
        page.wait_for_event("request", lambda request: "state=queued" in request.url)
    return len(seen)


def test_pictures_come_when_the_network_is_back(server: Server, browser: Browser) -> None:
    with server.client("rover") as client, window(browser, server.url, server.token("rover")) as tab:
        tab.make("a rocket --steps 60")
        expect(tab.page.locator("article progress[value]")).to_be_visible()
        tab.page.context.set_offline(True)
        expect(tab.page.get_by_role("article")).to_contain_text("Connection lost")
        finished(client, client.get("/v1/jobs").json()["jobs"][0])
        tab.make("a tree")
        expect(tab.page.locator("form [role=alert]")).to_contain_text("The server does not answer")
        tab.page.context.set_offline(False)
        assert tab.picture("a rocket").evaluate(IS_DRAWN)
        assert tab.grid.first.locator("img").evaluate(IS_DRAWN)
        expect(tab.page.locator("form [role=alert]")).to_be_empty()
        expect(tab.prompt).to_have_value("a tree")


def test_without_locks_each_tab_listens_and_without_sockets_it_asks(server: Server, browser: Browser) -> None:
    """Plain http from another machine has no locks, and some proxies let no socket through."""
    with window(browser, server.url, server.token("plain")) as first:
        context = first.page.context
        context.add_init_script("Object.defineProperty(Navigator.prototype, 'locks', { value: undefined })")
        first.page.reload()
        second = open_tab(context, server.url)
        first.make("a tree --steps 4")
        expect(second.grid).to_have_count(1)
        context.route_web_socket("**/v1/ws", lambda socket: socket.close())
        second.page.reload()
        second.make("a green heart --steps 4")
        second.picture("a green heart").wait_for()
        expect(second.page.locator(".job-card")).to_have_count(0)


def test_a_picture_that_did_not_arrive_is_asked_for_again(server: Server, browser: Browser) -> None:
    with window(browser, server.url, server.token("patience")) as tab:
        tab.page.route("**/i/*.webp", lambda route: route.abort(), times=2)
        tab.make("a rocket --steps 1")
        for image in (tab.picture("a rocket"), tab.grid.first.locator("img")):
            expect(image).to_have_js_property("naturalWidth", 64)


def test_little_moves_by_itself_on_a_phone(server: Server, browser: Browser) -> None:
    with window(browser, server.url, server.token("phone"), viewport={"width": 390, "height": 844}) as tab:
        tab.page.add_init_script(NOTE_SHIFTS)
        tab.page.reload()
        expect(tab.page.get_by_role("heading", name="About this model")).to_be_visible()
        tab.make("a red apple --steps 20")
        tab.picture("a red apple").wait_for()
        expect(tab.page.get_by_role("button", name="Vary a little")).to_be_visible()
        assert tab.page.evaluate("window.shifted") < 0.1, "what web vitals call good"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_axe_finds_nothing_in_any_state(server: Server, browser: Browser, width: int, scheme: str) -> None:
    size = {"width": width, "height": 800}
    token = server.token(f"axe-{scheme}-{width}")
    with window(browser, server.url, token, viewport=size, color_scheme=scheme) as tab:
        expect(tab.page.get_by_role("heading", name="About this model")).to_be_visible()
        tab.check_accessibility()
        tab.make("a castle --sref 1")
        expect(tab.page.locator("form [role=alert]")).not_to_be_empty()
        tab.check_accessibility()
        tab.make("a snowman --repeat 7 --steps 80")
        with held(server):
            expect(tab.page.get_by_role("heading", name=SEVERAL)).to_be_visible()
            tab.check_accessibility()
            tab.page.get_by_role("button", name="Cancel all").click()
            expect(tab.page.get_by_role("heading", name="Ended without a picture")).to_be_visible()
        tab.check_accessibility()
        tab.page.get_by_role("button", name="Dismiss all that ended").click()
        tab.make("a rocket --steps 1")
        tab.picture("a rocket").wait_for()
        tab.page.get_by_text("What it knows, and how to load another").click()
        tab.check_accessibility()
        assert tab.sideways_px() == 0
        tab.page.get_by_role("button", name="Sign out").click()
        expect(tab.page.get_by_label("Password")).to_be_visible()
        tab.check_accessibility()
