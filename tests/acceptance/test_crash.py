"""What a crash costs: at most the steps since the last checkpoint, and not one pixel."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.acceptance.conftest import finished, pixels_of, served

PROMPT = {"prompt": "a red apple --seed 7 --steps 60"}


def wait_for_step(client: httpx.Client, job: dict[str, Any], step: int) -> None:
    """Returns when the job has passed the step."""
    with client.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("data: ") and json.loads(line.removeprefix("data: "))["step"] >= step:
                return
    raise AssertionError(f"the job ended before step {step}")


def checkpoints(data: Path) -> list[Path]:
    return sorted((data / "objects" / "checkpoints").glob("*/*.safetensors"))


@dataclass(frozen=True)
class Crashed:
    """A server that was killed and started again on its data.

    whole: a job that ended before; running, damaged: twins of it that were past step 15, of which one lost a bit of its
    newest checkpoint; queued: jobs that waited; log: of the second server; left: checkpoints at its end.
    """

    whole: list[bytes]
    running: list[bytes]
    damaged: list[bytes]
    queued: list[str]
    log: str
    left: list[Path]


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Crashed:
    data = tmp_path_factory.mktemp("crashed") / "data"
    with served(data, MEZZOTINT_MAX_RUNS="2") as server, server.client() as ada:
        whole = pixels_of(ada, finished(ada, ada.post("/v1/jobs", json=PROMPT).json()))
        twins = [ada.post("/v1/jobs", json=PROMPT, headers={"Idempotency-Key": key}).json() for key in "ab"]
        queued = [ada.post("/v1/jobs", json={"prompt": f"a rocket --seed {n} --steps 4"}).json() for n in range(6)]
        for twin in twins:
            wait_for_step(ada, twin, 15)
        server.kill()
    saved = {folder.name: sorted(folder.glob("*.safetensors")) for folder in (data / "objects/checkpoints").iterdir()}
    assert all(saved[twin["id"]] for twin in twins), "a job past step 15 has checkpoints"
    content = bytearray(saved[twins[1]["id"]][-1].read_bytes())
    content[len(content) // 2] ^= 1
    saved[twins[1]["id"]][-1].write_bytes(bytes(content))
    orphan = data / "objects" / "checkpoints" / "job_gone" / "0001-00010.safetensors"
    orphan.parent.mkdir()
    orphan.write_bytes(b"left behind")
    with served(data) as server, server.client() as ada:
        running, damaged = (pixels_of(ada, finished(ada, twin)) for twin in twins)
        states = [finished(ada, job)["state"] for job in queued]
        assert server.stop() == 0
    return Crashed(whole, running, damaged, states, server.log.read_text(), checkpoints(data))


def test_a_killed_server_goes_on_from_the_checkpoint_to_the_same_pixels(crashed: Crashed) -> None:
    assert crashed.running == crashed.whole
    assert "job goes on from its checkpoint" in crashed.log


def test_a_damaged_checkpoint_costs_steps_but_not_the_picture(crashed: Crashed) -> None:
    assert crashed.damaged == crashed.whole
    assert "checkpoint refused" in crashed.log


def test_checkpoints_that_a_crash_left_behind_are_swept_at_the_next_start(crashed: Crashed) -> None:
    assert crashed.left == []


def test_queued_jobs_survive_a_kill(crashed: Crashed) -> None:
    assert set(crashed.queued) == {"succeeded"}


def test_a_stopped_server_parks_its_jobs_and_finishes_them_after_the_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with served(data) as server, server.client() as ada:
        whole = finished(ada, ada.post("/v1/jobs", json=PROMPT).json())
        job = ada.post("/v1/jobs", json=PROMPT).json()
        wait_for_step(ada, job, 13)
        assert server.stop() == 0
    parked = int(checkpoints(data)[-1].stem.split("-")[1])
    assert parked >= 13, "the last checkpoint is where it stopped, not the tenth step before"
    with served(data) as server, server.client() as ada:
        assert pixels_of(ada, finished(ada, job)) == pixels_of(ada, whole)


def test_calls_of_openais_client_over_a_kill_are_a_job_and_a_picture_each(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def draw(client: OpenAI) -> str | None:
        return (client.images.generate(prompt="a rocket --steps 40", size="96x96").data or [])[0].b64_json

    data = tmp_path / "data"
    with ThreadPoolExecutor() as pool:
        with served(data, "--port", port) as server, server.client() as ada:
            patient = OpenAI(base_url=f"{server.url}/v1", api_key=server.token(), max_retries=60)
            asked = [pool.submit(draw, patient) for _ in range(2)]
            while len(ada.get("/v1/jobs").json()["jobs"]) < 2 and not any(one.done() for one in asked):
                pass  # another process's queue: no event to wait for
            server.kill()
        with served(data, "--port", port) as server, server.client() as ada, patient:
            assert len({one.result(timeout=120) for one in asked}) == 2
            assert len(ada.get("/v1/jobs").json()["jobs"]) == 2


def test_a_pro_job_takes_the_place_of_a_paid_run_that_loses_no_bit(tmp_path: Path) -> None:
    body = {"prompt": "a red apple --seed 7 --steps 50", "width": 128, "height": 128}
    with served(tmp_path / "data", MEZZOTINT_MAX_RUNS="3") as server:
        paid, pro = server.client("bob", "paid"), server.client("ada", "pro")
        whole = finished(paid, paid.post("/v1/jobs", json=body).json())
        keys = [{"Idempotency-Key": f"twin {n}"} for n in range(3)]
        taken = [paid.post("/v1/jobs", json=body, headers=key).json() for key in keys]
        wait_for_step(paid, taken[0], 2)
        urgent = finished(pro, pro.post("/v1/jobs", json={"prompt": "a rocket --steps 4"}).json())
        ended = [finished(paid, job) for job in taken]
        assert [pixels_of(paid, job) for job in ended] == [pixels_of(paid, whole)] * 3
    assert "run makes room" in server.log.read_text()
    assert urgent["finished_at"] < max(job["finished_at"] for job in ended)
