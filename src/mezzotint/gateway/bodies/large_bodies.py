"""Reads and writes bodies that hold pictures. They are read within a limit, after the caller is authenticated.

They have up to 24 MiB, and responses with pictures more: threads read and write them a piece at a time.
"""

import asyncio
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from mezzotint.domain.claims import Claims
from mezzotint.gateway.bodies.json_values import read_json_value
from mezzotint.gateway.bodies.request_bodies import RequestBodies
from mezzotint.media.uploads import MAX_UPLOAD_BYTES

MAX_PICTURES_BYTES = 2 * MAX_UPLOAD_BYTES
"""Limit of a body with a picture, a mask and some words, as a form or in base64."""
SHARED = "#/components/schemas/{model}"
PIECE = 2**20
"""Bytes that are read, written or sent at a time: the interpreter's lock and the loop are free in between."""
Schema = TypeVar("Schema", bound=BaseModel)


def reserve_memory(request: Request, claims: Claims, max_bytes: int) -> AbstractContextManager[None]:
    """Reserve memory for the request's body until its bytes are stored. Answers 413, 429 or 503."""
    return get_request_bodies(request).reserve(claims.tenant, request.headers.get("content-length"), max_bytes)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Read the whole body. Answers 413 or 408 as soon as it is too large or too slow."""
    return await get_request_bodies(request).read(request.receive, max_bytes)


def get_request_bodies(request: Request) -> RequestBodies:
    bodies: RequestBodies = request.app.state.service.bodies
    return bodies


async def read_json(request: Request, shape: type[Schema]) -> Schema:
    """A JSON body of at most `MAX_PICTURES_BYTES`. Raises: RequestValidationError, as the framework does."""
    body = await read_body(request, MAX_PICTURES_BYTES)
    try:
        return await asyncio.to_thread(lambda: shape.model_validate(read_json_value(body)))
    except ValidationError as error:
        raise translate_error(error) from None


async def decode_base64(text: str) -> bytes:
    """Decode base64, plain or as a data: URL, with blanks and line ends as RFC 2045 allows. Raises: ValueError."""

    def decode() -> bytes:
        packed = "".join(text.split())
        start = packed.index(",") + 1 if packed[:5].lower() == "data:" else 0
        ends = range(start, len(packed), PIECE)
        return b"".join(a2b_base64(packed[at : at + PIECE], strict_mode=True) for at in ends)

    return await asyncio.to_thread(decode)


async def encode_base64(data: bytes) -> str:
    return (await asyncio.to_thread(b64encode, data)).decode("ascii")


async def _nothing() -> None:
    pass


async def respond_with_list(
    answer: BaseModel, name: str, delivered: Callable[[], Awaitable[None]] = _nothing
) -> Response:
    """Write the answer as JSON in a thread and send it in pieces, for pictures in base64. name: of the field that is a
    list, whose elements are written one by one. delivered: called once all of it was sent.
    """

    def serialize() -> bytes:
        rest = answer.model_dump_json(exclude={name}).encode()
        elements = b",".join(to_json(one) for one in getattr(answer, name))
        return b"{%b:[%b]%b%b" % (to_json(name), elements, b"" if rest == b"{}" else b",", rest[1:])

    return _respond_in_pieces(await asyncio.to_thread(serialize), delivered)


async def respond_with_json(answer: BaseModel) -> Response:
    """Write the answer as JSON in a thread and send it in pieces."""
    return _respond_in_pieces(await asyncio.to_thread(lambda: answer.model_dump_json().encode()), _nothing)


def _respond_in_pieces(body: bytes, delivered: Callable[[], Awaitable[None]]) -> Response:
    headers = {"Content-Length": str(len(body))}
    return StreamingResponse(_split(body, delivered), media_type="application/json", headers=headers)


async def _split(body: bytes, delivered: Callable[[], Awaitable[None]]) -> AsyncIterator[bytes]:
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]
    await delivered()


def translate_error(error: ValidationError) -> RequestValidationError:
    """Translate to the error that FastAPI raises for a body."""
    found = error.errors(include_input=False, include_context=False)
    return RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found])


def describe_json_body(shape: type[BaseModel]) -> dict[str, Any]:
    """The body in OpenAPI, for a route that reads it by itself."""
    return {"required": True, "content": {"application/json": {"schema": shape.model_json_schema(ref_template=SHARED)}}}
