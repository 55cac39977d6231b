"""extra-single-image and extra-batch-images of the AUTOMATIC1111 API: pictures made larger, each by a job."""

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from mezzotint.actions.cancel import cancel
from mezzotint.actions.upload import read_source
from mezzotint.domain.claims import Claims
from mezzotint.domain.ids import Sha256
from mezzotint.domain.job import Job
from mezzotint.domain.task import Task
from mezzotint.gateway.automatic1111.auth import BasicCallerClaims
from mezzotint.gateway.automatic1111.errors import SdapiRoute
from mezzotint.gateway.automatic1111.pictures import upload_picture
from mezzotint.gateway.automatic1111.progress import get_waiting_jobs
from mezzotint.gateway.automatic1111.schemas import (
    NO_UPSCALER,
    ExtraBatchImages,
    ExtraImage,
    ExtraImages,
    ExtraOptions,
    ExtraSingleImage,
    describe_sdapi_errors,
)
from mezzotint.gateway.bodies.large_bodies import (
    MAX_PICTURES_BYTES,
    describe_json_body,
    encode_base64,
    read_json,
    reserve_memory,
    respond_with_json,
    respond_with_list,
)
from mezzotint.gateway.dependencies import ServiceDep
from mezzotint.gateway.errors import ApiError, unsupported_error
from mezzotint.gateway.idempotency import name_try
from mezzotint.gateway.image_requests import WAIT_S, read_image, select_succeeded, sign_variant, submit_jobs
from mezzotint.gateway.service import Service
from mezzotint.gateway.streams.wait import wait_until_final
from mezzotint.media.resizing import Target, resize_png
from mezzotint.policy.admission.request import JobRequest

router = APIRouter(
    prefix="/sdapi/v1",
    tags=["automatic1111"],
    route_class=SdapiRoute,
    responses=describe_sdapi_errors(400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503, 504),
)
SWITCHES = ("gfpgan_visibility", "codeformer_visibility")
SCALES = (2, 4)
"""Factors of the upscaler; a factor between them is drawn at the next one and made smaller."""


@router.post(
    "/extra-single-image",
    response_model=ExtraImage,
    openapi_extra={"requestBody": describe_json_body(ExtraSingleImage)},
)
async def upscale_image(request: Request, service: ServiceDep, claims: BasicCallerClaims) -> Response:
    """A picture made larger."""
    with reserve_memory(request, claims, MAX_PICTURES_BYTES):
        body = await read_json(request, ExtraSingleImage)
        check_options(service, body)
        sources = [await upload_picture(service, claims, "image", body.image)]
    (image,) = await enlarge_pictures(request, service, claims, body, sources)
    return await respond_with_json(ExtraImage(html_info=describe_work(body), image=image))


@router.post(
    "/extra-batch-images",
    response_model=ExtraImages,
    openapi_extra={"requestBody": describe_json_body(ExtraBatchImages)},
)
async def upscale_images(request: Request, service: ServiceDep, claims: BasicCallerClaims) -> Response:
    """Several pictures made larger, answered in their order."""
    with reserve_memory(request, claims, MAX_PICTURES_BYTES):
        body = await read_json(request, ExtraBatchImages)
        check_options(service, body)
        sources = [await upload_picture(service, claims, "imageList", one.data) for one in body.imageList]
        body.imageList.clear()
    images = await enlarge_pictures(request, service, claims, body, sources)
    return await respond_with_list(ExtraImages(html_info=describe_work(body), images=images), "images")


def check_options(service: Service, body: ExtraOptions) -> None:
    """Refuse what is switched on and not implemented. Answers 422."""
    for name in SWITCHES:
        if getattr(body, name):
            raise unsupported_error(name, f'"{name}" is not supported: no model here mends faces.', "Send 0.")
    if body.extras_upscaler_2_visibility and body.upscaler_2 not in {NO_UPSCALER, body.upscaler_1}:
        message = "Two upscalers are not mixed here."
        raise unsupported_error("upscaler_2", message, "Send extras_upscaler_2_visibility 0.")
    names = [NO_UPSCALER, *filter(None, [service.admission.upscaler])]
    if body.upscaler_1 not in names:
        message = f'There is no upscaler "{body.upscaler_1[:80]}".'
        raise unsupported_error("upscaler_1", message, f"Served: {', '.join(names)}.")


async def enlarge_pictures(
    request: Request, service: Service, claims: Claims, body: ExtraOptions, sources: Sequence[Sha256]
) -> list[str]:
    """The pictures as PNG in base64."""
    originals = [await read_source(service.backing.objects, source) or b"" for source in sources]
    if body.upscaler_1 == NO_UPSCALER:
        return [await encode_base64(png) for png in originals]
    targets = [find_target(body, png) for png in originals]
    requests = [
        JobRequest(prompt="", task=Task.UPSCALE, source=source, scale=find_scale(target), is_plain=True)
        for source, target in zip(sources, targets, strict=True)
    ]
    images = []
    for job, target in zip(await run_jobs(request, service, claims, requests), targets, strict=True):
        png = await read_image(service, job.images[0].png, "png")
        resized = await asyncio.to_thread(resize_png, png, target)
        images.append(await encode_base64(await sign_variant(service, resized, png)))
    return images


async def run_jobs(request: Request, service: Service, claims: Claims, requests: Sequence[JobRequest]) -> list[Job]:
    """Submit all, and wait for them. Answers why, when one of them has no picture."""
    jobs: list[Job] = []
    async with service.open_stream(claims):
        try:
            for one in requests:
                once = name_try(request, one, service, claims.owner) if len(requests) == 1 else None
                jobs += (await submit_jobs(service, claims, one, once)).jobs
        except ApiError:
            for job in jobs:  # all or none
                await cancel(service.backing, job.id, service.now())
            raise
        with get_waiting_jobs(request).track(claims, jobs):
            ended = await asyncio.gather(*(wait_until_final(service.backing, job, WAIT_S) for job in jobs))
    return [select_succeeded([job])[0] for job in ended]


def find_target(body: ExtraOptions, png: bytes) -> Target:
    if body.resize_mode == 0:
        return Target.by_scale(png, body.upscaling_resize)
    return Target.to_size(png, body.upscaling_resize_w, body.upscaling_resize_h, is_cropped=body.upscaling_crop)


def find_scale(target: Target) -> int:
    """Answers 422 beyond the largest."""
    for scale in SCALES:
        if target.scale <= scale:
            return scale
    message = f"The picture would become {target.scale:g} times as large; {SCALES[-1]} times is the most."
    raise unsupported_error("upscaling_resize_w", message, "Ask for less, or enlarge the answer once more.")


def describe_work(body: ExtraOptions) -> str:
    if body.upscaler_1 == NO_UPSCALER:
        return ""
    return f"Postprocess upscale by: {body.upscaling_resize:g}, Postprocess upscaler: {body.upscaler_1}"
