"""Reads the bodies of edits and variations: a form with files, or JSON with pictures as data: URLs."""

from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mezzotint.gateway.bodies.forms import read_form
from mezzotint.gateway.bodies.large_bodies import decode_base64, read_json, translate_error
from mezzotint.gateway.errors import ApiError, unsupported_error
from mezzotint.gateway.openai.schemas import Edit, ImageOptions

Kind = TypeVar("Kind", bound=ImageOptions)
MAX_IMAGES = 16
"""OpenAI's own limit."""


class PictureReference(BaseModel):
    """A picture in a JSON body."""

    model_config = ConfigDict(extra="forbid")

    image_url: str | None = Field(None, description="a data: URL with a PNG, JPEG or WebP in base64")
    file_id: str | None = Field(None, max_length=200, description="refused: no files are kept here")


Reference = PictureReference | str


class JsonEdit(Edit):
    """An edit as JSON. A picture may be a string too: a data: URL or plain base64."""

    images: list[Reference] | None = Field(None, max_length=MAX_IMAGES, description="the first is redrawn")
    image: list[Reference] | Reference | None = Field(None, description="the same as images")
    mask: Reference | None = Field(None, description="of the picture's size; transparent where to redraw")


@dataclass(slots=True)
class Pictures:
    """The files of a body. field: of the images, as it was sent."""

    field: str
    images: list[bytes]
    mask: bytes | None = None


async def read_edit(request: Request) -> tuple[Pictures, Edit]:
    if "json" not in request.headers.get("content-type", "").partition(";")[0].lower():
        return await read_picture_form(request, Edit, "image", "mask")
    body = await read_json(request, JsonEdit)
    if body.images is not None and body.image is not None:
        message = '"images" and "image" are given.'
        raise ApiError("parameter_repeated", message=message, hint="Keep one of them.", param="image")
    field, sent = ("image", body.image) if body.images is None else ("images", body.images)
    references = sent if isinstance(sent, list) else [] if sent is None else [sent]
    if not references:
        raise _no_image_error("images", "Send a data: URL as image_url.")
    pictures = Pictures(field, [await _decode(one, field) for one in references])
    pictures.mask = None if body.mask is None else await _decode(body.mask, "mask")
    body.images = body.image = body.mask = None  # nothing of the body is kept while the picture is drawn
    return pictures, body


async def read_picture_form(request: Request, kind: type[Kind], *names: str) -> tuple[Pictures, Kind]:
    """Read a form and its options. names: of the files that it may have."""
    form = await read_form(request)
    try:
        options = kind.model_validate(form.fields)
    except ValidationError as error:
        raise translate_error(error) from None
    for name in form.files:
        if name not in names:
            raise unsupported_error(name[:80], f'The file "{name[:80]}" is not used here.', "Leave it out.")
    if "image" not in form.files:
        raise _no_image_error("image", "Send the picture as a file.")
    if len(masks := form.files.get("mask", [])) > 1:
        raise unsupported_error("mask", f"One mask is taken, not {len(masks)}.", "Send one.")
    return Pictures("image", form.files["image"], masks[0] if masks else None), options


def _no_image_error(param: str, hint: str) -> ApiError:
    return ApiError("field_invalid", message="The request has no picture to begin with.", hint=hint, param=param)


async def _decode(reference: Reference, field: str) -> bytes:
    text = reference if isinstance(reference, str) else reference.image_url
    if text is None:
        raise unsupported_error(field, "No files are kept by a file_id here.", "Send a data: URL as image_url.")
    if text[:5].lower() in {"http:", "https"}:
        message = "Pictures are not fetched from other addresses."
        raise unsupported_error(field, message, "Send a data: URL as image_url.")
    try:
        return await decode_base64(text)
    except ValueError:
        message = f'"{field}" is not base64.'
        raise ApiError("upload_invalid", message=message, hint="Send the file's bytes.", param=field) from None
