"""Workers as processes of their own: what they draw, hand over, and leave behind when they die."""

import json
from typing import Any

import httpx
import psutil

from tests.acceptance.conftest import finished
from tests.integration.conftest import Fleet, stop

PROMPT = {"prompt": "a red apple --seed 7 --steps 40"}


def events(client: httpx.Client, job: dict[str, Any], until_step: int | None = None) -> list[dict[str, Any]]:
    """Data of the job's progress events, up to its end or a step."""
    told: list[dict[str, Any]] = []
    with client.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
                if "preview" in data:
                    told.append(data)
                if until_step is not None and data["step"] >= until_step:
                    break
    return told


def test_a_gateway_alone_hears_of_every_workers_steps_and_previews(fleet: Fleet) -> None:
    with fleet.gateway() as server, server.client() as ada:
        job = ada.post("/v1/jobs", json=PROMPT).json()
        assert job["state"] == "queued"
        fleet.start_worker()
        told = events(ada, job)
        assert finished(ada, job)["state"] == "succeeded"
        libraries = {region.path for region in psutil.Process(server.process.pid).memory_maps()}
    assert any(step["preview"] for step in told), "previews cross the processes"
    assert [step["step"] for step in told] == sorted(step["step"] for step in told)
    assert not [path for path in libraries if "libtorch" in path], "a gateway alone does not load torch"


def test_a_killed_workers_job_goes_on_elsewhere_to_the_same_bytes(fleet: Fleet) -> None:
    with fleet.gateway() as server, server.client() as ada:
        first = fleet.start_worker("--checkpoint-every", "5")
        whole = finished(ada, ada.post("/v1/jobs", json=PROMPT).json())
        job = ada.post("/v1/jobs", json=PROMPT).json()
        events(ada, job, until_step=12)
        first.kill()
        first.wait()
        second = fleet.start_worker("--checkpoint-every", "5")
        resumed = finished(ada, job)
        assert resumed["images"] == whole["images"], "addresses are content hashes: equal addresses are equal bytes"
        assert "job goes on from its checkpoint" in fleet.log(1).read_text()
        assert stop(second) == 0


def test_a_stopped_worker_hands_its_job_over_at_the_step_it_reached(fleet: Fleet) -> None:
    with fleet.gateway() as server, server.client() as ada:
        first = fleet.start_worker("--checkpoint-every", "1000")
        job = ada.post("/v1/jobs", json=PROMPT).json()
        events(ada, job, until_step=5)
        assert stop(first) == 0
        waiting = ada.get(f"/v1/jobs/{job['id']}").json()
        assert waiting["state"] == "queued"
        assert waiting["step"] >= 5
        fleet.start_worker()
        assert finished(ada, job)["state"] == "succeeded"
        assert "job goes on from its checkpoint" in fleet.log(1).read_text()
