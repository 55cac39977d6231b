"""A stop within a grace time: runs are put aside, what does not fit is told, a second signal ends all at once."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Server, served
from tests.integration.conftest import wait_for_line

STUCK = """
import time
from pathlib import Path

from mezzotint.engine.batching.passes import Passes

stuck = Path({stuck!r})
call = Passes._call


def call_when_free(self, *args, **kwargs):
    while stuck.exists():
        stuck.with_suffix(".waits").touch()
        time.sleep(0.01)
    return call(self, *args, **kwargs)


Passes._call = call_when_free
"""
SIGNALS = """
import asyncio

from mezzotint.background import handle_stop_signals


async def main():
    stopped = asyncio.Event()
    handle_stop_signals(stopped.set)
    print("ready", flush=True)
    await stopped.wait()
    print("stopping", flush=True)
    await asyncio.sleep(600)


asyncio.run(main())
"""


def sticking(folder: Path) -> dict[str, str]:
    """The environment of a server whose device makes no pass while `stuck` is there."""
    (folder / "sitecustomize.py").write_text(STUCK.format(stuck=str(folder / "stuck")))
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def stick(folder: Path) -> None:
    """Return once a pass is stuck."""
    (folder / "stuck").touch()
    until = time.monotonic() + 60
    while not (folder / "stuck.waits").exists():
        assert time.monotonic() < until, "no pass was made"
        time.sleep(0.02)


def start_jobs(server: Server, number: int) -> None:
    """Submit jobs that last, and wait until each has a checkpoint."""
    client = server.client()
    for seed in range(number):
        body = {"prompt": f"a rocket --seed {seed} --steps 80", "width": 128, "height": 128}
        assert client.post("/v1/jobs", json=body).status_code == 202
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if ask(server, "SELECT count(DISTINCT job) FROM checkpoints") == [(number,)]:
            client.close()
            return
        time.sleep(0.02)
    pytest.fail(f"no checkpoints:\n{server.log.read_text()[-3000:]}")


def ask(server: Server, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(server.data / "mezzotint.db")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


OPEN_JOBS = "SELECT DISTINCT state, lease_worker FROM jobs"
LAST_STEPS = "SELECT j.step, max(c.step) FROM jobs j JOIN checkpoints c ON c.job = j.id GROUP BY j.id"


def test_a_stop_saves_every_run_at_its_last_step_and_gives_its_lease_back(tmp_path: Path) -> None:
    with served(tmp_path / "data", "--checkpoint-every", "2") as server:
        start_jobs(server, 4)
        assert server.stop() == 0
        assert ask(server, OPEN_JOBS) == [("queued", None)]
        steps = ask(server, LAST_STEPS)
        assert len(steps) == 4
        assert all(saved >= reached > 0 for reached, saved in steps)
        assert "did not stop in time" not in server.log.read_text()


def test_a_device_that_does_not_stop_in_time_is_told_and_its_jobs_go_back_all_the_same(tmp_path: Path) -> None:
    environment = sticking(tmp_path)
    with served(tmp_path / "data", "--checkpoint-every", "2", MEZZOTINT_SHUTDOWN_S="3", **environment) as server:
        start_jobs(server, 2)
        stick(tmp_path)
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 30, "the pass would last for ever"
        assert ask(server, OPEN_JOBS) == [("queued", None)]
        assert len(ask(server, LAST_STEPS)) == 2
        told = server.log.read_text()
        assert "the device did not stop in time" in told
        assert all(job in told.split("did not stop in time")[1] for (job,) in ask(server, "SELECT id FROM jobs"))


def test_a_second_signal_ends_a_server_that_waits_for_its_device(tmp_path: Path) -> None:
    environment = sticking(tmp_path)
    with served(tmp_path / "data", "--checkpoint-every", "2", MEZZOTINT_SHUTDOWN_S="3600", **environment) as server:
        start_jobs(server, 1)
        stick(tmp_path)
        server.process.send_signal(signal.SIGTERM)
        wait_for_line(server.log, "a second signal ends the process at once", server.process)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 128 + signal.SIGTERM
        assert ask(server, "SELECT state FROM jobs") == [("running",)]


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_either_signal_stops_and_either_ends_at_once_when_it_comes_second(
    first: signal.Signals, second: signal.Signals
) -> None:
    with subprocess.Popen([sys.executable, "-c", SIGNALS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for number, line in ((first, "ready\n"), (second, "stopping\n")):
                while (told := process.stdout.readline()) != line:
                    assert told, "it ended"
                process.send_signal(number)
            assert process.wait(60) == 128 + second
        finally:
            process.kill()
