"""Tiny models of several families behind one server: each picture is the stock pipeline's, and what cannot be drawn
with is refused with the reason."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from mezzotint.engine.models.files import CARD
from tests.acceptance.conftest import Server, finished, pixels_of, served
from tests.conformance.engine.zoo.parts import seeded
from tests.making_models import FAMILIES, flux2_klein
from tests.making_pictures import encode

SIDE = 32
NAMES = {
    "xl": "Stable Diffusion XL",
    "pixart": "PixArt sigma",
    "klein": "FLUX.2 klein",
    "fills": "Stable Diffusion 1, a folder that fills in",
    "instructed": "InstructPix2Pix",
}
STEPS, SEED = 2, 7


@dataclass(frozen=True, slots=True)
class Families:
    server: Server
    folder: Path
    client: httpx.Client


@pytest.fixture(scope="session")
def families(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Families]:
    folder = tmp_path_factory.mktemp("families")
    builders = {name: FAMILIES[family] for name, family in NAMES.items()} | {
        "shallow": lambda: flux2_klein(num_layers=2)
    }
    for name, build in builders.items():
        seeded(build)().save_pretrained(folder / name, safe_serialization=True)
        (folder / name / CARD).write_text(json.dumps({"native_width": 2 * SIDE}))
    tables = [f'[[models]]\nname = "{name}"\nsource = "{folder / name}"\n' for name in builders]
    (folder / "models.toml").write_text("\n".join(tables))
    quick = {"MEZZOTINT_TEXT_CLASSIFIER": "false", "MEZZOTINT_RATE_SCALE": "100"}
    with (
        served(folder / "data", "--models", str(folder / "models.toml"), **quick) as server,
        server.client() as client,
    ):
        yield Families(server, folder, client)


def draw(families: Families, model: str, **more: Any) -> dict[str, Any]:
    asked = {"prompt": "a red apple", "model": model, "seed": SEED, "num_steps": STEPS, "new": True}
    answer = families.client.post("/v1/jobs", json=asked | more)
    assert answer.status_code == 202, answer.text
    return finished(families.client, answer.json())


@pytest.mark.parametrize("model", ["xl", "pixart", "klein"])
def test_the_picture_of_a_family_is_the_stock_pipelines(families: Families, model: str) -> None:
    described = families.client.get("/v1/model", params={"name": model}).json()
    job = draw(families, model, width=SIDE, height=SIDE, guidance_scale=3.0)
    assert job["state"] == "succeeded", job["error"]
    pipeline = DiffusionPipeline.from_pretrained(families.folder / model)
    pipeline.set_progress_bar_config(disable=True)
    more = {"use_resolution_binning": False, "negative_prompt": ""} if model == "pixart" else {}
    drawn = pipeline(
        prompt="a red apple", num_inference_steps=STEPS, guidance_scale=3.0, width=SIDE, height=SIDE,
        generator=torch.Generator().manual_seed(SEED), **more,
    ).images[0]  # fmt: skip
    (ours,) = pixels_of(families.client, job)
    difference = np.frombuffer(ours, np.uint8).astype(int) - np.asarray(drawn).astype(int).ravel()
    assert np.abs(difference).max() <= 1
    assert described["tasks"][0] == "generate"


@pytest.fixture(scope="session")
def picture() -> Image.Image:
    """Of sides that FLUX.2 takes."""
    return Image.radial_gradient("L").resize((2 * SIDE, 2 * SIDE)).convert("RGB")


@pytest.mark.parametrize(("model", "more"), [("instructed", {"image_guidance": 2.0}), ("klein", {})])
def test_an_edit_beside_another_is_the_stock_pipelines(
    families: Families, picture: Image.Image, model: str, more: dict[str, float]
) -> None:
    source = families.client.post("/v1/uploads", content=encode(picture, "PNG")).json()["id"]
    job = draw(families, model, task="edit", source=source, guidance_scale=3.0, repeat=2, **more)
    assert job["state"] == "succeeded", job["error"]
    assert (job["parameters"]["task"], job["parameters"]["image_guidance"]) == ("edit", more.get("image_guidance"))
    pipeline = DiffusionPipeline.from_pretrained(families.folder / model)
    pipeline.set_progress_bar_config(disable=True)
    stock_more = {"image_guidance_scale": 2.0} if more else {"width": 2 * SIDE, "height": 2 * SIDE}
    drawn = pipeline(
        prompt="a red apple", image=picture, num_inference_steps=STEPS, guidance_scale=3.0,
        generator=torch.Generator().manual_seed(SEED), **stock_more,
    ).images[0]  # fmt: skip
    (ours,) = pixels_of(families.client, job)
    assert drawn.size == picture.size
    difference = np.frombuffer(ours, np.uint8).astype(int) - np.asarray(drawn).astype(int).ravel()
    assert np.abs(difference).max() <= 1


def test_openais_edits_and_img2img_of_a_model_that_edits_are_instructed(
    families: Families, picture: Image.Image
) -> None:
    client, png = families.client, encode(picture, "PNG")
    asked = {"prompt": "a red apple", "model": "instructed", "seed": SEED, "steps": STEPS, "guidance_scale": 3.0}
    form = {**asked, "image_guidance": 2.0, "input_fidelity": "high", "response_format": "b64_json"}
    answer = client.post("/v1/images/edits", data=form, files={"image": ("a.png", png, "image/png")})
    assert answer.status_code == 200, answer.text
    assert answer.json()["notes"] == ['"input_fidelity" has no effect with instructed, which edits as the words tell.']
    body = {"prompt": "a red apple", "seed": SEED, "steps": STEPS, "cfg_scale": 3.0, "image_cfg_scale": 2.0}
    body |= {"init_images": [b64encode(png).decode()], "override_settings": {"sd_model_checkpoint": "instructed"}}
    told = client.post("/sdapi/v1/img2img", json=body)
    assert told.status_code == 200, told.text
    pictures = [b64decode(one) for one in (answer.json()["data"][0]["b64_json"], told.json()["images"][0])]
    first, second = (Image.open(BytesIO(one)) for one in pictures)
    assert first.tobytes() == second.tobytes()
    text = second.info["parameters"]
    assert "Image CFG scale: 2, Task: edit" in text
    assert "Denoising" not in text


def test_a_picture_and_a_model_that_edits_are_both_needed_for_an_edit(families: Families) -> None:
    asked = {"prompt": "make it green", "task": "edit", "model": "instructed"}
    without = families.client.post("/v1/jobs", json=asked)
    assert (without.status_code, without.json()["error"]["param"]) == (422, "source")
    words = families.client.post("/v1/jobs", json={"prompt": "a red apple", "model": "instructed"})
    assert words.json()["error"]["message"] == "instructed cannot generate."
    other = families.client.post("/v1/jobs", json={**asked, "model": "xl", "source": "0" * 64})
    assert other.json()["error"]["code"] == "task_unsupported"
    assert "Models here that do: klein, instructed" in other.json()["error"]["hint"]


def test_a_folder_that_fills_in_is_offered_for_that_alone(families: Families) -> None:
    client = families.client
    described = client.get("/v1/model", params={"name": "fills"}).json()
    assert described["tasks"] == ["inpaint", "outpaint", "upscale"]
    refused = client.post("/v1/jobs", json={"prompt": "a red apple", "model": "fills"})
    assert refused.status_code == 422
    picture = Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGB")
    mask = Image.new("L", (SIDE, SIDE))
    mask.paste(255, (0, 0, SIDE, SIDE // 2))
    source, covered = (client.post("/v1/uploads", content=encode(one, "PNG")).json()["id"] for one in (picture, mask))
    job = draw(families, "fills", task="inpaint", source=source, mask=covered)
    assert job["state"] == "succeeded", job["error"]
    (ours,) = pixels_of(client, job)
    kept = np.frombuffer(ours, np.uint8).reshape(SIDE, SIDE, 3)[SIDE // 2 :]
    assert np.array_equal(kept, np.asarray(picture)[SIDE // 2 :]), "what the mask does not cover stays"


def test_a_model_that_cannot_be_drawn_with_says_why(families: Families) -> None:
    job = draw(families, "shallow")
    assert (job["state"], job["error"]["code"]) == ("failed", "model_undrawable")
    assert "shallow: generate at 32 x 32 px fails" in job["error"]["message"]
