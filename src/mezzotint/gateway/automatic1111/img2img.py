"""img2img of the AUTOMATIC1111 API: the picture and its mask become uploads that a job starts from."""

from contextlib import ExitStack
from dataclasses import replace

from fastapi import APIRouter, Request, Response

from mezzotint.domain.claims import Claims
from mezzotint.domain.task import Task
from mezzotint.domain.tier import limits_of
from mezzotint.gateway.automatic1111.auth import BasicCallerClaims
from mezzotint.gateway.automatic1111.errors import SdapiRoute
from mezzotint.gateway.automatic1111.pictures import decode_picture, upload_picture
from mezzotint.gateway.automatic1111.schemas import Drawn, Img2Img, describe_sdapi_errors
from mezzotint.gateway.automatic1111.txt2img import check_supported, find_model, generate_images, to_request
from mezzotint.gateway.bodies.large_bodies import (
    MAX_PICTURES_BYTES,
    describe_json_body,
    encode_base64,
    read_json,
    reserve_memory,
    respond_with_list,
)
from mezzotint.gateway.dependencies import ServiceDep
from mezzotint.gateway.errors import unsupported_error
from mezzotint.gateway.service import Service
from mezzotint.media.uploads import Reading

CROPPING = (0, 1)
ONE_STEP = 1.0001
"""A little more than one, so that rounding does not make it none."""
router = APIRouter(
    prefix="/sdapi/v1",
    tags=["automatic1111"],
    route_class=SdapiRoute,
    responses=describe_sdapi_errors(400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503, 504),
)


@router.post("/img2img", response_model=Drawn, openapi_extra={"requestBody": describe_json_body(Img2Img)})
async def draw_img2img(request: Request, service: ServiceDep, claims: BasicCallerClaims) -> Response:
    """Pictures from a picture and words, as AUTOMATIC1111's web UI gives them."""
    with ExitStack() as until_drawn:
        until_drawn.enter_context(reserve_memory(request, claims, MAX_PICTURES_BYTES))
        body = await read_json(request, Img2Img)
        check_supported(service, body)
        if len(body.init_images) != 1:
            raise unsupported_error(
                "init_images", f"One picture is taken at a time, not {len(body.init_images)}.", "Send one."
            )
        if body.resize_mode not in CROPPING:
            raise unsupported_error(
                "resize_mode", f"resize_mode {body.resize_mode} is not supported.", "Say 0 or 1: crop."
            )
        mask_reading = Reading.INVERTED_MASK if body.inpainting_mask_invert else Reading.PICTURE
        model = find_model(service, body)
        edits = body.mask is None and Task.EDIT in model.tasks and Task.VARIATION not in model.tasks
        job_request = replace(
            to_request(service, body),
            task=Task.EDIT if edits else Task.VARIATION if body.mask is None else Task.INPAINT,
            source=await upload_picture(service, claims, "init_images", body.init_images[0]),
            mask=body.mask and await upload_picture(service, claims, "mask", body.mask, mask_reading),
            # its clients always send both
            strength=None if edits else find_strength(service, claims, body),
            image_guidance=body.image_cfg_scale if edits and model.options.image_guidance else None,
        )
        body.mask = None
        if not body.include_init_images:
            body.init_images.clear()
            until_drawn.close()  # nothing of the body is kept while the picture is drawn
        answer = await generate_images(service, request, claims, body, job_request)
        images = answer.images + [await encode_base64(await decode_picture("", text)) for text in body.init_images]
        return await respond_with_list(answer.model_copy(update={"images": images}), "images")


def find_strength(service: Service, claims: Claims, body: Img2Img) -> float:
    """The share of the steps that is run; at least one is, as AUTOMATIC1111 does it, also with a strength of 0."""
    usual = min(find_model(service, body).default_steps, limits_of(claims.tier).step_budget)
    one_step = ONE_STEP / max(1, body.steps or usual)
    return one_step if 0 <= body.denoising_strength < one_step <= 1 else body.denoising_strength
