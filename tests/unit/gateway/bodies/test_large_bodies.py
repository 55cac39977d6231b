"""Bodies and answers with pictures, read and written a piece at a time."""

import json
from base64 import b64encode

import pytest
from fastapi.responses import StreamingResponse

from mezzotint.gateway.automatic1111.schemas import Drawn
from mezzotint.gateway.bodies.large_bodies import PIECE, decode_base64, respond_with_list

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("num_bytes", [0, 1, 2, PIECE * 3 // 4 - 1, PIECE * 3 // 4, PIECE, 2 * PIECE + 1])
@pytest.mark.parametrize("head", ["", "data:image/png;base64,"])
async def test_base64_of_any_length_is_decoded(num_bytes: int, head: str) -> None:
    data = bytes(at % 251 for at in range(num_bytes))
    assert await decode_base64(head + b64encode(data).decode()) == data


@pytest.mark.parametrize("text", ["?", "A", "AAA", "A" * (PIECE + 1), "é", "data:AAAA", "AA\n?A"])
async def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
        await decode_base64(text)


@pytest.mark.parametrize("images", [[], ['"\\ é'], ["A" * (3 * PIECE), "B"]])
async def test_an_answer_with_a_list_is_the_json_of_its_shape(images: list[str]) -> None:
    answer = Drawn(images=images, parameters={"a": 1}, info="x")
    response = await respond_with_list(answer, "images")
    assert isinstance(response, StreamingResponse)
    body = b"".join([bytes(piece) async for piece in response.body_iterator])  # type: ignore[arg-type]
    assert json.loads(body) == answer.model_dump()
    assert response.headers["content-length"] == str(len(body))
