"""The ring contracts hold, and each of them fails when it is broken."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The source and its contracts, to break."""
    ignore = shutil.ignore_patterns("starter", "page", "__pycache__")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_contracts_are_kept(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("domain/tier.py", "import mezzotint.store.jobs", "Arrows point down the rings"),
        ("engine/tree.py", "import mezzotint.store.jobs", "Arrows point down the rings"),
        ("newcomer/__init__.py", "", "Arrows point down the rings"),
        ("policy/fair_queue/choose.py", "import time", "Judgement and words are pure"),
        ("domain/tier.py", "import numpy", "Judgement and words are pure"),
        ("sim/rng.py", "import random", "Judgement and words are pure"),
        ("sim/rng.py", "import mezzotint.media.encoding", "The simulator knows judgement and words alone"),
        ("engine/tree.py", "import mezzotint.policy.admission.size", "The engine can be lifted out"),
        ("engine/tree.py", "import httpx", "The engine can be lifted out"),
        ("worker/drain.py", "import ray", "Ray stays in the fleet"),
        ("gateway/cursor.py", "import torch", "A gateway machine installs without torch"),
        ("actions/claim.py", "import mezzotint.engine.models", "A gateway machine installs without torch"),
    ],
)
def test_a_broken_contract_is_found(copy: Path, file: str, line: str, contract: str) -> None:
    path = copy / "src" / "mezzotint" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    done = lint(copy)
    assert done.returncode != 0
    assert f"{contract} BROKEN" in done.stdout
