"""A gateway alone and workers of their own, as processes, on one database and one folder of objects."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import START_S, Server, served
from tests.forked_commands import ForkedProcess, fork_command
from tests.servers import Postgres, query_rows

LEASE_S = "3"


@dataclass
class Fleet:
    """Processes that share one PostgreSQL database. Each worker has a log file."""

    folder: Path
    environment: dict[str, str]
    workers: list[ForkedProcess] = field(default_factory=list)

    @contextmanager
    def gateway(self, *flags: str) -> Iterator[Server]:
        with served(self.folder / "data", "--no-worker", *flags, is_installed=True, **self.environment) as server:
            yield server

    def start_worker(self, *flags: str) -> ForkedProcess:
        """Start one and wait until it draws."""
        (worker,) = self.start_workers(1, *flags)
        return worker

    def start_workers(self, number: int, *flags: str) -> list[ForkedProcess]:
        """Start some at once and wait until all draw."""
        started = [self.launch(*flags) for _ in range(number)]
        for place, worker in enumerate(started, len(self.workers) - number):
            wait_for_line(self.log(place), "model ready", worker)
        return started

    def launch(self, *flags: str) -> ForkedProcess:
        """Start one."""
        log = self.log(len(self.workers))
        log.touch()
        arguments = ["worker", "--data", str(self.folder / "data"), "--device", "cpu", *flags]
        worker = fork_command(arguments, {**os.environ, **self.environment}, log)
        self.workers.append(worker)
        return worker

    def log(self, number: int) -> Path:
        return self.folder / f"worker-{number}.log"

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("worker-*.log")))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """What the database says, whatever its server's processes believe."""
        return query_rows(self.environment["MEZZOTINT_DATABASE"], sql)

    def end(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()


def stop(worker: ForkedProcess) -> int:
    worker.send_signal(signal.SIGTERM)
    return worker.wait(60)


def wait_for_line(log: Path, words: str, process: subprocess.Popen[bytes] | ForkedProcess) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        if words in log.read_text():
            return
        time.sleep(0.05)  # polling another process: there is no event to wait for
    pytest.fail(f"{words!r} did not come:\n{log.read_text()[-3000:]}")


@pytest.fixture
def fleet(postgres: Postgres, tmp_path: Path) -> Iterator[Fleet]:
    environment = {"MEZZOTINT_DATABASE": postgres.database(), "MEZZOTINT_LEASE_S": LEASE_S}
    fleet = Fleet(folder=tmp_path, environment=environment)
    yield fleet
    fleet.end()
