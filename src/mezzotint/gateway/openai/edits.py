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
from mezzotint.gateway.bodies.forms import Form, describe_form_body, read_form
from mezzotint.gateway.bodies.large_bodies import MAX_PICTURES_BYTES, reserve_memory, translate_error
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.errors import ApiError, translate_refusal
from mezzotint.gateway.openai.errors import OpenAIRoute
from mezzotint.gateway.openai.images import check_supported, parse_size, respond, unsupported_error
from mezzotint.gateway.openai.schemas import (
    EDIT_STRENGTH,
    Edit,
    ImageOptions,
    ImagesAnswer,
    Variation,
    describe_openai_errors,
)
from mezzotint.gateway.service import Service
from mezzotint.media.uploads import Reading
from mezzotint.policy.admission.request import JobRequest

router = APIRouter(
    prefix="/v1/images",
    tags=["openai"],
    route_class=OpenAIRoute,
    responses=describe_openai_errors(400, 401, 403, 404, 408, 409, 413, 429, 500, 503, 504),
)
STREAMS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "the pictures, or with stream their events"}
}
Kind = TypeVar("Kind", bound=ImageOptions)


@router.post(
    "/edits",
    response_model=ImagesAnswer,
    responses=STREAMS,
    openapi_extra={"requestBody": describe_form_body(Edit, "image", "mask")},
)
async def edit(request: Request, service: ServiceDep, claims: CallerClaims) -> Response:
    """A picture redrawn after words; with a mask only where that is transparent."""
    with reserve_memory(request, claims, MAX_PICTURES_BYTES):
        form = await read_form(request)
        options = _parse_fields(form, Edit)
        check_supported(service, options)
        _check_files(form, "image", "mask")
        has_mask = "mask" in form.files
        job_request = replace(
            _to_request(options),
            prompt=options.prompt,
            task=Task.INPAINT if has_mask else Task.VARIATION,
            source=await _upload_file(service, claims, form, "image", Reading.PICTURE),
            mask=await _upload_file(service, claims, form, "mask", Reading.TRANSPARENT_MASK) if has_mask else None,
            strength=None if has_mask or options.input_fidelity is None else EDIT_STRENGTH[options.input_fidelity],
        )
    return await respond(service, claims, request, options, job_request, event="image_edit")


@router.post(
    "/variations", response_model=ImagesAnswer, openapi_extra={"requestBody": describe_form_body(Variation, "image")}
)
async def vary(request: Request, service: ServiceDep, claims: CallerClaims) -> Response:
    """A picture drawn again from a noisy copy of it, without words."""
    with reserve_memory(request, claims, MAX_PICTURES_BYTES):
        form = await read_form(request)
        options = _parse_fields(form, Variation)
        check_supported(service, options)
        _check_files(form, "image")
        if options.stream:
            raise unsupported_error("stream", "Variations are not streamed.", "Leave it out, or edit the picture.")
        source = await _upload_file(service, claims, form, "image", Reading.PICTURE)
        job_request = replace(_to_request(options), task=Task.VARIATION, source=source)
    return await respond(service, claims, request, options, job_request)


def _to_request(options: ImageOptions) -> JobRequest:
    width, height = parse_size(options)
    return JobRequest(
        prompt="",
        model=options.model or None,
        width=width,
        height=height,
        repeat=options.n or 1,
        is_plain=True,
    )


def _parse_fields(form: Form, kind: type[Kind]) -> Kind:
    try:
        return kind.model_validate(form.fields)
    except ValidationError as error:
        raise translate_error(error) from None


def _check_files(form: Form, *names: str) -> None:
    for name, files in form.files.items():
        if name not in names:
            raise unsupported_error(name[:80], f'The file "{name[:80]}" is not used here.', "Leave it out.")
        if len(files) > 1:
            raise unsupported_error(name, f"One {name} is taken at a time, not {len(files)}.", "Send one.")
    if "image" not in form.files:
        raise ApiError(
            "field_invalid", message='The form has no file "image".', hint="Send the picture as a file.", param="image"
        )


async def _upload_file(service: Service, claims: Claims, form: Form, name: str, reading: Reading) -> Sha256:
    """The name of the upload that the form's file became. The form gives the file up: its bytes are not kept."""
    source = await take_along(service.intake, form.files.pop(name)[0], claims, service.now(), reading)
    if isinstance(source, Refusal):
        raise translate_refusal(replace(source, param=name))
    return source.content
