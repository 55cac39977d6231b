"""OpenAI's Images API for pictures that are there: edits, with a mask or without, and variations.

The files become uploads, which a job of the task variation or inpaint begins with.
"""

from dataclasses import replace
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from mezzotint.actions.upload import take_along
from mezzotint.domain.claims import Claims
from mezzotint.domain.ids import Sha256
from mezzotint.domain.refusal import Refusal
from mezzotint.domain.task import Task
from mezzotint.gateway.bodies.forms import Form, form_body, read_form
from mezzotint.gateway.bodies.large_bodies import MAX_PICTURES_BYTES, invalid, reserved
from mezzotint.gateway.errors import Answer, refused
from mezzotint.gateway.openai.errors import OpenAIRoute
from mezzotint.gateway.openai.images import answer, check, size_of, unsupported
from mezzotint.gateway.openai.schemas import EDIT_STRENGTH, Edit, ImagesAnswer, Variation, Wish, openai_answers
from mezzotint.gateway.service import Service, SignedIn, The
from mezzotint.media.uploads import Reading
from mezzotint.policy.admission.request import JobRequest

router = APIRouter(
    prefix="/v1/images",
    tags=["openai"],
    route_class=OpenAIRoute,
    responses=openai_answers(400, 401, 403, 404, 408, 409, 413, 429, 500, 503, 504),
)
STREAMS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "the pictures, or with stream their events"}
}
Kind = TypeVar("Kind", bound=Wish)


@router.post(
    "/edits",
    response_model=ImagesAnswer,
    responses=STREAMS,
    openapi_extra={"requestBody": form_body(Edit, "image", "mask")},
)
async def edit(request: Request, service: The, claims: SignedIn) -> Response:
    """A picture redrawn after words; with a mask only where that is transparent."""
    with reserved(request, claims, MAX_PICTURES_BYTES):
        form = await read_form(request)
        wish = _wish(form, Edit)
        check(service, wish)
        _check_files(form, "image", "mask")
        has_mask = "mask" in form.files
        asked = replace(
            _asked(wish),
            prompt=wish.prompt,
            task=Task.INPAINT if has_mask else Task.VARIATION,
            source=await _taken(service, claims, form, "image", Reading.PICTURE),
            mask=await _taken(service, claims, form, "mask", Reading.TRANSPARENT_MASK) if has_mask else None,
            strength=None if has_mask or wish.input_fidelity is None else EDIT_STRENGTH[wish.input_fidelity],
        )
    return await answer(service, claims, request, wish, asked, event="image_edit")


@router.post("/variations", response_model=ImagesAnswer, openapi_extra={"requestBody": form_body(Variation, "image")})
async def vary(request: Request, service: The, claims: SignedIn) -> Response:
    """A picture drawn again from a noisy copy of it, without words."""
    with reserved(request, claims, MAX_PICTURES_BYTES):
        form = await read_form(request)
        wish = _wish(form, Variation)
        check(service, wish)
        _check_files(form, "image")
        if wish.stream:
            raise unsupported("stream", "Variations are not streamed.", "Leave it out, or edit the picture.")
        source = await _taken(service, claims, form, "image", Reading.PICTURE)
        asked = replace(_asked(wish), task=Task.VARIATION, source=source)
    return await answer(service, claims, request, wish, asked)


def _asked(wish: Wish) -> JobRequest:
    width, height = size_of(wish)
    return JobRequest(
        prompt="",
        model=wish.model or None,
        width=width,
        height=height,
        repeat=wish.n or 1,
        is_plain=True,
    )


def _wish(form: Form, kind: type[Kind]) -> Kind:
    try:
        return kind.model_validate(form.fields)
    except ValidationError as error:
        raise invalid(error) from None


def _check_files(form: Form, *names: str) -> None:
    for name, files in form.files.items():
        if name not in names:
            raise unsupported(name[:80], f'The file "{name[:80]}" is not used here.', "Leave it out.")
        if len(files) > 1:
            raise unsupported(name, f"One {name} is taken at a time, not {len(files)}.", "Send one.")
    if "image" not in form.files:
        raise Answer(400, "field_invalid", 'The form has no file "image".', "Send the picture as a file.", "image")


async def _taken(service: Service, claims: Claims, form: Form, name: str, reading: Reading) -> Sha256:
    """The name of the upload that the form's file became. The form gives the file up: its bytes are not kept."""
    source = await take_along(service.intake, form.files.pop(name)[0], claims, service.now(), reading)
    if isinstance(source, Refusal):
        raise refused(replace(source, param=name))
    return source.content
