"""Bodies that hold pictures: read only as far as they may go, and only after it is known who sends them."""

import asyncio
from contextlib import AbstractContextManager
from typing import TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from mezzotint.domain.claims import Claims
from mezzotint.gateway.network.request_bodies import RequestBodies
from mezzotint.media.uploads import MAX_UPLOAD_BYTES

MAX_PICTURES_BYTES = 2 * MAX_UPLOAD_BYTES
"""Of a body with a picture, a mask and some words, as a form or in base64."""
Shape = TypeVar("Shape", bound=BaseModel)


def reserved(request: Request, claims: Claims, max_bytes: int) -> AbstractContextManager[None]:
    """Room for the request's body, from before it is read until its bytes are stored. Answers 413, 429 or 503."""
    return bodies_of(request).reserve(claims.tenant, request.headers.get("content-length"), max_bytes)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body. Answers 413 or 408 as soon as it is too large or too slow."""
    return await bodies_of(request).read(request.receive, max_bytes)


def bodies_of(request: Request) -> RequestBodies:
    bodies: RequestBodies = request.app.state.service.bodies
    return bodies


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
