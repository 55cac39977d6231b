"""A job that ends every process that draws it is given up after the second; those beside it are drawn."""

import os
from pathlib import Path
from typing import Any

import httpx

from tests.acceptance.conftest import finished, served
from tests.forked_commands import fork_command
from tests.integration.conftest import Fleet

POISON_PX = 96
ENDED = 86
CRASH = f"""
import os

from mezzotint.media import encoding

given = encoding._encode_webp_bytes


def crash(pixels):
    if pixels.width == {POISON_PX}:
        os._exit({ENDED})  # as a fault in an encoder's C code would
    return given(pixels)


encoding._encode_webp_bytes = crash
"""


def crashing(folder: Path) -> dict[str, str]:
    """The environment of processes whose encoder ends them at a picture of the poison's size."""
    (folder / "sitecustomize.py").write_text(CRASH)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def submit(client: httpx.Client) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The poison, and jobs that run beside it and longer than it."""
    poison = {"prompt": "a red apple --seed 7 --steps 12", "width": POISON_PX, "height": POISON_PX}
    company = [{"prompt": f"a rocket --seed {n} --steps 24"} for n in range(3)]
    made = [client.post("/v1/jobs", json=body) for body in (poison, *company)]
    assert [answer.status_code for answer in made] == [202] * 4
    first, *rest = (answer.json() for answer in made)
    return first, rest


def check(client: httpx.Client, poison: dict[str, Any], company: list[dict[str, Any]]) -> None:
    ended = finished(client, poison)
    assert (ended["state"], ended["error"]["code"]) == ("failed", "worker_lost")
    assert {finished(client, job)["state"] for job in company} == {"succeeded"}
    again = client.post("/v1/jobs", json={"prompt": "a red apple --steps 4"}).json()
    assert finished(client, again)["state"] == "succeeded"


def test_a_job_that_ends_the_server_twice_is_a_dead_letter_at_its_third_start(tmp_path: Path) -> None:
    data, environment = tmp_path / "data", crashing(tmp_path) | {"MEZZOTINT_MAX_ATTEMPTS": "100"}
    with served(data, **environment) as server, server.client() as ada:
        poison, company = submit(ada)
        assert server.process.wait(120) == ENDED
    command = ["serve", "--port", "0", "--data", str(data), "--device", "cpu"]
    log = tmp_path / "second.log"
    assert fork_command(command, {**os.environ, **environment}, log).wait(120) == ENDED, log.read_text()[-2000:]
    with served(data, **environment) as server, server.client() as ada:
        check(ada, poison, company)
        assert server.stop() == 0


def test_a_job_that_ends_two_workers_is_a_dead_letter_for_the_others(fleet: Fleet) -> None:
    fleet.environment |= crashing(fleet.folder) | {"MEZZOTINT_MAX_ATTEMPTS": "100"}
    with fleet.gateway() as server, server.client() as ada:
        first = fleet.start_worker()
        poison, company = submit(ada)
        assert first.wait(120) == ENDED
        assert fleet.launch().wait(120) == ENDED
        fleet.start_worker()
        check(ada, poison, company)
