"""The recipe goes with the file to those who may see the job, and not to those who only know its address."""

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from mezzotint.domain.drawing.recipe import Recipe, RecipeAudience
from mezzotint.domain.tenant import Tenant
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from mezzotint.media.metadata import SOFTWARE, embed_recipe, read_metadata
from mezzotint.media.metadata.embed import JSON_KEYWORD
from mezzotint.media.metadata.png_text import add_text
from mezzotint.provenance import Identity, PictureSigner, read_credentials
from mezzotint.provenance.authority import AuthorityFiles, make_authority
from mezzotint.provenance.manifest import Model, describe_job
from tests.making import NOW, make_image, make_job
from tests.unit.gateway.conftest import Connect
from tests.unit.gateway.routes.test_provenance import add_finished, png

pytestmark = pytest.mark.anyio


async def test_the_owners_file_tells_the_recipe_signed_and_the_public_one_does_not(
    connect: Connect, service: Service, tmp_path: Path
) -> None:
    make_authority(tmp_path / "own")
    files = AuthorityFiles(tmp_path / "own")
    signer = PictureSigner(Identity.from_files(files.chain, files.key))
    object.__setattr__(service, "signer", signer)
    job = make_job()
    stored = signer.sign(png(), describe_job(job, Model(name=job.model, sha256=None), NOW, shows_prompt=False))
    await add_finished(service, job, stored)
    async with connect("ada") as ada, connect("eve") as eve:
        for form in ("png", "jpeg", "avif"):
            answer = await ada.get(f"/v1/jobs/{job.id}/files/0.{form}")
            assert (answer.status_code, answer.headers["content-type"]) == (200, f"image/{form}")
            assert answer.headers["cache-control"] == "no-store"
            assert read_metadata(answer.content).recipe == Recipe.of_job(job, SOFTWARE)
            assert read_credentials(answer.content, files.root.read_text()).validity == "trusted"
            assert Image.open(BytesIO(answer.content)).size == (256, 256)
        public = await eve.get(f"/i/{make_image(job).png}.png")
        assert public.content == stored
        assert read_metadata(public.content).recipe is None
        assert (await eve.get(f"/v1/jobs/{job.id}/files/0.png")).status_code == 404
        assert (await ada.get(f"/v1/jobs/{job.id}/files/1.png")).json()["error"]["code"] == "image_not_found"
        assert (await ada.get(f"/v1/jobs/{job.id}/files/0.gif")).status_code == 422
        await service.accounts.tenants.add(Tenant(id=job.tenant, tier=Tier.FREE, created_at=NOW))
        await service.accounts.tenants.set_recipe_audience(job.tenant, RecipeAudience.NOBODY)
        answer = await ada.get(f"/v1/jobs/{job.id}/files/0.png")
        assert answer.content == stored


async def test_a_file_is_read_back_as_a_request(connect: Connect) -> None:
    recipe = replace(Recipe.of_job(make_job(), SOFTWARE), sampler="Euler a")
    async with connect("ada") as ada:
        found = (await ada.post("/v1/inspect", content=embed_recipe(png(), recipe))).json()
        assert (found["origin"], found["software"]) == ("mezzotint", SOFTWARE)
        assert found["prompt"].startswith("a red apple --seed 7 --steps 30")
        request = {name: value for name, value in found["request"].items() if value is not None}
        assert (request["prompt"], request["seed"], request["model"]) == ("a red apple", 7, "mezzotint-starter")
        assert found["notes"] == ['mezzotint-starter has no sampler "Euler a"; its own is used.']
        assert found["pairs"]["Sampler"] == "Euler a"
        accepted = await ada.post("/v1/jobs", json=request)
        assert accepted.status_code == 202
        for body, code in ((png(), "recipe_missing"), (b"GIF89a", "upload_invalid"), (b"", "upload_invalid")):
            answer = await ada.post("/v1/inspect", content=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)


@pytest.mark.parametrize(
    "field",
    [{"prompt": "\ud800"}, {"negative_prompt": "\ud800"}, {"source": "x" * 5000}, {"num_steps": 2**64}, {"width": -1}],
)
async def test_a_file_with_an_odd_recipe_is_answered(connect: Connect, field: dict[str, object]) -> None:
    record = {"schema": "mezzotint.recipe/1", "prompt": "a red apple", "task": "variation", "strength": 0.5, **field}
    async with connect("ada") as ada:
        answer = await ada.post("/v1/inspect", content=add_text(png(), JSON_KEYWORD, json.dumps(record)))
        assert answer.status_code == (422 if "prompt" in field else 200), answer.text
