"""img2img of the AUTOMATIC1111 API: the picture and its mask become uploads that a job starts from."""

from contextlib import ExitStack
from dataclasses import replace

from fastapi import APIRouter, Request, Response

from mezzotint.domain.claims import Claims
from mezzotint.domain.ids import Sha256
from mezzotint.domain.task import Task
from mezzotint.gateway.automatic1111.auth import BasicCallerClaims
from mezzotint.gateway.automatic1111.errors import SdapiRoute
from mezzotint.gateway.automatic1111.schemas import Drawn, Img2Img, describe_sdapi_errors
from mezzotint.gateway.automatic1111.txt2img import check_supported, generate_images, to_request
from mezzotint.gateway.bodies.large_bodies import (
    MAX_PICTURES_BYTES,
    decode_base64,
    describe_json_body,
    read_json,
    reserve_memory,
    respond_with_list,
)
from mezzotint.gateway.dependencies import ServiceDep
from mezzotint.gateway.errors import ApiError, unsupported_error
from mezzotint.gateway.image_requests import upload_image
from mezzotint.gateway.service import Service
from mezzotint.media.uploads import Reading

CROPPING = (0, 1)
router = APIRouter(
    prefix="/sdapi/v1",
    tags=["automatic1111"],
    route_class=SdapiRoute,
    responses=describe_sdapi_errors(400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503, 504),
)


@router.post("/img2img", response_model=Drawn, openapi_extra={"requestBody": describe_json_body(Img2Img)})
async def img2img(request: Request, service: ServiceDep, claims: BasicCallerClaims) -> Response:
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
        job_request = replace(
            to_request(service, body),
            task=Task.VARIATION if body.mask is None else Task.INPAINT,
            source=await _upload_picture(service, claims, "init_images", body.init_images[0], Reading.PICTURE),
            mask=body.mask and await _upload_picture(service, claims, "mask", body.mask, mask_reading),
            strength=body.denoising_strength,
        )
        body.mask = None
        if not body.include_init_images:
            body.init_images.clear()
            until_drawn.close()  # nothing of the body is kept while the picture is drawn
        answer = await generate_images(service, request, claims, body, job_request)
        images = answer.images + body.init_images
        return await respond_with_list(answer.model_copy(update={"images": images}), "images")


async def _upload_picture(service: Service, claims: Claims, field: str, text: str, reading: Reading) -> Sha256:
    """Store a picture as an upload. Returns its name. text: base64, plain or as a data: URL."""
    try:
        data = await decode_base64(text)
    except ValueError:
        raise ApiError(
            "upload_invalid", message=f'"{field}" is not base64.', hint="Send the file's bytes.", param=field
        ) from None
    return await upload_image(service, claims, field, data, reading)
