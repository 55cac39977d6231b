"""More than generate, through the whole service: pictures made of pictures, and what a crash costs them."""

from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.acceptance.conftest import Server, finished, pixels_of, served
from tests.acceptance.test_crash import checkpoints, wait_for_step


def png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def pixels(server: Server, job: dict[str, Any]) -> np.ndarray:
    delivered = httpx.get(server.url + job["images"][0]["png_url"])
    return np.asarray(Image.open(BytesIO(delivered.content)).convert("RGB"))


def drawn(client: httpx.Client, **body: object) -> dict[str, Any]:
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    job = finished(client, answer.json())
    assert job["state"] == "succeeded", job["error"]
    return job


@pytest.fixture(scope="module")
def apple(server: Server) -> dict[str, Any]:
    with server.client() as ada:
        return drawn(ada, prompt="a red apple --seed 7 --steps 20")


def test_a_variation_begins_with_a_picture_of_the_history(server: Server, apple: dict[str, Any]) -> None:
    with server.client() as ada:
        job = drawn(ada, prompt="a blue fish --seed 1 --steps 20", task="variation", source=apple["id"], strength=0.8)
        again = drawn(ada, prompt="a blue fish --seed 1 --steps 20", task="variation", source=apple["id"], strength=0.8)
        assert pixels_of(ada, job) != pixels_of(ada, apple)
        assert pixels_of(ada, job) == pixels_of(ada, again), "same request, same picture"
    assert job["step"] == 16, "a strength of 0.8 runs 16 of 20 steps"


@pytest.mark.parametrize(("mode", "ground", "stroke"), [("L", 0, 255), ("RGBA", (255, 255, 255, 0), (0, 0, 0, 255))])
def test_an_inpaint_redraws_what_the_mask_covers_and_nothing_else(
    server: Server, apple: dict[str, Any], mode: str, ground: Any, stroke: Any
) -> None:
    mask = Image.new(mode, (64, 64), ground)
    mask.paste(stroke, (32, 0, 64, 64))
    with server.client() as ada:
        uploaded = ada.post("/v1/uploads", content=png(mask)).json()
        job = drawn(
            ada, prompt="a green apple --seed 1 --steps 12", task="inpaint", source=apple["id"], mask=uploaded["id"]
        )
    before, after = pixels(server, apple), pixels(server, job)
    assert np.array_equal(before[:, :32], after[:, :32])
    assert not np.array_equal(before[:, 32:], after[:, 32:])


def test_an_outpaint_draws_around_an_upload(server: Server) -> None:
    photograph = Image.effect_noise((64, 64), 60).convert("RGB")
    with server.client() as ada:
        source = ada.post("/v1/uploads", content=png(photograph)).json()
        job = drawn(ada, prompt="a house --seed 1 --steps 8", task="outpaint", source=source["id"], zoom=1.5)
    made = pixels(server, job)
    assert made.shape == (96, 96, 3)
    assert np.array_equal(made[16:80, 16:80], np.asarray(photograph))


def test_an_upscale_has_four_times_the_side_and_the_same_picture(server: Server, apple: dict[str, Any]) -> None:
    with server.client() as ada:
        job = drawn(ada, prompt="", task="upscale", source=apple["images"][0]["png_url"][3:-4], scale=4)
        again = drawn(ada, prompt="a red apple", task="upscale", source=apple["id"], scale=4)
        assert pixels_of(ada, job) == pixels_of(ada, again)
    assert job["model"] == "mezzotint-upscaler"
    small, large = pixels(server, apple), pixels(server, job)
    assert large.shape == (256, 256, 3)
    shrunk = np.asarray(Image.fromarray(large).resize((64, 64), Image.Resampling.BOX)).astype(float)
    assert np.abs(shrunk - small).mean() < 6, "shrunk again it is the picture it came from"


def test_a_killed_variation_goes_on_from_its_checkpoint_to_the_same_pixels(tmp_path: Path) -> None:
    data = tmp_path / "data"
    body = {"prompt": "a red apple --seed 3 --steps 60", "task": "variation", "strength": 0.9}
    with served(data) as server, server.client() as ada:
        body["source"] = ada.post("/v1/uploads", content=png(Image.new("RGB", (64, 64), "orange"))).json()["id"]
        whole = drawn(ada, **body)
        job = ada.post("/v1/jobs", json=body).json()
        wait_for_step(ada, job, 25)
        server.kill()
    assert checkpoints(data)
    with served(data) as server, server.client() as ada:
        resumed = finished(ada, job)
        assert pixels_of(ada, resumed) == pixels_of(ada, whole)
        assert "job goes on from its checkpoint" in server.log.read_text()


def test_a_job_whose_source_is_gone_says_so(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with served(data) as server, server.client() as ada:
        source = ada.post("/v1/uploads", content=png(Image.new("RGB", (64, 64), "orange"))).json()["id"]
        (stored,) = (data / "objects" / "uploads").glob("*/*.png")
        stored.unlink()
        body = {"prompt": "a cat", "task": "variation", "source": source}
        job = finished(ada, ada.post("/v1/jobs", json=body).json())
        assert (job["state"], job["error"]["code"]) == ("failed", "source_missing")
        assert drawn(ada, prompt="a cat --steps 2")["state"] == "succeeded"
