"""OpenAI's Images API: its official client works with nothing changed but the address.

A request waits for its jobs, or streams the events of one (`stream`).
"""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Any

from fastapi import APIRouter, Request, Response

from mezzotint.actions.submit import read_request
from mezzotint.domain.claims import Claims
from mezzotint.domain.job import Image, Job
from mezzotint.domain.refusal import Refusal
from mezzotint.domain.tier import limits_of
from mezzotint.gateway.bodies.large_bodies import encode_base64, respond_with_list
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.errors import ApiError, unsupported_error
from mezzotint.gateway.image_requests import read_image, submit_and_wait, submit_jobs
from mezzotint.gateway.openai.errors import OpenAIRoute
from mezzotint.gateway.openai.schemas import (
    STEPS_OF,
    ImageOptions,
    ImagesAnswer,
    InputDetails,
    NewImages,
    OpenAIImage,
    Usage,
    describe_openai_errors,
)
from mezzotint.gateway.openai.stream import format_error_event, stream_events
from mezzotint.gateway.service import Service
from mezzotint.gateway.streams.event_stream import EventStream
from mezzotint.media import convert_picture
from mezzotint.policy.admission.model_choice import choose_requested_model
from mezzotint.policy.admission.request import JobRequest, ParsedRequest

TOKEN_STEP_PX = 1000
"""Step-pixels (steps x width x height) of one image token: the unit in which the queue charges."""

EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "the pictures, or with stream their events"}
}
router = APIRouter(
    prefix="/v1/images",
    tags=["openai"],
    route_class=OpenAIRoute,
    responses=describe_openai_errors(400, 401, 403, 404, 409, 413, 429, 500, 503, 504),
)


@router.post(
    "/generations",
    response_model=ImagesAnswer,
    responses=EVENTS,
)
async def generate(body: NewImages, request: Request, service: ServiceDep, claims: CallerClaims) -> Response:
    """Pictures from words, as OpenAI's Images API gives them."""
    check_supported(body)
    return await respond(service, claims, request, body, to_job_request(body, body.prompt))


def to_job_request(options: ImageOptions, prompt: str = "") -> JobRequest:
    width, height = parse_size(options)
    return JobRequest(
        prompt=prompt,
        model=options.model or None,
        width=width,
        height=height,
        repeat=options.n or 1,
        is_plain=True,
    )


async def respond(
    service: Service,
    claims: Claims,
    request: Request,
    options: ImageOptions,
    job_request: JobRequest,
    *,
    event: str = "image_generation",
) -> Response:
    """Answer with the finished images, or with events while they are drawn. event: how the events' names begin."""
    parsed = apply_quality(service, claims, options, await read_request(service.door, job_request, claims))
    if not options.stream:
        jobs = await submit_and_wait(service, request, claims, parsed)
        return await respond_with_list(await collect_images(service, request, options, jobs), "data")
    with ExitStack() as place:
        place.enter_context(service.rate_limits.stream(claims))
        (job, *_), _ = await submit_jobs(service, request, claims, parsed)
        events = stream_events(service.desk, job, options, event, partial(collect_images, service, request, options))
        return EventStream(service, claims, events, place.pop_all(), format_error_event)


def check_supported(options: ImageOptions) -> None:
    """Refuse options of OpenAI's API that are not implemented."""
    if options.background == "transparent":
        raise unsupported_error("background", "No model here draws transparency.", "Leave it out, or say opaque.")
    if options.output_format in {"gif", "svg"}:
        raise unsupported_error(
            "output_format", f"Pictures are not made as {options.output_format}.", "Say png, webp or jpeg."
        )
    if options.stream and (options.n or 1) > 1:
        raise unsupported_error("n", "A stream tells of one picture.", "Ask for one, or without stream.")
    if options.response_format == "url" and (options.form == "jpeg" or options.output_compression is not None):
        raise unsupported_error(
            "response_format", "Addresses lead to PNG and WebP as they are stored.", "Say b64_json."
        )
    if options.output_compression is not None and options.form == "png":
        raise unsupported_error(
            "output_compression", "PNG has no quality to choose.", "Say webp or jpeg, or leave it out."
        )


def parse_size(options: ImageOptions) -> tuple[int | None, int | None]:
    """Width and height in px; None: the model's own. Admission checks whether the model can draw them."""
    if options.size in {None, "", "auto"}:
        return None, None
    width, _, height = (options.size or "").partition("x")
    if not all(side.isascii() and side.isdigit() and len(side) < 6 for side in (width, height)):
        raise ApiError(
            "size_invalid",
            message=f'"{options.size}" is no size.',
            hint='Say "512x512", for example, or "auto".',
            param="size",
        )
    return int(width), int(height)


def apply_quality(service: Service, claims: Claims, options: ImageOptions, parsed: ParsedRequest) -> ParsedRequest:
    """The request with the sampler steps that the quality means for its model; never more than the tier allows."""
    times = STEPS_OF[options.quality or "auto"]
    model = choose_requested_model(parsed, service.door.models, service.door.upscaler)
    if times is None or isinstance(model, Refusal):  # admission finds the same fault and says it
        return parsed
    budget = limits_of(claims.tier).step_budget
    num_steps = max(1, round(min(budget, min(budget, model.default_steps) * times)))
    return replace(parsed, request=replace(parsed.request, num_steps=num_steps))


async def collect_images(
    service: Service, request: Request, options: ImageOptions, jobs: Sequence[Job]
) -> ImagesAnswer:
    """jobs: succeeded."""
    images = [image for job in jobs for image in job.images]
    return ImagesAnswer(
        created=int(service.now().timestamp()),
        data=[await _encode_image(service, request, options, image) for image in images],
        output_format=options.form,
        quality=options.quality or "auto",
        size=f"{images[0].width}x{images[0].height}",
        usage=count_usage(jobs),
    )


async def _encode_image(service: Service, request: Request, options: ImageOptions, image: Image) -> OpenAIImage:
    if options.response_format == "url":
        name = f"{image.webp}.webp" if options.form == "webp" else f"{image.png}.png"
        return OpenAIImage(url=f"{service.public_url or str(request.base_url).rstrip('/')}/i/{name}")
    is_stored = options.form == "webp" and options.output_compression is None
    data = await (read_image(service, image.webp, "webp") if is_stored else read_image(service, image.png, "png"))
    if not is_stored and options.form != "png":
        quality = 100 if options.output_compression is None else options.output_compression
        data = await asyncio.to_thread(convert_picture, data, options.form, quality)
    return OpenAIImage(b64_json=await encode_base64(data))


def count_usage(jobs: Sequence[Job]) -> Usage:
    words = sum(len(f"{job.parameters.prompt} {job.parameters.negative_prompt}".split()) for job in jobs)
    drawn = sum(ceil(job.parameters.cost * 1e6 / TOKEN_STEP_PX) for job in jobs)
    return Usage(
        input_tokens=words,
        input_tokens_details=InputDetails(text_tokens=words, image_tokens=0),
        output_tokens=drawn,
        total_tokens=words + drawn,
    )
