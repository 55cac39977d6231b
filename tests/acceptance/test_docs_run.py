"""The commands that newcomers are told to type, typed."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.conftest import MEZZOTINT, Server

ROOT = Path(__file__).parents[2]


def commands(page: str) -> list[str]:
    """Lines of a page's shell blocks, but those that set up the environment itself."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.S)
    return [line for block in blocks for line in block.splitlines() if line and not line.startswith("make ")]


@pytest.mark.parametrize("page", ["README.md", "docs/start/first-picture.md"])
def test_a_pages_commands_do_what_they_say(page: str, server: Server, tmp_path: Path) -> None:
    script = "\n".join(commands(page))
    assert "imagine" in script
    here = {
        ".venv/bin/mezzotint": MEZZOTINT,
        "--data data": f"--data {server.data}",
        "http://127.0.0.1:8400": server.url,
    }
    for told, meant in here.items():
        script = script.replace(told, meant)
    if "<the id>" in script:
        with server.client("me", "free") as me:
            job = me.post("/v1/jobs", json={"prompt": "a red apple --steps 2"}).json()
        script = script.replace("<the id>", job["id"])
    script = script.replace("doctor ", "doctor --port 0 ")  # 8400 may be taken on the machine that tests
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "apple.png").read_bytes().startswith(b"\x89PNG")
    if "curl" in script:
        assert "event: succeeded" in done.stdout
