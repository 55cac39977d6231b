"""A Ray cluster of this machine alone, for a fleet without `--ray`. It listens on 127.0.0.1 and nowhere else."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from mezzotint.domain.errors import ClusterUnusable

FILE = "local-ray.json"
START_S, STOP_S = 300.0, 30.0
POLL_S = 0.1
OBJECT_STORE_BYTES = 80_000_000
"""The least that Ray takes: pictures never go through it."""
AGENTS = ("dashboard-agent-grpc", "dashboard-agent-listen", "runtime-env-agent", "metrics-export")
"""Their ports are given: Ray waits 15 s for them to find some, and ends where a busy machine needs longer."""
STARTED = "Ray runtime started"
"""Ray prints it when the cluster takes connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRay:
    """The running cluster. pid: of the process that started the others and ends them. folder: of its sockets, logs."""

    pid: int
    port: int
    folder: str

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def start_local_ray(data: Path) -> LocalRay:
    """Start one, or find the one that runs for this data folder. Raises: ClusterUnusable.

    `environment.set_ray_environment` must have been called.
    """
    running = find_local_ray(data)
    if running is not None:
        return running
    port, folder = _free_port(), tempfile.mkdtemp(prefix="mezzotint-ray-")  # short: paths of sockets have 107 bytes
    command = make_command(port, folder)
    log = data / "local-ray.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    found = LocalRay(pid=process.pid, port=port, folder=folder)
    (data / FILE).write_text(json.dumps(asdict(found)))
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        if STARTED in log.read_text(errors="replace"):
            return found
        time.sleep(POLL_S)  # another process's start: there is no event to wait for
    stop_local_ray(data)
    raise ClusterUnusable(f"Ray did not start on this machine; its log is {log}")


def make_command(port: int, folder: str) -> list[str]:
    """The command that runs a cluster of this machine alone until it gets SIGTERM. folder: of its sockets and logs."""
    command = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--head", "--block"]
    command += [f"--port={port}", "--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={folder}"]
    return [
        *command,
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        *(f"--{agent}-port={_free_port()}" for agent in AGENTS),
    ]


def find_local_ray(data: Path) -> LocalRay | None:
    try:
        found = LocalRay(**json.loads((data / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return found if _is_running(found) else None


def stop_local_ray(data: Path) -> None:
    """End the cluster that was started for the data folder, if it runs."""
    found = find_local_ray(data)
    if found is not None:
        os.kill(found.pid, signal.SIGTERM)
        until = time.monotonic() + STOP_S
        while time.monotonic() < until and _is_running(found):
            time.sleep(POLL_S)
        if _is_running(found):
            os.killpg(found.pid, signal.SIGKILL)
        shutil.rmtree(found.folder, ignore_errors=True)
    (data / FILE).unlink(missing_ok=True)


def _is_running(found: LocalRay) -> bool:
    """Tell whether the process is there and is the one that was started: its command names the folder."""
    with suppress(ChildProcessError):  # where another process started it
        os.waitpid(found.pid, os.WNOHANG)
    try:
        return found.folder.encode() in Path(f"/proc/{found.pid}/cmdline").read_bytes()
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
