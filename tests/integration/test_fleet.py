"""A fleet on Ray, as its operator runs it: PostgreSQL, a gateway; and what happens when parts of it die.

The tests share one cluster and one fleet and follow each other, since a worker takes seconds of a core to start.
"""

import asyncio
import json
import os
import shutil
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

from mezzotint.domain.errors import NotKnown
from mezzotint.engine.models.files import STARTER, locate
from mezzotint.main.fleet.operate import set_scale
from mezzotint.main.fleet.view import read_view
from mezzotint.store import Database
from tests.acceptance.conftest import finished, served
from tests.forked_commands import fork_command
from tests.ray_cluster import find_processes
from tests.servers import Postgres

WAIT_S = 400.0
"""Longest wait for anything on a busy machine."""
FILE = """
[[pools]]
name = "desk"
min = 1
max = 2
max_runs = 2
settings = { lease_s = 5, checkpoint_every = 5 }
"""
MODELS = """
[[models]]
name = "mezzotint-starter"
source = "{folder}"
warm = true
"""


pytestmark = pytest.mark.timeout(1500)


@dataclass
class RayFleet:
    """folder: of the workers' data and the file. cluster: the process that all of Ray's descend from."""

    folder: Path
    address: str
    environment: dict[str, str]
    cluster: int
    database: Database
    loop: asyncio.Runner

    def run(self, *arguments: str) -> tuple[int | None, str]:
        """Run a command of the fleet. Returns its exit code and its output, errors included."""
        log = self.folder / "command.log"
        log.write_text("")
        command = ["fleet", *arguments, "--data", str(self.folder / "data")]
        process = fork_command(command, {**os.environ, **self.environment}, log)
        try:
            process.wait(WAIT_S)
        finally:
            process.kill()
        return process.returncode, log.read_text()

    def up(self) -> tuple[int | None, str]:
        (self.folder / "fleet.toml").write_text(FILE)
        return self.run("up", str(self.folder / "fleet.toml"), "--ray", self.address)

    def status(self) -> dict[str, Any]:
        """As `fleet status --json` prints it, without the seconds of a core that a command takes to start."""

        return self.loop.run(read_view(self.database)).as_json()

    def scale(self, number: int) -> None:
        """As `fleet scale` does."""
        self.loop.run(set_scale(self.database, "desk", str(number)))

    def wait(self, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Poll other processes: there is no event to wait for."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            found = self.status()
            if is_so(found):
                return found
            time.sleep(1)
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
    command = [sys.executable, "-m", "tests.ray_cluster", "1", "2"]
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
    environment |= {"MEZZOTINT_PROVENANCE": "false", "MEZZOTINT_TEXT_CLASSIFIER": "false"}  # a worker starts sooner
    address, cluster = ray_cluster
    with asyncio.Runner() as loop:
        database = Database(environment["MEZZOTINT_DATABASE"])
        made = RayFleet(
            folder=folder, address=address, environment=environment, cluster=cluster, database=database, loop=loop
        )
        yield made
        made.run("down", "--now")
        loop.run(database.close())


@pytest.fixture(scope="module")
def ada(fleet: RayFleet) -> Iterator[httpx.Client]:
    """Of a region in which no worker is: its jobs spill over to that of the fleet."""
    environment = {**fleet.environment, "MEZZOTINT_REGION": "coast"}
    with served(fleet.folder / "data", "--no-worker", **environment) as server, server.client() as client:
        yield client


def test_a_fault_is_named_and_nothing_is_started(fleet: RayFleet, ada: httpx.Client) -> None:
    (fleet.folder / "large.toml").write_text('[[pools]]\nname = "big"\naccelerator = "H100"\nmin = 1\nmax = 1\n')
    code, told = fleet.run("check", str(fleet.folder / "large.toml"), "--ray", fleet.address)
    assert (code, "room for 0" in told) == (2, True), told
    with pytest.raises(NotKnown):
        fleet.status()


def test_a_fleet_draws(fleet: RayFleet, ada: httpx.Client) -> None:
    code, told = fleet.up()
    assert code == 0, told
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


def test_a_broken_version_goes_back_by_itself_and_no_job_fails_for_it(fleet: RayFleet, ada: httpx.Client) -> None:
    assert fleet.run("scale", "desk", "2")[0] == 0
    fleet.wait(has_ready(2))
    prompts = [f"a red apple --seed {seed} --steps 30" for seed in range(3)]
    jobs = [ada.post("/v1/jobs", json={"prompt": prompt}).json() for prompt in prompts]
    fleet.wait(lambda found: all(worker["running"] for worker in workers(found, "ready")))
    model = shutil.copytree(locate(STARTER), fleet.folder / "broken")
    (fleet.folder / "broken.toml").write_text(MODELS.format(folder=model))
    code, told = fleet.run("rollout", "--models", str(fleet.folder / "broken.toml"), "--version", "broken")
    assert code == 0, told
    shutil.rmtree(model)  # the command has found it; the workers that start do not
    found = fleet.wait(lambda found: found["rollout"]["phase"] == "went back" and has_ready(2)(found))
    assert "2 new workers ended before they had proven themselves" in found["rollout"]["reason"]
    assert "ModelMissing" in found["rollout"]["reason"]
    assert {one["version"] for one in workers(found, "ready")} == {found["version"]}
    ended = [finished(ada, job) for job in jobs]
    assert [(job["state"], job["num_passes"]) for job in ended] == [("succeeded", 30)] * 3, "no step was computed twice"


def test_a_worker_that_is_killed_is_replaced_and_its_job_goes_on(fleet: RayFleet, ada: httpx.Client) -> None:
    jobs = [ada.post("/v1/jobs", json={"prompt": f"a blue fish --seed {n} --steps 50"}).json() for n in (30, 31)]
    before = workers(fleet.wait(lambda found: any(one["running"] for one in workers(found, "ready"))), "ready")
    killed = next(worker for worker in before if worker["running"])
    process_of(killed).kill()
    fleet.wait(lambda found: any(worker["id"] == killed["id"] for worker in workers(found, "lost")))
    known = {worker["id"] for worker in before}
    fleet.wait(lambda found: any(worker["id"] not in known for worker in workers(found, "starting", "ready")))
    fleet.scale(1)  # the new one is not waited for
    assert [finished(ada, job)["state"] for job in jobs] == ["succeeded"] * 2


def test_down_leaves_nothing(fleet: RayFleet) -> None:
    processes = [process_of(worker) for worker in workers(fleet.status(), "ready")]
    code, told = fleet.run("down")
    assert code == 0, told
    found = fleet.status()
    assert (found["phase"], workers(found, "starting", "ready", "draining")) == ("down", [])
    gone, alive = psutil.wait_procs(processes, timeout=30)
    assert (len(gone), alive) == (len(processes), [])
