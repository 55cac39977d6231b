"""`mezzotint dev up`: a whole site on this machine, for one picture."""

import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from mezzotint.main.dev_up.nginx_server import find_nginx
from tests.acceptance.conftest import MEZZOTINT
from tests.deployment import LEFT_OUT_OF_GATEWAY

START_S = 300
IMPORTS_NOTHING_OF = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(LEFT_OUT_OF_GATEWAY)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

if "--no-worker" in sys.orig_argv:
    sys.meta_path.insert(0, Missing())
"""
"""A `sitecustomize` with which a gateway finds as little as in its container."""


@contextmanager
def site_up(folder: Path, environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and what it printed once everything ran."""
    log = folder / "printed"
    with log.open("w") as output:
        command = [MEZZOTINT, "dev", "up", "--data", str(folder / "data"), "--port", "0"]
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, text=True)
    try:
        until = time.monotonic() + START_S
        while "Ctrl-C ends all of it." not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)  # another process's start: there is no event to wait for
        yield process, log.read_text()
    finally:
        process.kill()  # its servers end with it
        process.wait()


def wait_until_finished(client: httpx.Client, job: dict[str, Any], log: Path) -> dict[str, Any]:
    """The job after its end. The worker, a process like any other, may still load its model."""
    until = time.monotonic() + START_S
    while job["finished_at"] is None:
        assert time.monotonic() < until, f"{job}\n{log.read_text()}"
        job = client.get(f"/v1/jobs/{job['id']}", params={"wait": 30}).json()
    return job


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that PostgreSQL comes to where root runs the tests."""
    with tempfile.TemporaryDirectory(prefix="mezzotint-dev-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_picture_comes_through_the_whole_site_and_nothing_is_left_running(folder: Path) -> None:
    """On the way: a gateway in which torch and Ray cannot be imported; nothing listens beyond 127.0.0.1."""
    (folder / "sitecustomize.py").write_text(IMPORTS_NOTHING_OF)
    environment = psutil.Process().environ() | {"MEZZOTINT_TEXT_CLASSIFIER": "false"}
    environment["PYTHONPATH"] = ":".join(filter(None, [str(folder), environment.get("PYTHONPATH")]))
    with site_up(folder, environment) as (command, printed):
        processes = psutil.Process(command.pid).children(recursive=True)
        listening = {
            (one.laddr.ip, one.laddr.port)
            for process in processes
            for one in process.net_connections("inet")
            if one.status == psutil.CONN_LISTEN
        }
        assert {ip for ip, _ in listening} == {"127.0.0.1"}
        link = re.search(r"(http://127\.0\.0\.1:\d+)/#token=(\S+)", printed)
        assert link is not None
        with httpx.Client(base_url=link[1], headers={"Authorization": f"Bearer {link[2]}"}, timeout=90) as ada:
            sent = ada.post("/v1/jobs", json={"prompt": "a red apple --seed 7 --steps 4"})
            assert sent.headers["server"].startswith("nginx") or find_nginx() is None
            job = wait_until_finished(ada, sent.json(), folder / "data" / "worker-1" / "log")
            assert job["state"] == "succeeded", job
            assert ada.get(job["images"][0]["png_url"]).content.startswith(b"\x89PNG")
        command.send_signal(signal.SIGINT)
        assert command.wait(120) == 0, (folder / "printed").read_text()
    _, alive = psutil.wait_procs(processes, timeout=0)
    assert alive == []
    ends = re.findall(r"^(\S+) has ended$", (folder / "printed").read_text(), re.MULTILINE)
    assert ends[-5:] == ["worker-1", "gateway", "valkey", "s3", "postgres"]
