"""OpenAI's moderation endpoint: its client's shapes, on the policy that judges prompts and pictures here."""

from base64 import b64encode
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from PIL import Image

from mezzotint.actions.screen import TextScreen
from mezzotint.domain.ids import TenantId
from mezzotint.domain.safety.takedown import PictureSelection
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from mezzotint.gateway.openai.moderations import MAX_TEXT, MAX_TEXTS
from mezzotint.policy.safety.verdicts import SafetyVerdict
from tests.making import make_text_verdict
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio
CRUEL = "a severed head on a table"


def data_url(colour: str) -> str:
    buffer = BytesIO()
    Image.new("RGB", (64, 64), colour).save(buffer, "PNG")
    return "data:image/png;base64," + b64encode(buffer.getvalue()).decode()


def picture(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def client_of(http: httpx.AsyncClient) -> AsyncOpenAI:
    """OpenAI's own client, on the connection of a tenant."""
    token = http.headers["Authorization"].removeprefix("Bearer ")
    return AsyncOpenAI(base_url="http://127.0.0.1:8400/v1", api_key=token, http_client=http, max_retries=0)


async def test_openais_client_reads_the_verdict_on_a_text(connect: Connect) -> None:
    async with connect() as http:
        answer = await client_of(http).moderations.create(input=CRUEL)
    assert answer.id.startswith("modr-")
    assert answer.model == "omni-moderation-latest"
    (result,) = answer.results
    assert result.flagged
    assert result.categories.violence_graphic
    assert not result.categories.sexual
    assert result.category_scores.violence == 1.0
    assert result.category_applied_input_types.violence == ["text"]
    assert result.model_extra is not None
    assert result.model_extra["mezzotint"]["category"] == "violence"
    assert result.model_extra["mezzotint"]["rules_version"]


async def test_each_of_several_texts_has_a_result_of_its_own(connect: Connect) -> None:
    async with connect() as http:
        answer = await client_of(http).moderations.create(
            input=["a lake", CRUEL, "a boat"], model="text-moderation-stable"
        )
    assert [result.flagged for result in answer.results] == [False, True, False]
    assert answer.model == "text-moderation-stable"


@pytest.mark.parametrize(
    ("text", "colour", "flagged", "inputs"),
    [
        ("a lake", "blue", False, ["image"]),
        ("a lake", "red", True, ["image"]),
        (CRUEL, "blue", True, ["image", "text"]),
    ],
)
async def test_a_text_and_a_picture_are_judged_as_one(
    connect: Connect, text: str, colour: str, flagged: bool, inputs: list[str]
) -> None:
    async with connect() as http:
        parts: Any = [{"type": "text", "text": text}, picture(data_url(colour))]
        (result,) = (await client_of(http).moderations.create(input=parts)).results
    assert result.flagged is flagged
    assert result.categories.violence is flagged
    assert result.category_applied_input_types.violence == inputs


async def test_a_text_to_be_reviewed_flags_nothing_beside_a_picture(service: Service, connect: Connect) -> None:
    to_review = make_text_verdict(verdict=SafetyVerdict.REVIEW, category="violence", scores={"violence": 0.6})
    screen = TextScreen(judge=lambda prompt, negative_prompt="", tier=Tier.FREE: to_review)
    served = replace(service, admission=replace(service.admission, screen=screen))
    async with connect(served=served) as http:
        parts: Any = [{"type": "text", "text": "a lake"}, picture(data_url("blue"))]
        (result,) = (await client_of(http).moderations.create(input=parts)).results
    assert not result.flagged
    assert result.model_extra is not None
    assert result.model_extra["mezzotint"]["verdict"] == "review"


@pytest.mark.parametrize(
    ("given", "param", "message"),
    [
        (7, "input", '"input": Input should be a valid string.'),
        ([{"type": "video"}], "input", "Input tag 'video'"),
        ([{"type": "image_url", "image_url": {}}], "url", '"url": Field required.'),
        ([{"type": "text", "text": "a", "language": "en"}], "language", 'There is no field "language".'),
    ],
)
async def test_what_is_wrong_in_an_input_is_named(connect: Connect, given: Any, param: str, message: str) -> None:
    async with connect() as http:
        error = (await http.post("/v1/moderations", json={"input": given})).json()["error"]
    assert error["param"] == param
    assert message in error["message"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"input": [picture("https://example.com/cat.png")]}, "parameter_unsupported"),
        ({"input": [picture("data:image/png;base64,####")]}, "upload_invalid"),
        ({"input": [picture("data:image/png;base64,AAAA")]}, "upload_invalid"),
        ({"input": []}, "field_invalid"),
        ({"input": ["a lake"] * (MAX_TEXTS + 1)}, "field_invalid"),
        ({"input": "a" * (MAX_TEXT + 1)}, "field_invalid"),
        ({"input": ["a lake", {"type": "text", "text": "a boat"}]}, "field_invalid"),
        ({"input": [{"type": "video", "url": "x"}]}, "field_invalid"),
        ({"input": 7}, "field_invalid"),
        ({}, "field_invalid"),
        ({"input": "a lake", "temperature": 1}, "field_unknown"),
    ],
)
async def test_what_cannot_be_judged_is_refused_by_name(connect: Connect, body: dict[str, Any], code: str) -> None:
    async with connect() as http:
        answer = await http.post("/v1/moderations", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


async def test_it_wants_a_key(connect: Connect) -> None:
    async with connect(None) as http:
        client = AsyncOpenAI(base_url="http://127.0.0.1:8400/v1", api_key="wrong", http_client=http, max_retries=0)
        with pytest.raises(openai.AuthenticationError):
            await client.moderations.create(input="a lake")


async def test_nothing_of_what_was_judged_is_kept(service: Service, connect: Connect, tmp_path: Path) -> None:
    async with connect() as http:
        await client_of(http).moderations.create(input=CRUEL)
        await client_of(http).moderations.create(input=[picture(data_url("red"))])
        assert (await http.get("/v1/jobs")).json()["jobs"] == []
    assert await service.safety.refusals.page(9) == []
    assert await service.takedowns.takedowns.list_uploads(PictureSelection(tenant=TenantId("ada")), 0, 9) == []
    assert [path for path in (tmp_path / "objects").rglob("*") if path.is_file()] == []
