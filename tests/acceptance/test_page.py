"""The page, as a person uses it: a real browser at a real server."""

from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.acceptance.browsing import browser, needs_chromium, window
from tests.acceptance.conftest import Server, held, served
from tests.oidc_provider import CLIENT, SECRET, running_provider

__all__ = ["browser"]
pytestmark = needs_chromium

LARGE = {"prompt": "a cat {one, two, three, four}", "num_steps": 80, "width": 128, "height": 128}
"""Drawn beside a picture until the browser has seen it grow, however busy the browser is."""

RECORD_WHAT_CHANGES = """() => {
    window.seen = { steps: [], previews: new Set() };
    const look = () => {
        const bar = document.querySelector("article progress[value]");
        if (bar && bar.value !== window.seen.steps.at(-1)) window.seen.steps.push(bar.value);
        const preview = document.querySelector("article img.preview");
        if (preview) window.seen.previews.add(preview.src);
        const isEnough = window.seen.steps.length > 5 && window.seen.previews.size > 3;
        if (isEnough) document.documentElement.dataset.seen = "enough";
    };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
}"""


def test_a_prompt_becomes_a_picture_before_ones_eyes(server: Server, browser: Browser) -> None:
    with server.client("company") as company, window(browser, server.url) as tab:
        beside = company.post("/v1/jobs", json=LARGE).json()["jobs"]
        tab.page.evaluate(RECORD_WHAT_CHANGES)
        tab.make("a red apple --seed 7 --steps 80")
        expect(tab.page.locator("html[data-seen=enough]")).to_have_count(1)
        for job in beside:
            company.delete(f"/v1/jobs/{job['id']}")
        tab.picture("a red apple").wait_for()
        steps = tab.page.evaluate("window.seen.steps")
        assert steps == sorted(set(steps)), "the step count only ever rises"
        decoded = tab.picture("a red apple").evaluate(
            "async (image) => { await image.decode(); return image.naturalWidth; }"
        )
        assert decoded == 64
        expect(tab.page.get_by_role("article")).to_contain_text("seed 7")
        expect(tab.grid.first).to_have_attribute("title", "a red apple")
        with tab.page.expect_download() as download:
            tab.page.get_by_text("Download PNG").click()
        assert download.value.suggested_filename == "a-red-apple-seed-7.png"
        assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
        tab.page.reload()
        expect(tab.grid.first).to_have_attribute("title", "a red apple")
        assert tab.complaints == []


def test_a_bad_prompt_is_answered_beside_the_box(server: Server, browser: Browser) -> None:
    with server.client() as ada:
        error = ada.post("/v1/jobs", json={"prompt": "a castle --sref 1"}).json()["error"]
    with window(browser, server.url, server.token("mistaken")) as tab:
        tab.make("a castle --sref 1")
        alert = tab.page.locator("form [role=alert]")
        expect(alert).to_contain_text(error["message"])
        expect(alert).to_contain_text(error["hint"])
        expect(tab.prompt).to_have_value("a castle --sref 1")
        expect(tab.prompt).to_be_focused()
        expect(tab.page.locator(".job-card")).to_have_count(0)


def test_the_keyboard_is_enough(server: Server, browser: Browser) -> None:
    with window(browser, server.url, server.token("typist")) as tab:
        keys, page = tab.page.keyboard, tab.page
        expect(tab.prompt).to_be_focused()
        page.locator("summary", has_text="More options").press("Enter")
        page.get_by_label("Sampler").select_option("DDIM")
        page.get_by_label("Eta").fill("0.5")
        tab.prompt.focus()
        keys.type("a green heart")
        keys.press("Shift+Enter")
        keys.type("shining --steps 8")
        keys.press("Enter")
        tab.picture("a green heart shining").wait_for()
        for told in ("SamplerDDIM", "Eta0.5"):
            expect(page.locator(".details")).to_contain_text(told)
        expect(tab.prompt).to_be_focused()

        def tab_to(name: str) -> None:
            for _ in range(40):
                keys.press("Tab")
                has_outline, words = page.evaluate(
                    "[getComputedStyle(document.activeElement).outlineStyle !== 'none', document.activeElement.title"
                    " || document.activeElement.textContent]"
                )
                assert has_outline, f"one sees where the focus is: {words}"
                if words == name:
                    return
            raise AssertionError(f"{name} cannot be reached")

        tab_to("Again with another seed")
        keys.press("Enter")
        expect(tab.grid.nth(1)).to_have_attribute("title", "a green heart shining")
        tab_to("a green heart shining")
        keys.press("ArrowRight")
        expect(tab.grid.nth(1)).to_be_focused()
        keys.press("Enter")
        expect(tab.grid.nth(1)).to_have_attribute("aria-current", "true")


def test_a_narrow_screen_never_scrolls_sideways(server: Server, browser: Browser) -> None:
    with window(browser, server.url, server.token("narrow"), viewport={"width": 360, "height": 740}) as tab:
        assert tab.sideways_px() == 0
        tab.page.get_by_text("More options").click()
        expect(tab.page.get_by_label("Sampler")).to_be_visible()
        assert tab.sideways_px() == 0
        long = "a_very_long_word_without_any_place_to_break_it_" * 3
        tab.make(f"{long} --steps 80")
        expect(tab.page.locator("article progress[value]")).to_be_visible()
        assert tab.sideways_px() == 0
        tab.picture(long).wait_for()
        tab.page.get_by_text("What it knows, and how to load another").click()
        assert tab.sideways_px() == 0
        tab.make("--nonsense_" + "x" * 60)
        expect(tab.page.locator("form [role=alert]")).not_to_be_empty()
        assert tab.sideways_px() == 0


def test_more_jobs_than_connections_all_end_as_pictures(server: Server, browser: Browser) -> None:
    """A browser opens six connections: what is followed must leave some for everything else."""
    with window(browser, server.url, server.token("eight")) as tab:
        for number in range(8):
            tab.make(f"a rocket --seed {number} --steps 12")
            expect(tab.page.get_by_role("article", name="a rocket")).to_be_visible()
            expect(tab.prompt).to_have_js_property("selectionStart", 0)
        expect(tab.page.locator(".image-grid [title='a rocket']")).to_have_count(8)
        expect(tab.page.locator(".job-card")).to_have_count(0)
        assert tab.complaints == []


def test_a_job_is_cancelled_from_its_card(server: Server, browser: Browser) -> None:
    with held(server), window(browser, server.url, server.token("undecided")) as tab:
        tab.make("a snowman --steps 80")
        tab.page.get_by_role("button", name="Cancel a snowman").click()
        expect(tab.page.locator(".job-card")).to_contain_text("Cancelled")
        tab.page.get_by_role("button", name="Dismiss a snowman").click()
        expect(tab.page.locator(".job-card")).to_have_count(0)


def test_the_theme_follows_the_system_until_it_is_chosen(server: Server, browser: Browser) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with window(browser, server.url, color_scheme="dark") as tab:
        dark = tab.page.evaluate(ground)
        tab.page.get_by_role("button", name="Use the light theme").click()
        light = tab.page.evaluate(ground)
        assert light != dark
        tab.page.reload()
        tab.prompt.wait_for()
        assert tab.page.evaluate(ground) == light


def test_without_dev_mode_an_account_or_a_token_opens_the_page(tmp_path: Path, browser: Browser) -> None:
    with served(tmp_path / "data", MEZZOTINT_SIGN_UP="true") as server, browser.new_context() as context:
        page = context.new_page()
        page.goto(server.url)
        page.get_by_text("Use a token instead").click()
        page.get_by_label("Token").fill("nonsense")
        page.get_by_role("button", name="Use the token").click()
        expect(page.get_by_role("alert")).not_to_be_empty()
        page.get_by_label("Token").fill(server.token(tenant="ada", tier="free"))
        page.get_by_role("button", name="Use the token").click()
        expect(page.get_by_text("ada, free, up to 30 steps")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Password")).to_be_visible()
        page.goto(f"{server.url}/?again#token={server.token(tenant='bob', tier='paid')}")
        page.get_by_role("button", name="Sign in as bob").click()
        expect(page.get_by_text("bob, paid, up to 50 steps")).to_be_visible()
        assert "token" not in page.url
        page.get_by_role("button", name="Sign out").click()
        make_an_account_and_come_back(page)


def test_a_person_of_the_organisation_signs_in_through_its_provider(tmp_path: Path, browser: Browser) -> None:
    with running_provider() as provider:
        settings = {
            "MEZZOTINT_OIDC_ISSUER": provider.url,
            "MEZZOTINT_OIDC_AUDIENCE": "mezzotint",
            "MEZZOTINT_OIDC_JWKS": f"{provider.url}/keys",
            "MEZZOTINT_OIDC_CLIENT_ID": CLIENT,
            "MEZZOTINT_OIDC_CLIENT_SECRET": SECRET,
        }
        with served(tmp_path, **settings) as server, browser.new_context() as context:
            page = context.new_page()
            page.goto(server.url)
            page.get_by_role("link", name="Sign in with your organisation").click()
            expect(page.get_by_text("oidc.ada")).to_be_visible()
            page.reload()
            expect(page.get_by_text("oidc.ada")).to_be_visible()


def test_a_link_with_a_token_signs_nobody_in_unasked(tmp_path: Path, browser: Browser) -> None:
    """An attacker's link would have a person draw under the attacker's name (login CSRF)."""
    with served(tmp_path / "data") as server, browser.new_context() as context:
        theirs = f"{server.url}/#token={server.token(tenant='mallory', tier='free')}"
        page = context.new_page()
        page.goto(f"{server.url}/#token={server.token(tenant='ada', tier='free')}")
        page.get_by_role("button", name="Sign in as ada").click()
        expect(page.get_by_text("ada, free, up to 30 steps")).to_be_visible()
        for visit in (page.goto, lambda url: page.evaluate("(url) => { location.href = url; }", url)):
            visit(theirs)
            expect(page.get_by_role("heading", name="Sign in as mallory")).to_be_visible()
            assert "token" not in page.url
            page.get_by_role("button", name="Cancel").click()
            expect(page.get_by_text("ada, free, up to 30 steps")).to_be_visible()
        page.reload()
        expect(page.get_by_text("ada, free, up to 30 steps")).to_be_visible()
        page.go_back()
        assert "token" not in page.url
        assert "mallory" not in page.content()


def make_an_account_and_come_back(page: Page) -> None:
    """Sign up, draw, sign out, and sign in again, wrongly at first."""
    page.get_by_role("button", name="Make an account").click()
    page.get_by_label("Name or e-mail").fill("eve@example.org")
    page.get_by_label("Password").fill("four words in a row")
    page.get_by_role("button", name="Sign up", exact=True).click()
    page.get_by_label("Describe a picture").fill("a red apple --seed 7 --steps 4")
    page.get_by_label("Describe a picture").press("Enter")
    expect(page.get_by_role("article").locator("img.finished")).to_be_visible()
    expect(page.get_by_role("region", name="Used this month")).to_contain_text("1 picture, 4 steps")
    page.reload()
    expect(page.get_by_label("Describe a picture")).to_be_visible()
    with page.expect_response("**/v1/sign-out"):
        page.get_by_role("button", name="Sign out").click()
    assert page.context.cookies() == []
    for password, is_right in (("three words only", False), ("four words in a row", True)):
        page.get_by_label("Name or e-mail").fill("eve@example.org")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in", exact=True).click()
        where = page.get_by_label("Describe a picture") if is_right else page.get_by_role("alert")
        expect(where).to_be_visible()
    expect(page.get_by_role("list", name="My pictures").get_by_role("button")).to_have_count(1)
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.get_by_label("Describe a picture")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(other.get_by_label("Password")).to_be_visible()  # a session that ends in one tab ends in all


def test_the_page_finds_a_server_that_crashed_and_came_back(tmp_path: Path, browser: Browser) -> None:
    data = tmp_path / "data"
    with served(data, "--dev") as server, window(browser, server.url) as tab:
        tab.make("a red apple --seed 7 --steps 80")
        expect(tab.page.locator("article progress[value]")).to_be_visible()
        server.kill()
        expect(tab.page.get_by_role("article")).to_contain_text("Connection lost")
        with served(data, "--dev", "--port", server.url.rsplit(":", 1)[1]):
            tab.picture("a red apple").wait_for()
            expect(tab.grid).to_have_count(1)
