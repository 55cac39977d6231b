"""Real servers, as users start them: processes of the command, each with its own data folder."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from mezzotint.config import Settings
from mezzotint.domain.claims import Role
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Issuer
from mezzotint.main.data_folder import load_secret
from tests.forked_commands import ForkedProcess, fork_command

MEZZOTINT = str(Path(sys.executable).with_name("mezzotint"))
START_S = 120
"""Longest wait for a server to be ready on a busy machine."""


@dataclass
class Server:
    """A running `mezzotint serve`."""

    process: subprocess.Popen[bytes] | ForkedProcess
    url: str
    data: Path
    log: Path
    clients: list[httpx.Client] = field(default_factory=list)

    def token(self, tenant: str = "ada", tier: str = "pro", role: Role = Role.USER) -> str:
        """As `mezzotint token` makes them, without the seconds that a process takes to start."""
        issuer = Issuer(load_secret(Settings(data=self.data)))
        return issuer.issue(TenantId(tenant), Tier(tier), datetime.now(UTC), timedelta(days=1), role=role)

    def client(self, tenant: str = "ada", tier: str = "pro") -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token(tenant, tier)}"}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=90)
        self.clients.append(client)
        return client

    def kill(self) -> None:
        """As a power cut would: no handler runs."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """As an operator would. Returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def wait_until_ready(server: Server) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if server.process.poll() is not None:
            pytest.fail(f"the server ended with {server.process.returncode}:\n{server.log.read_text()[-3000:]}")
        try:
            if httpx.get(f"{server.url}/healthz", timeout=5).json()["status"] == "ok":
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)  # polling another process's start: there is no event to wait for
    pytest.fail(f"the server is not ready after {START_S} s:\n{server.log.read_text()[-3000:]}")


def start_installed(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start the installed command, as `fork_command` starts it with torch loaded."""
    with log.open("ab") as output:
        return subprocess.Popen([MEZZOTINT, *arguments], stdout=output, stderr=output, env=environment)


@contextmanager
def served(data: Path, *flags: str, is_installed: bool = False, **environment: str) -> Iterator[Server]:
    """Start a server on a free port and wait until its model is loaded; end it afterwards, whatever happened.

    is_installed: start the installed command, which loads by itself what it needs.
    """
    data.parent.mkdir(parents=True, exist_ok=True)
    log = data.with_suffix(".log")
    log.touch()
    start = len(log.read_text())
    arguments = ["serve", "--port", "0", "--data", str(data), "--device", "cpu", *flags]
    start_command = start_installed if is_installed else fork_command
    process = start_command(arguments, {**os.environ, **environment}, log)
    server = Server(process=process, url="", data=data, log=log)
    try:
        server.url = _announced_url(server, start)
        wait_until_ready(server)
        yield server
    finally:
        for client in server.clients:
            client.close()
        if process.poll() is None:
            process.kill()
        process.wait()


def _announced_url(server: Server, start: int) -> str:
    until = time.monotonic() + START_S
    while time.monotonic() < until and server.process.poll() is None:
        found = re.search(r"serves on (http://\S+)", server.log.read_text()[start:])
        if found:
            return found[1]
        time.sleep(0.05)
    pytest.fail(f"the server did not announce itself:\n{server.log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One development server that several tests share."""
    with served(tmp_path_factory.mktemp("server") / "data", "--dev", MEZZOTINT_RATE_SCALE="100") as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_left_to_draw(request: pytest.FixtureRequest) -> Iterator[None]:
    """Jobs that a test began and does not wait for would keep the shared server busy under all later tests."""
    server = request.getfixturevalue("server") if "server" in request.fixturenames else None
    yield
    if server is not None:
        headers = {"Authorization": f"Bearer {server.token('ops', 'pro', Role.ADMIN)}"}
        with httpx.Client(base_url=f"{server.url}/v1/admin", headers=headers, timeout=30) as ops:
            for state in ("queued", "running"):
                for job in ops.get("/jobs", params={"state": state, "limit": 100}).json()["jobs"]:
                    ops.delete(f"/jobs/{job['id']}")


@contextmanager
def held(server: Server) -> Iterator[None]:
    """Hold all drawing: within the block no job ends before a busy browser has come to cancel it."""
    headers = {"Authorization": f"Bearer {server.token('ops', 'pro', Role.ADMIN)}"}
    with httpx.Client(base_url=f"{server.url}/v1/admin", headers=headers, timeout=30) as ops:
        ops.patch("/workers", json={"is_drained": True}).raise_for_status()
        try:
            yield
        finally:
            ops.patch("/workers", json={"is_drained": False}).raise_for_status()


def finished(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """The job after its end."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        job = client.get(f"/v1/jobs/{job['id']}", params={"wait": 30}).json()
        if job["finished_at"] is not None:
            return job
    pytest.fail(f"the job did not end: {job}")


def pixels_of(client: httpx.Client, job: dict[str, Any]) -> list[bytes]:
    """The RGB pixels of a job's pictures. Their files differ between two jobs: each is signed for its own."""
    files = [client.get(image["png_url"]) for image in job["images"]]
    return [Image.open(BytesIO(file.content)).convert("RGB").tobytes() for file in files]
