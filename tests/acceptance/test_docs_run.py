"""The commands that newcomers are told to type, typed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import MEZZOTINT, Server

ROOT = Path(__file__).parents[2]


def commands(page: str, *sections: str) -> list[str]:
    """Lines of a page's shell blocks, but those that set up the environment. sections: of these headings alone."""
    parts = re.split(r"^## ", (ROOT / page).read_text(), flags=re.MULTILINE)
    if sections:
        parts = [next(part for part in parts if part.startswith(f"{heading}\n")) for heading in sections]
    blocks = [block for part in parts for block in re.findall(r"```sh\n(.*?)```", part, re.DOTALL)]
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
        with server.client("dev") as me:
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
        with server.client("dev") as page_of_dev:
            jobs = page_of_dev.get("/v1/jobs").json()["jobs"]
        assert any(job["prompt"] == "a red apple --seed 7" for job in jobs), "the page shows what is made here"


def test_a_teams_service_is_set_up_backed_up_and_restored_as_its_page_says(tmp_path: Path) -> None:
    page = "docs/start/team-service.md"
    set_up, back_up = commands(page, "The first people"), commands(page, "Back up and restore")
    data, backups = tmp_path / "data", tmp_path / "backups"
    backups.mkdir()
    here = {"/var/lib/mezzotint": str(data), "/var/backups": str(backups), "/opt/mezzotint/bin/mezzotint": MEZZOTINT}
    here["/opt/mezzotint/bin/python"] = sys.executable

    def run(lines: list[str]) -> str:
        script = "\n".join(lines)
        for told, meant in here.items():
            script = script.replace(told, meant)
        script = re.sub(r"(users create .*)", r"\1 --password-stdin <<< 'four words in a row'", script)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, check=False, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "mz_" in run(set_up)
    (data / "objects" / "kept").write_bytes(b"a picture")
    run(back_up[:2])
    data.rename(tmp_path / "lost")
    data.mkdir()
    run(back_up[2:])
    assert (data / "objects" / "kept").read_bytes() == b"a picture"
    assert (data / "provenance" / "key.pem").is_file()
    people = run([f"{MEZZOTINT} users list --data {data}"])
    assert "ada@example.org" in people
    assert "bob@example.org" in people
