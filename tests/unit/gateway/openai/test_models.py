"""Several models behind one admission: asked for by name, listed with their state, each with bounds of its own."""

from dataclasses import replace

import pytest

from mezzotint.domain.claims import Claims
from mezzotint.domain.event import LoadProgress
from mezzotint.domain.ids import TenantId
from mezzotint.domain.task import Task
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from mezzotint.gateway.automatic1111.schemas import Txt2Img
from mezzotint.gateway.automatic1111.txt2img import to_request
from mezzotint.gateway.openai.images import apply_quality
from mezzotint.gateway.openai.schemas import NewImages
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.request import JobRequest
from tests.making import make_model
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio
INK = replace(make_model(), name="ink", default_steps=12, max_px=64, tasks=(Task.GENERATE,), knows=("lines",))


@pytest.fixture
def two(service: Service) -> Service:
    admission = replace(service.admission, others=(INK,))
    return replace(service, admission=admission, model_states=lambda: {"mezzotint-starter": "warm", "ink": "cold"})


async def test_a_job_is_for_the_model_it_names_or_for_the_first(two: Service, connect: Connect) -> None:
    async with connect(served=two) as ada:
        first = (await ada.post("/v1/jobs", json={"prompt": "a cat"})).json()
        second = (await ada.post("/v1/jobs", json={"prompt": "a cat", "model": "ink"})).json()
        third = (await ada.post("/v1/jobs", json={"prompt": "a dog --version ink"})).json()
        unknown = await ada.post("/v1/jobs", json={"prompt": "a dog --version oil"})
    assert (first["model"], first["num_steps"]) == ("mezzotint-starter", 30)
    assert (second["model"], second["num_steps"]) == (third["model"], third["num_steps"]) == ("ink", 12)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    assert "mezzotint-starter, ink" in unknown.json()["error"]["hint"]


async def test_a_model_may_be_asked_for_by_its_further_names(two: Service, connect: Connect) -> None:
    named = replace(two, admission=replace(two.admission, others=(replace(INK, aliases=("gpt-image-1", "dall-e-3")),)))
    async with connect(served=named) as ada:
        job = (await ada.post("/v1/jobs", json={"prompt": "a cat", "model": "dall-e-3"})).json()
        assert job["model"] == "ink"
        listed = (await ada.get("/v1/models")).json()["data"]
        assert [(one["id"], one["alias_of"], one["state"]) for one in listed] == [
            ("mezzotint-starter", None, "warm"),
            ("ink", None, "cold"),
            ("gpt-image-1", "ink", "cold"),
            ("dall-e-3", "ink", "cold"),
        ]
        assert (await ada.get("/v1/models/dall-e-3")).json()["id"] == "dall-e-3"
        refused = (await ada.post("/v1/jobs", json={"prompt": "a cat", "model": "dall-e-2"})).json()["error"]
    assert "gpt-image-1" in refused["hint"]
    chosen = Txt2Img(prompt="a cat", override_settings={"sd_model_checkpoint": "gpt-image-1"})
    assert to_request(named, chosen).model == "ink"


async def test_admission_knows_each_models_bounds(two: Service, connect: Connect) -> None:
    async with connect(served=two) as ada:
        body = {"prompt": "a cat", "width": 128, "height": 128}
        assert (await ada.post("/v1/jobs", json=body)).status_code == 202
        answer = await ada.post("/v1/jobs", json=body | {"model": "ink"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "size_invalid")


async def test_an_unknown_model_is_refused_with_the_list(two: Service, connect: Connect) -> None:
    async with connect(served=two) as ada:
        answer = await ada.post("/v1/jobs", json={"prompt": "a cat", "model": "oil"})
        assert answer.status_code == 404
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == ("model_not_found", "model")
        assert "mezzotint-starter, ink" in error["hint"]
        answer = await ada.post("/v1/images/generations", json={"prompt": "a cat", "model": "oil"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
        assert (await ada.get("/v1/model?name=oil")).status_code == 404


async def test_models_are_listed_with_what_is_known_of_them(two: Service, connect: Connect, service: Service) -> None:
    async with connect(served=two) as ada:
        listed = (await ada.get("/v1/models")).json()["data"]
        assert [(one["id"], one["state"]) for one in listed] == [("mezzotint-starter", "warm"), ("ink", "cold")]
        assert (await ada.get("/v1/models/ink")).json()["state"] == "cold"
        assert [one["share"] for one in listed] == [None, None]
        assert (await ada.get("/v1/model")).json()["name"] == "mezzotint-starter"
        assert (await ada.get("/v1/model?name=ink")).json()["knows"] == ["lines"]
    async with connect() as ada:
        assert [one["state"] for one in (await ada.get("/v1/models")).json()["data"]] == [None]


async def test_of_the_one_that_is_being_loaded_it_is_told_how_far_that_is(two: Service, connect: Connect) -> None:
    loading = replace(two, loading=lambda: LoadProgress(model="ink", share=0.4))
    async with connect(served=loading) as ada:
        assert [one["share"] for one in (await ada.get("/v1/models")).json()["data"]] == [None, 0.4]


@pytest.mark.parametrize(
    ("words", "model", "num_steps"), [("a cat", "ink", 6), ("a cat --version ink", None, 6), ("a cat", None, 15)]
)
async def test_quality_counts_from_the_steps_of_the_model_asked_for(
    two: Service, words: str, model: str | None, num_steps: int
) -> None:
    claims = Claims(tenant=TenantId("ada"), tier=Tier.PRO, expires_at=None)
    wish = NewImages(prompt=words, model=model, quality="low")
    assert (
        apply_quality(two, claims, wish, parse_request(JobRequest(prompt=words, model=model))).request.num_steps
        == num_steps
    )


async def test_automatic1111s_clients_see_all_and_choose_for_one_request(two: Service, connect: Connect) -> None:
    async with connect(served=two) as ada:
        assert [one["title"] for one in (await ada.get("/sdapi/v1/sd-models")).json()] == ["mezzotint-starter", "ink"]
        assert (await ada.post("/sdapi/v1/options", json={"sd_model_checkpoint": "ink"})).status_code == 404
    chosen = Txt2Img(prompt="a cat", override_settings={"sd_model_checkpoint": "ink"})
    assert to_request(two, chosen).model == "ink"
    assert to_request(two, Txt2Img(prompt="a cat")).model == "mezzotint-starter"
