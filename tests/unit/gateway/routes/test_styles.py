"""Styles over HTTP: listed for those who may have them, taken by jobs, refused by name."""

from dataclasses import replace

import pytest

from mezzotint.domain.ids import Sha256
from mezzotint.domain.style import StyleInfo
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from tests.making import make_model
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio
MODEL = make_model().name
INK = StyleInfo(
    name="ink", sha256=Sha256("ab" * 32), models=(MODEL,), default_weight=0.8, trigger_words=("ink wash",), about="Ink."
)
GOLD = StyleInfo(name="gold", sha256=Sha256("cd" * 32), models=("other",), tiers=(Tier.PRO,))


@pytest.fixture
def styled(service: Service) -> Service:
    others = (replace(make_model(), name="other"),)
    return replace(service, admission=replace(service.admission, styles=(INK, GOLD), others=others))


async def test_the_list_shows_a_caller_what_its_tier_may_ask_for(connect: Connect, styled: Service) -> None:
    async with connect(served=styled) as free, connect("eve", Tier.PRO, served=styled) as pro:
        (ink,) = (await free.get("/v1/styles")).json()["styles"]
        both = [style["name"] for style in (await pro.get("/v1/styles")).json()["styles"]]
        of_other = [style["name"] for style in (await pro.get("/v1/styles?model=other")).json()["styles"]]
        unknown = await free.get("/v1/styles?model=nothing")
        loras = (await free.get("/sdapi/v1/loras")).json()
    async with connect(None, served=styled) as nobody:
        assert (await nobody.get("/v1/styles")).status_code == 401
    assert ink == {
        "name": "ink",
        "about": "Ink.",
        "models": [MODEL],
        "default_weight": 0.8,
        "trigger_words": ["ink wash"],
        "adds_trigger_words": False,
        "tiers": ["free", "paid", "pro"],
        "license": "see its own page",
        "sha256": "ab" * 32,
    }
    assert (both, of_other) == (["ink", "gold"], ["gold"])
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    assert [(one["name"], one["path"], one["metadata"]["trigger_words"]) for one in loras] == [("ink", "", "ink wash")]


async def test_a_job_keeps_its_styles(connect: Connect, styled: Service) -> None:
    asked = [
        {"prompt": "a cat", "styles": [{"name": "ink"}], "seed": 1},
        {"prompt": "a cat --style ink:.5", "seed": 2},
    ]
    async with connect(served=styled) as client:
        jobs = [(await client.post("/v1/jobs", json=body)).json() for body in asked]
        again = [(await client.get(f"/v1/jobs/{job['id']}")).json() for job in jobs]
        plain = (await client.post("/v1/jobs", json={"prompt": "a cat"})).json()
    expected = [[{"name": "ink", "weight": weight, "sha256": "ab" * 32}] for weight in (0.8, 0.5)]
    assert [job["parameters"]["styles"] for job in jobs] == expected
    assert [job["parameters"]["styles"] for job in again] == expected
    assert plain["parameters"]["styles"] == []


@pytest.mark.parametrize(
    ("styles", "code", "said"),
    [
        ([{"name": "oil"}], "style_not_found", "oil"),
        ([{"name": "gold"}], "style_unsupported", "gold"),
        ([{"name": "ink", "weight": 1e9}], "parameter_invalid", "1e+09"),
        ([{"name": "ink"}] * 5, "parameter_invalid", "5 styles"),
        ([{"name": "ink"}] * 2, "parameter_repeated", "ink"),
        ([{"name": "ink", "scale": 1}], "field_unknown", "scale"),
        (["ink"], "field_invalid", "styles"),
    ],
)
async def test_what_cannot_be_had_is_refused(
    connect: Connect, styled: Service, styles: object, code: str, said: str
) -> None:
    async with connect(served=styled) as client:
        answer = await client.post("/v1/jobs", json={"prompt": "a cat", "styles": styles})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)
    assert said in answer.text


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("a cat <lora:oil:1>", "style_not_found"),
        ("a cat <lora:ink:1e9>", "parameter_invalid"),
        ("a cat <lora:ink:nan>", "parameter_invalid"),
        ("a cat <lora:ink:0.5:0.8>", "parameter_unsupported"),
        ("a cat <lora:ink:1> <lora:ink:1>", "parameter_repeated"),
        ("a cat <lora:ink", "parameter_unsupported"),
        ("a cat <lora:<lora:ink:1>", "parameter_unsupported"),
    ],
)
async def test_tags_of_automatic1111_are_refused_by_name(
    connect: Connect, styled: Service, prompt: str, code: str
) -> None:
    async with connect(served=styled) as client:
        answer = await client.post("/sdapi/v1/txt2img", json={"prompt": prompt})
    assert (answer.status_code, answer.json()["error"]) == (422, code), answer.text
