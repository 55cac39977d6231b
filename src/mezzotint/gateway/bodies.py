"""Bodies that hold pictures: read only as far as they may go, and only after it is known who sends them."""

import asyncio
from typing import TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from mezzotint.gateway.errors import GATEWAY_CODES, Answer
from mezzotint.media import MAX_UPLOAD_BYTES

MAX_PICTURES_BYTES = 2 * MAX_UPLOAD_BYTES
"""Of a body with a picture, a mask and some words, as a form or in base64."""
Shape = TypeVar("Shape", bound=BaseModel)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body. Answers 413 as soon as it is too large, declared or not."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


async def read_json(request: Request, shape: type[Shape]) -> Shape:
    """A JSON body of at most `MAX_PICTURES_BYTES`. Raises: RequestValidationError, as the framework does."""
    body = await read_body(request, MAX_PICTURES_BYTES)
    try:
        return await asyncio.to_thread(shape.model_validate_json, body)
    except ValidationError as error:
        raise invalid(error) from None


def invalid(error: ValidationError) -> RequestValidationError:
    """The error as the framework would have raised it for a body."""
    found = error.errors(include_input=False, include_context=False)
    return RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found])


def json_body(shape: type[BaseModel]) -> dict[str, object]:
    """The body's place in the API's description, for a route that reads it by itself."""
    return {"required": True, "content": {"application/json": {"schema": shape.model_json_schema()}}}


def _too_large(max_bytes: int) -> Answer:
    return Answer(413, "body_too_large", GATEWAY_CODES["body_too_large"], f"Send at most {max_bytes} bytes.")
