"""Workers as processes of their own: what they draw, hand over, and leave behind when they die."""

import json
import re
import time
from collections import Counter
from typing import Any

import httpx
import psutil

from tests.acceptance.conftest import finished, pixels_of
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
    heavy = [path for path in libraries if "libtorch" in path or "_raylet" in path]
    assert not heavy, "a gateway alone loads neither torch nor ray"


def test_a_gateway_alone_hears_how_much_of_a_workers_model_is_read(fleet: Fleet) -> None:
    toml = fleet.folder / "models.toml"
    toml.write_text('[[models]]\nname = "ink"\nsource = "starter"\n')
    with fleet.gateway("--models", str(toml)) as server, server.client() as ada:
        job = ada.post("/v1/jobs", json=PROMPT).json()
        with ada.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
            fleet.start_worker("--models", str(toml))
            data = [
                json.loads(line.removeprefix("data: ")) for line in stream.iter_lines() if line.startswith("data: ")
            ]
    shares = [one["share"] for one in data if "share" in one]
    assert shares == sorted(set(shares))
    assert shares[-1] == 1.0
    assert data[-1]["state"] == "succeeded"


def test_jobs_of_killed_workers_end_once_are_charged_once_and_lose_no_bit(fleet: Fleet) -> None:
    with fleet.gateway() as server, server.client() as ada:
        victims = fleet.start_workers(2, "--checkpoint-every", "3")
        # prompts that recur under keys of their own: whatever happened to a run, equal ones must give equal pixels
        bodies = [{"prompt": f"a red apple --seed {n % 3} --steps 12"} for n in range(9)]
        jobs = [ada.post("/v1/jobs", json=body, headers={"Idempotency-Key": f"{n}"}) for n, body in enumerate(bodies)]
        ids = [job.json()["id"] for job in jobs]
        for victim in victims:
            wait_until_saved(fleet)
            victim.kill()
            victim.wait()
        fleet.start_worker("--checkpoint-every", "3")
        ended = [finished(ada, job.json()) for job in jobs]
        assert {job["state"] for job in ended} == {"succeeded"}
        assert len({(n % 3, *pixels_of(ada, job)) for n, job in enumerate(ended)}) == 3
    told = Counter(re.findall(r"job ended\s.*?job=(job_[0-9a-f]+)", fleet.logs()))
    assert max(told.values()) == 1
    assert "job goes on from its checkpoint" in fleet.log(2).read_text()
    assert "in spite of its checkpoints" not in fleet.logs()
    lines = fleet.query("SELECT job, kind FROM ledger")
    assert sorted(lines) == sorted((id, "charged") for id in ids)
    assert sorted(fleet.query("SELECT job FROM images")) == sorted((id,) for id in ids)


def wait_until_saved(fleet: Fleet) -> None:
    """Returns once a running job has a checkpoint of its present lease."""
    running = """
        SELECT count(*) FROM checkpoints JOIN jobs ON jobs.id = job WHERE state = 'running'
        AND key LIKE '%/' || lpad(lease_token::text, 4, '0') || '-%'"""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if fleet.query(running) != [(0,)]:
            return
        time.sleep(0.05)  # polling another process: there is no event to wait for
    raise AssertionError("no run was saved")


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
