"""OpenAI's Images API for existing pictures: edits, with a mask or without, and variations.

The pictures become uploads; a job of the task edit, variation or inpaint starts from them.
"""

from dataclasses import replace

from fastapi import APIRouter, Request, Response

from mezzotint.domain.task import Task
from mezzotint.gateway.bodies.forms import describe_form_body
from mezzotint.gateway.bodies.large_bodies import MAX_PICTURES_BYTES, describe_json_body, reserve_memory
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.errors import unsupported_error
from mezzotint.gateway.image_requests import upload_image
from mezzotint.gateway.openai.edit_bodies import JsonEdit, Pictures, read_edit, read_picture_form
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
    ImagesAnswer,
    Variation,
    describe_openai_errors,
)
from mezzotint.media.uploads import Reading


def describe_bodies() -> dict[str, object]:
    """Both bodies of an edit, for OpenAPI."""
    form, as_json = describe_form_body(Edit, "image", "mask"), describe_json_body(JsonEdit)
    return {"required": True, "content": {**form["content"], **as_json["content"]}}


router = APIRouter(
    prefix="/v1/images",
    tags=["openai"],
    route_class=OpenAIRoute,
    responses=describe_openai_errors(400, 401, 403, 404, 408, 409, 413, 429, 500, 503, 504),
)


@router.post(
    "/edits",
    response_model=ImagesAnswer,
    responses=EVENTS,
    openapi_extra={"requestBody": describe_bodies()},
)
async def edit_image(request: Request, service: ServiceDep, claims: CallerClaims) -> Response:
    """A picture changed as the words tell, by a model that edits; else redrawn after words. With a mask it is redrawn
    only where that is transparent."""
    with reserve_memory(request, claims, MAX_PICTURES_BYTES):
        pictures, options = await read_edit(request)
        check_supported(options)
        mask = pictures.mask
        options.note(*_describe_unused(pictures))
        strength = options.strength
        if strength is None and options.input_fidelity is not None and mask is None:
            strength = EDIT_STRENGTH[options.input_fidelity]
        job_request = replace(
            to_job_request(options, options.prompt),
            task=Task.VARIATION if mask is None else Task.INPAINT,
            source=await upload_image(service, claims, pictures.field, pictures.images[0], Reading.PICTURE),
            mask=None if mask is None else await upload_image(service, claims, "mask", mask, Reading.TRANSPARENT_MASK),
            strength=strength,
            image_guidance=options.image_guidance,
        )
        del pictures, mask
    return await respond(service, claims, request, options, job_request, event="image_edit")


def _describe_unused(pictures: Pictures) -> list[str]:
    """A note on the pictures that are not used. Answers 422 where a mask could be of any of them."""
    num_others = len(pictures.images) - 1
    if num_others and pictures.mask is not None:
        message = f"A mask is of one picture, and {num_others + 1} were sent."
        raise unsupported_error(pictures.field, message, "Send the picture that the mask is of, alone.")
    if not num_others:
        return []
    return [f"Of {num_others + 1} pictures the first was redrawn; no model here takes others as references."]


@router.post(
    "/variations", response_model=ImagesAnswer, openapi_extra={"requestBody": describe_form_body(Variation, "image")}
)
async def vary_image(request: Request, service: ServiceDep, claims: CallerClaims) -> Response:
    """A picture drawn again from a noisy copy of it, without words."""
    with reserve_memory(request, claims, MAX_PICTURES_BYTES):
        pictures, options = await read_picture_form(request, Variation, "image")
        check_supported(options)
        if options.stream:
            raise unsupported_error("stream", "Variations are not streamed.", "Leave it out, or edit the picture.")
        if len(pictures.images) > 1:
            message = f"One image is taken at a time, not {len(pictures.images)}."
            raise unsupported_error(pictures.field, message, "Send one.")
        source = await upload_image(service, claims, pictures.field, pictures.images[0], Reading.PICTURE)
        del pictures
        wish = to_job_request(options)
        job_request = replace(wish, task=Task.VARIATION, source=source, strength=options.strength)
    return await respond(service, claims, request, options, job_request)
