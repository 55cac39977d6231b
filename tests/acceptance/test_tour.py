"""The newcomer's tour, walked: every block of the page is carried out against one server, in the page's order."""

import os
import re
import subprocess
import sys
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from PIL import Image

from tests.acceptance.conftest import MEZZOTINT, Server

PAGE = Path(__file__).parents[2] / "docs" / "start" / "tour.md"


class Block(NamedTuple):
    language: str
    text: str


def blocks() -> list[Block]:
    return [Block(*found) for found in re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.S)]


@pytest.fixture(scope="module")
def folder(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tour's shell and Python blocks were run, one after the other, in one shell."""
    folder = tmp_path_factory.mktemp("tour")
    script = ["set -euo pipefail"]
    for number, block in enumerate(blocks()):
        if block.language == "sh":
            script.append(here(block.text, server))
        elif block.language == "python":
            (folder / f"{number}.py").write_text(block.text)
            script.append(f"{sys.executable} {number}.py")
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "told").write_text(done.stdout)
    return folder


def here(text: str, server: Server, token: str = "$TOKEN") -> str:
    told = {".venv/bin/mezzotint": MEZZOTINT, "--data data": f"--data {server.data}", "$TOKEN": token}
    for word, meant in {**told, "http://127.0.0.1:8400": server.url}.items():
        text = text.replace(word, meant)
    return text


def test_curl_and_openais_client_draw_the_same_apple(folder: Path) -> None:
    apple, openai, green = (Image.open(folder / f"{name}.png") for name in ("apple", "apple-openai", "green-apple"))
    assert apple.format == "PNG"
    assert openai.tobytes() == apple.tobytes()
    assert green.tobytes() != apple.tobytes()


def test_an_automatic1111_client_draws_and_redraws(folder: Path) -> None:
    first, second = (Image.open(folder / name) for name in ("apple-a1111.png", "green-apple-a1111.png"))
    assert first.size == second.size == (64, 64)
    assert first.tobytes() != second.tobytes()


def test_what_was_used_is_told(folder: Path) -> None:
    assert '"tenant":"dev"' in (folder / "told").read_text()


def settings(number: int, server: Server) -> dict[str, str]:
    """The page's nth block of Open WebUI's environment."""
    text = [block.text for block in blocks() if block.language == "env"][number]
    return dict(line.split("=", 1) for line in here(text, server, server.token("webui", "free")).splitlines())


def test_open_webuis_openai_settings_draw_and_edit(server: Server) -> None:
    env = settings(0, server)
    asked = {"n": 1, "size": env["IMAGE_SIZE"], "response_format": "b64_json"}
    answer = httpx.post(
        f"{env['IMAGES_OPENAI_API_BASE_URL']}/images/generations",
        json={"model": env["IMAGE_GENERATION_MODEL"], "prompt": "a red apple", **asked},
        headers={"Authorization": f"Bearer {env['IMAGES_OPENAI_API_KEY']}"},
        timeout=90,
    )
    drawn = b64decode(answer.json()["data"][0]["b64_json"])
    assert Image.open(BytesIO(drawn)).size == (64, 64)
    answer = httpx.post(
        f"{env['IMAGES_EDIT_OPENAI_API_BASE_URL']}/images/edits",
        data={"model": env["IMAGE_EDIT_MODEL"], "prompt": "a green apple", "n": "1", "response_format": "b64_json"},
        files={"image": ("image.png", drawn, "image/png")},
        headers={"Authorization": f"Bearer {env['IMAGES_EDIT_OPENAI_API_KEY']}"},
        timeout=90,
    )
    assert answer.json()["data"][0]["b64_json"]


def test_open_webuis_automatic1111_settings_draw(server: Server) -> None:
    env = settings(1, server)
    user, _, password = env["AUTOMATIC1111_API_AUTH"].partition(":")
    width, height = map(int, settings(0, server)["IMAGE_SIZE"].split("x"))
    body = {"prompt": "a red apple", "batch_size": 1, "width": width, "height": height}
    with httpx.Client(base_url=env["AUTOMATIC1111_BASE_URL"], auth=(user, password), timeout=90) as client:
        assert client.get("/sdapi/v1/options").status_code == 200
        drawn = client.post("/sdapi/v1/txt2img", json={**body, "steps": int(env["IMAGE_STEPS"])}).json()
    assert Image.open(BytesIO(b64decode(drawn["images"][0]))).size == (width, height)
