"""The page on GPUs is true: all its items are there, its tests exist, its sizes are those of the models."""

import ast
import re
from pathlib import Path

import pytest

from tests.unit.test_gpu_check import PUBLISHED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "gpu-readiness.md").read_text()
ROWS = {found[1]: found[0] for found in re.finditer(r"^\| ([ABCD]\d+) \|.*$", PAGE, re.MULTILINE)}
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))
ITEMS = [
    *(f"A{n}" for n in range(1, 13)),
    *(f"B{n}" for n in range(13, 23)),
    *(f"C{n}" for n in range(23, 28)),
    *(f"D{n}" for n in range(1, 13)),
]


def test_every_item_has_its_row_and_its_tests() -> None:
    assert list(ROWS) == ITEMS
    for item, row in ROWS.items():
        assert "::test_" in row or item.startswith("D"), item


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_that_is_named_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / "tests" / file).read_text())
    functions = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    assert name in functions


def test_every_file_of_checks_that_is_named_exists() -> None:
    files = set(re.findall(r"\| `(\w+\.py)` \|", PAGE))
    assert len(files) == 5
    assert all((ROOT / "benchmarks" / "gpu_checks" / file).exists() for file in files)


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_the_sizes_in_the_guide_follow_from_the_parameters(name: str, parameters: float) -> None:
    guide = (ROOT / "docs" / "how-to" / "gpu.md").read_text()
    found = re.search(rf"^\| {re.escape(name)} \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", guide, re.MULTILINE)
    assert found is not None
    denoiser, others, half, full = map(float, found.groups())
    assert denoiser == round(parameters / 1e9, 1)
    assert half == pytest.approx((denoiser + others) * 1e9 * 2 / 2**30, abs=0.6)
    assert full == pytest.approx(2 * half, abs=0.6)
