"""A server process on 127.0.0.1: started, waited for until it is ready, and ended by its owner."""

import ctypes
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mezzotint.domain.errors import LocalServerFailed

START_S = 60
"""Longest wait for a server on a busy machine."""
POLL_S = 0.05
LOG_LINES = 15
HOST = "127.0.0.1"
PR_SET_PDEATHSIG = 1


@dataclass(kw_only=True)
class LocalServer(ABC):
    """folder: for its files and its `log`. stop_signal: after `stop_s` seconds SIGKILL follows it.

    dies_with_parent: on Linux, whether it ends with the thread that started it, also where that is killed.
    """

    title: ClassVar[str]
    folder: Path
    stop_signal: signal.Signals = signal.SIGTERM
    start_s: float = START_S
    stop_s: float = 20
    dies_with_parent: bool = False
    process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its flags."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Say whether it takes requests."""

    @property
    @abstractmethod
    def address(self) -> str:
        """The address at which it listens."""

    def environment(self) -> dict[str, str] | None:
        """The environment of the process. None: this one's."""
        return None

    def user(self) -> str | None:
        """The account that runs it. None: this one."""
        return None

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Raises: LocalServerFailed."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the process, in a group of its own: Ctrl-C of a terminal goes to its owner alone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ends_with_parent = self.dies_with_parent and sys.platform == "linux"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self.environment(),
                user=self.user(),
                process_group=0,
                preexec_fn=_end_with_parent if ends_with_parent else None,  # noqa: PLW1509 - `dev up` has one thread
            )

    def wait_until_ready(self) -> None:
        """Raises: LocalServerFailed, with the end of its log."""
        until = time.monotonic() + self.start_s
        while self.is_running:
            if self.is_ready():
                return
            if time.monotonic() > until:
                self.kill()
                raise LocalServerFailed(f"{self.title} was not ready after {self.start_s:.0f} s:\n{self.log_tail()}")
            time.sleep(POLL_S)  # the start of another process has no event to wait for
        raise LocalServerFailed(f"{self.title} did not start: {self.describe_end()}")

    def stop(self) -> None:
        """End it in order, or, after `stop_s` seconds, by force."""
        if self.process is None:
            return
        self.process.send_signal(self.stop_signal)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(self.stop_s)
        self.kill()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def describe_end(self) -> str:
        """Describe its exit, with the end of its log."""
        code = None if self.process is None else self.process.poll()
        return f"exit code {code}; the end of {self.log}:\n{self.log_tail()}"

    def log_tail(self) -> str:
        """The last lines of its log."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 8192))
            lines = log.read().decode(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join(f"  {line}" for line in lines)


def is_port_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(above: int = 0) -> int:
    """A port that was free a moment ago; with `above`, port + above is free, too."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if not above or (port + above <= 65_535 and is_port_free(port + above)):
            return port


def is_listening(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
