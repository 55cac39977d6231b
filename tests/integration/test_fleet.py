"""A fleet on Ray, as its operator runs it: two nodes, PostgreSQL, a gateway; and what happens when parts of it die.

The tests share one cluster and one fleet and follow each other, since a worker takes seconds of a core to start.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from mezzotint.main.fleet.view import read_view
from mezzotint.store import Database
from tests.acceptance.conftest import MEZZOTINT, finished, served
from tests.ray_cluster import find_processes
from tests.servers import Postgres

WAIT_S = 400.0
"""Longest wait for anything on a busy machine."""
FILE = """
[[pools]]
name = "desk"
min = 1
max = 2
settings = { lease_s = 5, checkpoint_every = 5 }
"""


pytestmark = pytest.mark.timeout(1500)


@dataclass
class RayFleet:
    """folder: of the workers' data and the file. cluster: the process that all of Ray's descend from."""

    folder: Path
    address: str
    environment: dict[str, str]
    cluster: int

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [MEZZOTINT, "fleet", *arguments, "--data", str(self.folder / "data")]
        environment = {**os.environ, **self.environment}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=WAIT_S, check=False)

    def up(self) -> subprocess.CompletedProcess[str]:
        (self.folder / "fleet.toml").write_text(FILE)
        return self.run("up", str(self.folder / "fleet.toml"), "--ray", self.address)

    def status(self) -> dict[str, Any]:
        """As `fleet status --json` prints it, without the seconds of a core that a command takes to start."""

        async def read() -> dict[str, Any]:
            database = Database(self.environment["MEZZOTINT_DATABASE"])
            try:
                return (await read_view(database)).as_json()
            finally:
                await database.close()

        return asyncio.run(read())

    def wait(self, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Poll other processes: there is no event to wait for."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            found = self.status()
            if is_so(found):
                return found
            time.sleep(0.5)
        pytest.fail(f"it did not come to that: {json.dumps(found, indent=1)}")


def workers(found: dict[str, Any], *states: str) -> list[dict[str, Any]]:
    return [worker for worker in found["workers"] if worker["state"] in states]


def has_ready(number: int) -> Callable[[dict[str, Any]], bool]:
    """So many ready ones, and no other that lives."""
    return lambda found: [len(workers(found, "ready")), len(workers(found, "starting", "draining"))] == [number, 0]


def process_of(worker: dict[str, Any]) -> psutil.Process:
    """A worker's name in the queue has its process's id."""
    return psutil.Process(int(worker["worker"].split("-")[-2]))


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[tuple[str, int]]:
    """Its address, and the id of the process that runs it."""
    command = [sys.executable, "-m", "tests.ray_cluster", "2"]
    cluster = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert cluster.stdin is not None
    assert cluster.stdout is not None
    try:
        address = next((line.split()[1] for line in cluster.stdout if line.startswith("cluster ")), None)
        assert address is not None, "the cluster did not start"
        yield address, cluster.pid
    finally:
        cluster.stdin.close()
        cluster.wait(60)
        cluster.stdout.close()


@pytest.fixture(scope="module")
def fleet(
    ray_cluster: tuple[str, int], postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RayFleet]:
    folder = tmp_path_factory.mktemp("fleet")
    environment = {"MEZZOTINT_DATABASE": postgres.database(), "MEZZOTINT_OBJECTS": str(folder / "objects")}
    address, cluster = ray_cluster
    made = RayFleet(folder=folder, address=address, environment=environment, cluster=cluster)
    yield made
    made.run("down", "--now")


@pytest.fixture(scope="module")
def ada(fleet: RayFleet) -> Iterator[httpx.Client]:
    """Of a region in which no worker is: its jobs spill over to that of the fleet."""
    environment = {**fleet.environment, "MEZZOTINT_REGION": "coast"}
    with served(fleet.folder / "data", "--no-worker", **environment) as server, server.client() as client:
        yield client


def test_a_fault_is_named_and_nothing_is_started(fleet: RayFleet, ada: httpx.Client) -> None:
    (fleet.folder / "large.toml").write_text('[[pools]]\nname = "big"\naccelerator = "H100"\nmin = 1\nmax = 1\n')
    large = fleet.run("up", str(fleet.folder / "large.toml"), "--ray", fleet.address)
    assert (large.returncode, "room for 0" in large.stderr) == (2, True), large.stderr
    nobody = fleet.run("up", str(fleet.folder / "large.toml"), "--ray", "127.0.0.1:9")
    assert (nobody.returncode, "there is no cluster at 127.0.0.1:9" in nobody.stderr) == (1, True), nobody.stderr
    assert fleet.run("status").returncode == 1, "there is no fleet"


def test_a_fleet_draws(fleet: RayFleet, ada: httpx.Client) -> None:
    done = fleet.up()
    assert done.returncode == 0, done.stderr
    fleet.wait(has_ready(1))
    job = finished(ada, ada.post("/v1/jobs", json={"prompt": "a red apple --seed 7 --steps 8"}).json())
    assert job["state"] == "succeeded", job
    assert job["region"] == "coast"
    (coast, *_) = fleet.status()["regions"]
    assert (coast["region"], coast["num_healthy"], coast["served_by"]) == ("coast", 0, "default")


def test_a_controller_that_is_killed_takes_its_workers_over(fleet: RayFleet) -> None:
    before = fleet.status()
    (controller,) = find_processes(fleet.cluster, "ControllerActor")
    controller.kill()
    after = fleet.wait(lambda found: found["controller"]["epoch"] > before["controller"]["epoch"])
    assert [worker["worker"] for worker in workers(after, "ready")] == [
        worker["worker"] for worker in workers(before, "ready")
    ]
    assert len(after["workers"]) == len(before["workers"]), "nothing was started twice"


def test_a_worker_that_goes_hands_its_runs_on_and_no_step_is_lost(fleet: RayFleet, ada: httpx.Client) -> None:
    assert fleet.run("scale", "desk", "2").returncode == 0
    fleet.wait(has_ready(2))
    prompts = [f"a red apple --seed {seed} --steps 40" for seed in range(3)]
    jobs = [ada.post("/v1/jobs", json={"prompt": prompt}).json() for prompt in prompts]
    fleet.wait(lambda found: all(worker["running"] for worker in workers(found, "ready")))
    assert fleet.run("scale", "desk", "1").returncode == 0
    found = fleet.wait(has_ready(1))
    assert [worker["reason"] for worker in workers(found, "stopped")] == ["drained"]
    ended = [finished(ada, job) for job in jobs]
    assert [job["state"] for job in ended] == ["succeeded"] * 3
    assert [job["num_passes"] for job in ended] == [40] * 3, "no step was computed twice"


def test_a_worker_that_is_killed_is_replaced_and_its_job_goes_on(fleet: RayFleet, ada: httpx.Client) -> None:
    job = ada.post("/v1/jobs", json={"prompt": "a blue fish --seed 3 --steps 40"}).json()
    until = time.monotonic() + WAIT_S
    while ada.get(f"/v1/jobs/{job['id']}").json()["step"] < 10 and time.monotonic() < until:
        time.sleep(0.2)  # polling another process
    (killed,) = workers(fleet.status(), "ready")
    process_of(killed).kill()
    found = fleet.wait(lambda found: has_ready(1)(found) and workers(found, "ready")[0]["id"] != killed["id"])
    assert [worker["id"] for worker in workers(found, "lost")] == [killed["id"]]
    assert finished(ada, job)["state"] == "succeeded"


def test_down_leaves_nothing(fleet: RayFleet) -> None:
    (worker,) = workers(fleet.status(), "ready")
    process = process_of(worker)
    done = fleet.run("down")
    assert done.returncode == 0, done.stderr
    found = json.loads(fleet.run("status", "--json").stdout)
    assert (found["phase"], workers(found, "starting", "ready", "draining")) == ("down", [])
    gone, alive = psutil.wait_procs([process], timeout=30)
    assert gone, alive
    assert fleet.run("down").returncode == 1, "there is nothing to end"
