"""The systemd units in deploy/: systemd takes them, and the commands in them exist."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mezzotint.main.commands import app
from mezzotint.main.options import ExitCode

DEPLOY = Path(__file__).parents[3] / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))


def test_there_is_a_unit_for_the_server_and_one_for_workers() -> None:
    assert [unit.name for unit in UNITS] == ["mezzotint-worker@.service", "mezzotint.service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_process_whose_device_failed_is_started_again(unit: Path) -> None:
    text = unit.read_text()
    assert "\nRestart=always\n" in text
    assert "\nStartLimitIntervalSec=0\n" in text
    assert f"code {ExitCode.DEVICE_LOST}," in text


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_command_of_a_unit_takes_its_flags(unit: Path) -> None:
    found = re.search(r"^ExecStart=\S+/mezzotint (\w+) (.*)$", unit.read_text(), re.MULTILINE)
    assert found is not None
    shown = CliRunner().invoke(app, [found[1], "--help"], env={"COLUMNS": "200"}).output
    assert all(flag in shown for flag in re.findall(r"--[a-z-]+", found[2]))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_every_line(unit: Path, tmp_path: Path) -> None:
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
    copy = tmp_path / unit.name
    copy.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if unit.name in line or str(copy) in line]
    assert complaints == [], done.stderr
