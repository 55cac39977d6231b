"""The docs are true: pages made from the code are fresh, links lead somewhere, README's commands exist."""

import json
import re
import runpy
from pathlib import Path

import pytest

from mezzotint.gateway import create_app

ROOT = Path(__file__).parents[2]
MADE = runpy.run_path(str(ROOT / "docs" / "build.py"))["pages"]()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("page", sorted(MADE), ids=str)
def test_pages_made_from_the_code_are_fresh(page: Path) -> None:
    assert (ROOT / "docs" / page).read_text() == MADE[page], "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"make ([a-z]+)", (ROOT / "README.md").read_text()))
    assert named <= targets
    assert {"run", "test"} <= named


def test_the_architecture_fits_its_page() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 120


def test_only_config_and_environment_read_the_environment() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        if path.name not in {"config.py", "environment.py"}:
            assert not re.search(r"os\.environ|os\.getenv|envvar=", path.read_text()), path


def test_the_contract_that_the_page_is_typed_by_is_fresh() -> None:
    written = json.loads((ROOT / "web" / "openapi.json").read_text())
    assert written == create_app(None).openapi(), "run `make api`, then `npm run types` in web/"
