"""OpenAI's official client, pointed here: what it sends, streams, lists, and which of its errors it raises."""

import asyncio
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import ImagesResponse
from PIL import Image

from tests.acceptance.conftest import Server

APPLE = "a red apple --seed 7"
DEPRECATED = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
"""Of variations, by its client, not by us."""


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key=server.token("ada", "pro"), max_retries=0) as client:
        yield client


def picture(data: str | None) -> Image.Image:
    assert data is not None
    return Image.open(BytesIO(b64decode(data)))


def distance(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one.convert("RGB"), float) - np.asarray(other.convert("RGB"), float)).mean())


def test_a_picture_comes_without_a_size_as_base64(client: OpenAI) -> None:
    answer = client.images.generate(prompt=APPLE)
    assert answer.data is not None
    assert picture(answer.data[0].b64_json).size == (64, 64)
    assert (answer.size, answer.output_format) == ("64x64", "png")
    assert answer.usage is not None
    assert answer.usage.output_tokens == 123  # 30 steps of 64 x 64 px, in thousands
    assert answer.usage.total_tokens == answer.usage.input_tokens + 123


def test_an_address_leads_to_the_same_picture(client: OpenAI) -> None:
    by_url = client.images.generate(prompt=APPLE, response_format="url")
    by_bytes = client.images.generate(prompt=APPLE, response_format="b64_json")
    assert by_url.data is not None
    assert by_bytes.data is not None
    assert by_url.data[0].url is not None
    files = (httpx.get(by_url.data[0].url).content, b64decode(by_bytes.data[0].b64_json or ""))
    assert len({Image.open(BytesIO(file)).tobytes() for file in files}) == 1


def test_n_pictures_differ_and_have_the_size_and_format_asked_for(client: OpenAI) -> None:
    answer = client.images.generate(
        prompt="a red apple", n=2, size="80x48", quality="low", output_format="jpeg", output_compression=60
    )
    assert answer.data is not None
    first, second = (picture(one.b64_json) for one in answer.data)
    assert (first.format, first.size) == ("JPEG", (80, 48))
    assert distance(first, second) > 1
    webp = client.images.generate(prompt="a red apple --steps 2", output_format="webp")
    assert webp.data is not None
    assert picture(webp.data[0].b64_json).format == "WEBP"


def test_a_stream_shows_three_pictures_under_way_that_differ_and_converge(client: OpenAI) -> None:
    with client.images.generate(prompt=f"{APPLE} --steps 60", stream=True, partial_images=3) as stream:
        events = list(stream)
    assert [event.type for event in events] == ["image_generation.partial_image"] * 3 + ["image_generation.completed"]
    assert [getattr(event, "partial_image_index", None) for event in events] == [0, 1, 2, None]
    *partial, final = (picture(event.b64_json) for event in events)
    assert all(one.size == final.size for one in partial)
    away = [distance(one, final) for one in partial]
    assert away[0] > away[1] > away[2] > 0, away
    completed = events[-1]
    assert completed.type == "image_generation.completed"
    assert completed.usage.output_tokens == 246


def png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def apple(client: OpenAI) -> bytes:
    answer = client.images.generate(prompt=f"{APPLE} --steps 12")
    assert answer.data is not None
    return b64decode(answer.data[0].b64_json or "")


def test_an_edit_redraws_what_the_mask_leaves_transparent_and_nothing_else(client: OpenAI, apple: bytes) -> None:
    half = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
    half.paste((0, 0, 0, 0), (32, 0, 64, 64))
    asked = {"image": apple, "mask": png(half), "prompt": "a green apple --seed 1 --steps 12"}
    answer = client.images.edit(**asked, response_format="b64_json")  # type: ignore[call-overload]
    before, after = (np.asarray(one.convert("RGB")) for one in (picture(b64encode(apple).decode()), drawn(answer)))
    assert np.array_equal(before[:, :32], after[:, :32])
    assert not np.array_equal(before[:, 32:], after[:, 32:])
    by_url = client.images.edit(**asked, response_format="url")  # type: ignore[call-overload]
    assert np.array_equal(np.asarray(Image.open(BytesIO(httpx.get(by_url.data[0].url).content))), after)


def drawn(answer: ImagesResponse) -> Image.Image:
    assert answer.data is not None
    return picture(answer.data[0].b64_json)


def test_an_edit_without_a_mask_stays_as_near_as_it_is_told_to(client: OpenAI, apple: bytes) -> None:
    before = picture(b64encode(apple).decode())
    ask = partial(client.images.edit, image=[apple], prompt="a blue fish --seed 1 --steps 20")
    far, near = (distance(before, drawn(ask(input_fidelity=fidelity))) for fidelity in ("low", "high"))
    assert far > near > 0


def test_an_edit_is_streamed_with_pictures_under_way(client: OpenAI, apple: bytes) -> None:
    prompt = "a blue fish --seed 1 --steps 60"
    with client.images.edit(image=apple, prompt=prompt, stream=True, partial_images=2) as stream:
        events = list(stream)
    assert [event.type for event in events] == ["image_edit.partial_image"] * 2 + ["image_edit.completed"]
    *under_way, final = (picture(event.b64_json) for event in events)
    away = [distance(one, final) for one in under_way]
    assert away[0] > away[1] > 0, away


@DEPRECATED
def test_variations_are_of_the_picture_and_differ(client: OpenAI, apple: bytes) -> None:
    answer = client.images.create_variation(image=apple, n=2, size="64x64", response_format="b64_json")  # type: ignore[arg-type]
    assert answer.data is not None
    first, second = (picture(one.b64_json) for one in answer.data)
    assert distance(first, second) > 1


def test_a_picture_that_is_none_is_a_bad_request_error(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.edit(image=b"no picture", prompt="a cat")
    assert (caught.value.code, caught.value.param) == ("upload_invalid", "image")


@DEPRECATED
def test_a_key_that_may_only_read_is_a_permission_denied_error(server: Server, apple: bytes) -> None:
    with server.client("reader", "pro") as reader:
        made = reader.post("/v1/keys", json={"name": "r", "scopes": ["read"]}).json()
    with OpenAI(base_url=f"{server.url}/v1", api_key=made["secret"], max_retries=0) as client:
        assert client.models.list()
        for ask in (client.images.create_variation, partial(client.images.edit, prompt="a cat")):
            with pytest.raises(openai.PermissionDeniedError) as caught:
                ask(image=apple)
            assert caught.value.code == "scope_missing"


def test_a_refused_prompt_ends_a_stream_before_it_begins(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        client.images.generate(prompt="", stream=True)


def test_the_served_model_is_listed_and_can_be_asked_for(client: OpenAI) -> None:
    (model,) = client.models.list()
    assert client.models.retrieve(model.id) == model
    assert client.images.generate(prompt="a red apple --steps 2", model=model.id).data


@pytest.mark.parametrize(
    ("asked", "kind", "code", "param"),
    [
        ({"prompt": ""}, openai.BadRequestError, "prompt_empty", "prompt"),
        ({"prompt": "a cat", "size": "1024x1024"}, openai.BadRequestError, "size_invalid", "size"),
        ({"prompt": "a cat", "size": "large"}, openai.BadRequestError, "size_invalid", "size"),
        ({"prompt": "a cat", "n": 11}, openai.BadRequestError, "field_invalid", "n"),
        (
            {"prompt": "a cat", "background": "transparent"},
            openai.BadRequestError,
            "parameter_unsupported",
            "background",
        ),
        ({"prompt": "a cat", "model": "dall-e-3"}, openai.NotFoundError, "model_not_found", "model"),
        ({"prompt": "a cat --steps 99"}, openai.PermissionDeniedError, "steps_over_budget", "prompt"),
    ],
)
def test_its_own_error_classes_say_what_was_wrong(
    client: OpenAI, asked: dict[str, str], kind: type[openai.APIStatusError], code: str, param: str
) -> None:
    with pytest.raises(kind) as caught:
        client.images.generate(**asked)  # type: ignore[call-overload]
    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.response.headers["x-should-retry"] == "false"


ASKS = ("generate", "edit", "create_variation")


def ask(client: OpenAI, name: str, picture: bytes, **wish: Any) -> ImagesResponse:
    """Call a method of the client's images; its form goes on as the client sends it."""
    begins = {} if name == "generate" else {"image": picture}
    words = {} if name == "create_variation" else {"prompt": "a cat"}
    method: Callable[..., ImagesResponse] = getattr(client.images, name)
    return method(**begins, **words, **wish)


@DEPRECATED
@pytest.mark.parametrize("name", ASKS)
def test_a_wrong_key_is_an_authentication_error(client: OpenAI, apple: bytes, name: str) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        ask(client.with_options(api_key="wrong"), name, apple)
    assert caught.value.code == "token_invalid"


@DEPRECATED
@pytest.mark.parametrize("name", ASKS)
def test_a_model_that_is_not_served_is_a_not_found_error(client: OpenAI, apple: bytes, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, name, apple, model="dall-e-2")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@DEPRECATED
def test_too_many_open_jobs_are_a_rate_limit_error_that_says_when_to_come_again(server: Server, apple: bytes) -> None:
    body = {"prompt": "a cat --repeat 4 --steps 30", "new": True}
    with server.client("crowd", "free") as crowd:
        for _ in range(5):
            assert crowd.post("/v1/jobs", json=body).status_code == 202
    with OpenAI(base_url=f"{server.url}/v1", api_key=server.token("crowd", "free"), max_retries=0) as client:
        for name in ASKS:
            with pytest.raises(openai.RateLimitError) as caught:
                ask(client, name, apple, n=10)
            assert caught.value.code == "too_many_open_jobs"
            assert int(caught.value.response.headers["Retry-After"]) > 0


@DEPRECATED
def test_a_picture_cancelled_by_its_owner_is_a_conflict_error(client: OpenAI, server: Server, apple: bytes) -> None:
    with server.client("ada", "pro") as ada, ThreadPoolExecutor() as pool:
        before = {job["id"] for job in ada.get("/v1/jobs").json()["jobs"]}
        large = {"size": "128x128", "n": 4, "extra_body": {"quality": "max"}}
        asked = [pool.submit(ask, client, name, apple, **large) for name in ASKS]
        until = time.monotonic() + 30
        new: set[str] = set()
        while len(new) < 4 * len(ASKS) and time.monotonic() < until:  # another process's queue: no event to wait for
            new = {job["id"] for job in ada.get("/v1/jobs").json()["jobs"]} - before
        for job in new:
            ada.delete(f"/v1/jobs/{job}")
        for one in asked:
            with pytest.raises(openai.ConflictError) as caught:
                one.result(timeout=60)
            assert caught.value.code == "job_cancelled"


def test_the_clients_own_retries_make_one_job_a_picture(server: Server) -> None:
    hasty = OpenAI(base_url=f"{server.url}/v1", api_key=server.token("hasty", "pro"), timeout=1, max_retries=2)
    with hasty, pytest.raises(openai.APITimeoutError):
        hasty.images.generate(prompt="a cat --steps 80", size="128x128", n=3)
    with server.client("hasty", "pro") as me:
        assert len(me.get("/v1/jobs").json()["jobs"]) == 3


def test_what_the_model_read_of_a_long_prompt_is_told(client: OpenAI, server: Server) -> None:
    words = " ".join(["a red apple"] * 100)
    answer = client.images.generate(prompt=f"{words} --steps 2", n=1)
    (note,) = answer.model_extra["notes"]  # type: ignore[index]
    read = note.split('"')[1]
    assert words.startswith(read)
    assert 10 < len(read) < len(words)
    with server.client("ada", "pro") as ada:
        job = ada.get("/v1/jobs").json()["jobs"][0]
        assert (job["prompt_read"], job["negative_prompt_read"]) == (read, None)
        headers = {"Authorization": ada.headers["Authorization"]}
        drawn = ada.post("/sdapi/v1/txt2img", json={"prompt": words, "steps": 2}, headers=headers).json()
        assert read in json.loads(drawn["info"])["comments"]
    short = client.images.generate(prompt=f"{APPLE} --steps 2")
    assert short.model_extra["notes"] == []  # type: ignore[index]


def test_equal_calls_that_come_together_get_different_pictures(server: Server) -> None:
    async def draw() -> list[ImagesResponse]:
        async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key=server.token("gather", "pro")) as client:
            return await asyncio.gather(*(client.images.generate(prompt="a red apple --steps 2") for _ in range(4)))

    answers = asyncio.run(draw())
    assert len({one.b64_json for answer in answers for one in answer.data or []}) == 4
    assert len({answer._request_id for answer in answers}) == 4
    url = (answers[0].data or [])[0].url
    assert url is not None
    shown = Image.open(BytesIO(httpx.get(url).content)).tobytes()
    assert shown == Image.open(BytesIO(b64decode((answers[0].data or [])[0].b64_json or ""))).tobytes()


def pixels(encoded: str) -> bytes:
    """Of a picture in Base64: files of equal pictures differ, since each is signed for its own job."""
    return Image.open(BytesIO(b64decode(encoded))).convert("RGB").tobytes()


def test_fields_of_other_servers_go_by_extra_body_and_the_seed_is_taken_modulo(client: OpenAI) -> None:
    seeds = (7, 2**32 + 7, 8)
    drawn = [
        client.images.generate(prompt="a red apple", extra_body={"seed": seed, "num_inference_steps": 2})
        for seed in seeds
    ]
    first, same, other = [pixels((answer.data or [])[0].b64_json or "") for answer in drawn]
    assert first == same
    assert first != other


def test_four_streams_at_once_are_four_pictures(client: OpenAI) -> None:
    def draw(number: int) -> str:
        with client.images.generate(prompt="a red apple --steps 2", stream=True) as stream:
            *_, last = stream
        assert last.type == "image_generation.completed"
        return last.b64_json

    with ThreadPoolExecutor() as pool:
        assert len(set(pool.map(draw, range(4)))) == 4
