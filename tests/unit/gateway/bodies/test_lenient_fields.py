"""Fields as clients send them."""

from base64 import encodebytes
from datetime import datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from mezzotint.gateway.automatic1111.schemas import Img2Img, Txt2Img
from mezzotint.gateway.bodies.large_bodies import decode_base64
from mezzotint.gateway.streams.websocket import Since
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("shape", [Txt2Img, Img2Img])
def test_null_means_left_out(shape: type[Txt2Img]) -> None:
    needed = {"init_images": ["x"]} if shape is Img2Img else {}
    nothing = dict.fromkeys(shape.model_fields.keys() - needed.keys())
    assert shape.model_validate({**nothing, **needed}) == shape.model_validate(needed)


def test_null_is_no_picture() -> None:
    with pytest.raises(ValidationError, match="init_images"):
        Img2Img.model_validate({"init_images": None})


@pytest.mark.parametrize("head", ["", "data:image/png;base64,", "Data:image/png;base64, "])
async def test_base64_may_have_blanks_and_line_ends(head: str) -> None:
    data = bytes(range(256)) * 5000
    text = encodebytes(data).decode()
    for written in (text, text.replace("\n", "\r\n"), f"  {text}\t "):
        assert await decode_base64(head + written) == data


@pytest.mark.parametrize("text", ["a!bc", "abc", "data:image/png;base64", "====", "-_-_"])
async def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)base64|padding|data|substring"):
        await decode_base64(text)


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/images/generations", "/sdapi/v1/txt2img", "/v1/sign-in"])
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_json_that_is_not_declared_is_told_how(connect: Connect, path: str, kind: str | None) -> None:
    async with connect() as ada:
        headers = {"Content-Type": kind} if kind is not None else {}
        answer = await ada.post(path, content=b'{"prompt": "a cat"}', headers=headers)
    assert answer.status_code == 400
    assert "Content-Type: application/json" in answer.text


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-28T12:00:00+02:00",
        "2026-11-28T12:00:00.123456+00:00",
        "2026-11-28T12:00+0130",
        "2026-11-28 12:00:00+02:00",
        "2026-11-28T12:00:00Z",
    ],
)
def test_a_printed_time_is_taken_back_from_a_query_string(written: str) -> None:
    read = TypeAdapter(Since).validate_python
    expected = datetime.fromisoformat(written)
    assert read(written) == read(written.replace("+", " ")) == expected


def test_a_blank_between_date_and_time_stays_one() -> None:
    assert TypeAdapter(Since).validate_python("2026-11-28 12:00") == datetime.fromisoformat("2026-11-28T12:00+00:00")
