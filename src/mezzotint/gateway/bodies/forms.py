"""Forms with files in them (multipart/form-data), decoded from a body that is bounded before it is read."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from pydantic import BaseModel
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from mezzotint.gateway.bodies.large_bodies import MAX_PICTURES_BYTES, read_body
from mezzotint.gateway.errors import ApiError

MAX_PARTS = 64
MAX_FIELD_BYTES = 64 * 1024
"""Limit of one field that is no file; also the limit of a whole body without files."""
LIST = re.compile(r"\[\d{0,3}\]$")
PIECE = 64 * 1024
MAX_UNREAD_BYTES = 4 * PIECE
"""Limit of the bytes before, between and after the parts, and of their headers."""
MAX_BOUNDARY_BYTES = 70  # RFC 2046


@dataclass(slots=True)
class Form:
    """Names lose the `[]` or `[0]` that clients append to lists. If a field is sent twice, the last one counts."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, list[bytes]] = field(default_factory=dict)


async def read_form(request: Request) -> Form:
    """Read the request's form. Answers 400 if it is none, 413 if it is too large."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get("boundary", "")
    if kind != "multipart/form-data" or not boundary.isascii() or not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise _form_error()
    body = await read_body(request, MAX_PICTURES_BYTES)
    return await asyncio.to_thread(decode_form, body, boundary)


def decode_form(body: bytes, boundary: str) -> Form:
    """Answers as `read_form` does."""
    try:
        return _collect_parts(body, boundary)
    except RequestEntityTooLarge:
        hint = f"Send at most {MAX_PARTS} parts, and fields of at most {MAX_FIELD_BYTES} bytes."
        raise ApiError("body_too_large", hint=hint) from None
    except ValueError:
        raise _form_error() from None


def _collect_parts(body: bytes, boundary: str) -> Form:
    form = Form()
    name, is_file, data = "", False, bytearray()
    for event in _read_events(body, boundary):
        if isinstance(event, Field | File):
            name, is_file, data = LIST.sub("", event.name or ""), isinstance(event, File), bytearray()
        elif isinstance(event, Data):
            data += event.data
            if event.more_data:
                continue
            if is_file:
                form.files.setdefault(name, []).append(bytes(data))
            elif len(data) > MAX_FIELD_BYTES:
                raise RequestEntityTooLarge
            elif data:  # clients send an empty field for one that is not set
                form.fields[name] = data.decode()
                if "\0" in form.fields[name]:  # no database stores it
                    raise ValueError("U+0000")
    return form


def _read_events(body: bytes, boundary: str) -> Iterator[Event]:
    """Decode the form a piece at a time: one search through all of it would hold the interpreter's lock."""
    decoder = MultipartDecoder(boundary.encode(), max_parts=MAX_PARTS, max_form_memory_size=MAX_UNREAD_BYTES)
    for start in range(0, len(body), PIECE):
        decoder.receive_data(body[start : start + PIECE])
        while not isinstance(event := decoder.next_event(), NeedData):
            yield event
    decoder.receive_data(None)
    while not isinstance(event := decoder.next_event(), Epilogue):
        yield event


def describe_form_body(shape: type[BaseModel], *files: str) -> dict[str, Any]:
    """The form's place in the API's description. files: names of its files, the first of them needed."""
    schema = shape.model_json_schema()
    for name in files:
        schema["properties"][name] = {"type": "string", "format": "binary"}
    schema["required"] = [*schema.get("required", []), files[0]]
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _form_error() -> ApiError:
    hint = "Send multipart/form-data with the picture as a file, as OpenAI's clients do."
    return ApiError("form_invalid", hint=hint)
