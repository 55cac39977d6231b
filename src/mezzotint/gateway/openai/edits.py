"""OpenAI's Images API for existing pictures: edits, with a mask or without, and variations.

The files become uploads; a job of the task variation or inpaint starts from them.
"""

from dataclasses import replace
from typing import TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from mezzotint.domain.task import Task
from mezzotint.gateway.bodies.forms import Form, describe_form_body, read_form
from mezzotint.gateway.bodies.large_bodies import MAX_PICTURES_BYTES, reserve_memory, translate_error
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.errors import ApiError, unsupported_error
from mezzotint.gateway.image_requests import upload_image
from mezzotint.gateway.openai.errors import OpenAIRoute
from mezzotint.gateway.openai.images import (
    EVENTS,
    check_supported,
    respond,
    to_job_request,
)
from mezzotint.gateway.openai.schemas import (
    EDIT_STRENGTH,
    Edit,
    ImageOptions,
    ImagesAnswer,
    Variation,
    describe_openai_errors,
)
from mezzotint.media.uploads import Reading

router = APIRouter(
    prefix="/v1/images",
    tags=["openai"],
    route_class=OpenAIRoute,
    responses=describe_openai_errors(400, 401, 403, 404, 408, 409, 413, 429, 500, 503, 504),
)
Kind = TypeVar("Kind", bound=ImageOptions)


@router.post(
    "/edits",
    response_model=ImagesAnswer,
    responses=EVENTS,
    openapi_extra={"requestBody": describe_form_body(Edit, "image", "mask")},
)
async def edit(request: Request, service: ServiceDep, claims: CallerClaims) -> Response:
    """A picture redrawn after words; with a mask only where that is transparent."""
    with reserve_memory(request, claims, MAX_PICTURES_BYTES):
        form, options = await _read_form(request, Edit, "image", "mask")
        has_mask = "mask" in form.files
        job_request = replace(
            to_job_request(options, options.prompt),
            task=Task.INPAINT if has_mask else Task.VARIATION,
            source=await upload_image(service, claims, "image", form.files.pop("image")[0], Reading.PICTURE),
            mask=await upload_image(service, claims, "mask", form.files.pop("mask")[0], Reading.TRANSPARENT_MASK)
            if has_mask
            else None,
            strength=_choose_strength(options, has_mask=has_mask),
        )
    return await respond(service, claims, request, options, job_request, event="image_edit")


def _choose_strength(options: Edit, *, has_mask: bool) -> float | None:
    if options.strength is not None or options.input_fidelity is None or has_mask:
        return options.strength
    return EDIT_STRENGTH[options.input_fidelity]


@router.post(
    "/variations", response_model=ImagesAnswer, openapi_extra={"requestBody": describe_form_body(Variation, "image")}
)
async def vary(request: Request, service: ServiceDep, claims: CallerClaims) -> Response:
    """A picture drawn again from a noisy copy of it, without words."""
    with reserve_memory(request, claims, MAX_PICTURES_BYTES):
        form, options = await _read_form(request, Variation, "image")
        if options.stream:
            raise unsupported_error("stream", "Variations are not streamed.", "Leave it out, or edit the picture.")
        source = await upload_image(service, claims, "image", form.files.pop("image")[0], Reading.PICTURE)
        wish = to_job_request(options)
        job_request = replace(wish, task=Task.VARIATION, source=source, strength=options.strength)
    return await respond(service, claims, request, options, job_request)


async def _read_form(request: Request, kind: type[Kind], *names: str) -> tuple[Form, Kind]:
    """Read and check the form and its options. names: of the files that it may have."""
    form = await read_form(request)
    try:
        options = kind.model_validate(form.fields)
    except ValidationError as error:
        raise translate_error(error) from None
    check_supported(options)
    for name, files in form.files.items():
        if name not in names:
            raise unsupported_error(name[:80], f'The file "{name[:80]}" is not used here.', "Leave it out.")
        if len(files) > 1:
            raise unsupported_error(name, f"One {name} is taken at a time, not {len(files)}.", "Send one.")
    if "image" not in form.files:
        raise ApiError(
            "field_invalid", message='The form has no file "image".', hint="Send the picture as a file.", param="image"
        )
    return form, options
