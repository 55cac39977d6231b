"""A prompt in, a picture out: through the whole service, by its public API."""

import hashlib
import json
import time
from io import BytesIO

import httpx
import pytest
from PIL import Image

from mezzotint.domain.claims import Role
from tests.acceptance.conftest import Server, finished, pixels_of


def test_a_prompt_becomes_a_picture_in_both_formats(server: Server) -> None:
    with server.client() as ada:
        answer = ada.post("/v1/jobs", json={"prompt": "a red apple --seed 7"})
        assert answer.status_code == 202
        job = finished(ada, answer.json())
        assert (job["state"], job["step"], job["num_steps"], job["error"]) == ("succeeded", 30, 30, None)
        assert all(seconds is not None for seconds in job["timings"].values())
        (image,) = job["images"]
        assert (image["seed"], image["width"], image["height"]) == (7, 64, 64)
        for url, form in ((image["url"], "WEBP"), (image["png_url"], "PNG")):
            delivered = httpx.get(server.url + url)
            assert delivered.headers["cache-control"].endswith("immutable")
            assert hashlib.sha256(delivered.content).hexdigest() in url, "the address is the hash of the bytes"
            picture = Image.open(BytesIO(delivered.content))
            assert (picture.format, picture.size) == (form, (64, 64))
            assert len(picture.convert("RGB").getcolors(64 * 64) or []) > 20, "a picture, not one flat colour"
        assert ada.get("/v1/images").json()["images"][0]["job_id"] == job["id"]


def test_events_tell_every_step_with_previews_that_change(server: Server) -> None:
    with server.client() as ada:
        job = ada.post("/v1/jobs", json={"prompt": "a green heart --seed 3"}).json()
        names, steps, previews = [], [], set()
        with ada.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    names.append(line.removeprefix("event: "))
                elif line.startswith("data: ") and names[-1] == "progress":
                    data = json.loads(line.removeprefix("data: "))
                    steps.append(data["step"])
                    previews.add(data["preview"])
    assert names[-1] == "succeeded"
    assert len(steps) > 10
    assert steps == sorted(steps)
    assert len(previews) > 3
    assert all(preview.startswith("data:image/webp;base64,") for preview in previews if preview)


def test_other_jobs_do_not_change_a_pixel(server: Server) -> None:
    """The same request alone and among three others, at other steps."""
    with server.client() as ada:
        alone = finished(ada, ada.post("/v1/jobs", json={"prompt": "a blue fish --seed 11"}).json())
        others = [
            ada.post("/v1/jobs", json={"prompt": f"a cat face --seed {n} --steps {20 + 9 * n}"}).json()
            for n in range(3)
        ]
        with ada.stream("GET", f"/v1/jobs/{others[-1]['id']}/events") as stream:
            next(line for line in stream.iter_lines() if line == "event: progress")
        among = finished(ada, ada.post("/v1/jobs", json={"prompt": "a blue fish --seed 11"}).json())
        for other in others:
            assert finished(ada, other)["state"] == "succeeded"
        assert pixels_of(ada, among) == pixels_of(ada, alone)


def test_a_refused_prompt_never_becomes_a_job(server: Server) -> None:
    with server.client(tenant="bob", tier="free") as bob:
        answer = bob.post("/v1/jobs", json={"prompt": "a cat --steps 31"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "steps_over_budget")
        assert "30" in answer.json()["error"]["hint"] + answer.json()["error"]["message"]
        assert bob.get("/v1/jobs").json()["jobs"] == []


def test_a_running_job_can_be_cancelled_and_the_others_go_on(server: Server) -> None:
    with server.client() as ada:
        long, other = (ada.post("/v1/jobs", json={"prompt": f"the sun --seed {n} --steps 80"}).json() for n in (1, 2))
        with ada.stream("GET", f"/v1/jobs/{long['id']}/events") as stream:
            next(line for line in stream.iter_lines() if line == "event: progress")
        assert ada.delete(f"/v1/jobs/{long['id']}").json()["state"] == "cancelled"
        assert finished(ada, other)["state"] == "succeeded"
        assert ada.get(f"/v1/jobs/{long['id']}").json()["images"] == []


@pytest.mark.parametrize("size", ["96x64", "64x96", "32x32", "128x128"])
def test_other_sizes_on_the_grid_are_drawn(server: Server, size: str) -> None:
    width, height = map(int, size.split("x"))
    with server.client() as ada:
        body = {"prompt": "a rocket --steps 4", "width": width, "height": height}
        job = finished(ada, ada.post("/v1/jobs", json=body).json())
        assert [(image["width"], image["height"]) for image in job["images"]] == [(width, height)]


def test_nothing_is_left_of_a_finished_jobs_checkpoints(server: Server) -> None:
    with server.client() as ada:
        job = finished(ada, ada.post("/v1/jobs", json={"prompt": "a snowman --seed 5"}).json())
    until = time.monotonic() + 30
    while left := list((server.data / "objects" / "checkpoints" / job["id"]).glob("*")):  # they go after it has ended
        assert time.monotonic() < until, left
        time.sleep(0.05)


def test_every_phase_of_a_finished_job_is_metered(server: Server) -> None:
    with server.client(tier="paid") as ada:
        job = finished(ada, ada.post("/v1/jobs", json={"prompt": "a red apple --seed 7"}).json())
        assert all(seconds is not None and seconds >= 0 for seconds in job["timings"].values()), job["timings"]
        text = ada.get("/metrics").text
    for phase in ("queue", "load", "denoise", "decode", "filter", "upload"):
        assert f'mezzotint_job_phase_seconds_count{{lane="paid",phase="{phase}"}}' in text
    (passes,) = [line for line in text.splitlines() if line.startswith("mezzotint_engine_passes_total ")]
    assert float(passes.split()[1]) >= job["num_steps"]


def test_a_drained_worker_puts_its_run_aside_and_goes_on_later_to_the_same_pixels(server: Server) -> None:
    body = {"prompt": "a red apple --seed 21 --steps 60", "width": 128, "height": 128}
    ops = {"Authorization": f"Bearer {server.token('ops', 'pro', Role.ADMIN)}"}
    with server.client() as ada, httpx.Client(base_url=server.url, headers=ops, timeout=30) as admin:
        whole = finished(ada, ada.post("/v1/jobs", json=body).json())
        job = ada.post("/v1/jobs", json=body, headers={"Idempotency-Key": "again"}).json()
        is_told = False
        try:
            with ada.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
                for line in stream.iter_lines():
                    if is_told and line == "event: queued":
                        break
                    if line.startswith("data: ") and not is_told:
                        is_told = json.loads(line.removeprefix("data: "))["step"] >= 3
                        admin.patch("/v1/admin/workers", json={"is_drained": is_told})
            waiting = ada.get(f"/v1/jobs/{job['id']}").json()
            (worker,) = admin.get("/v1/admin/workers").json()["workers"]
        finally:
            admin.patch("/v1/admin/workers", json={"is_drained": False})
        resumed = finished(ada, job)
        assert pixels_of(ada, resumed) == pixels_of(ada, whole)
    assert waiting["state"] == "queued"
    assert 3 <= waiting["step"] < 60
    assert (worker["num_running"], worker["is_drained"]) == (0, True)
