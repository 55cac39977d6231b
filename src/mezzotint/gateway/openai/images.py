"""OpenAI's Images API: its official client draws here with nothing changed but the address.

A picture is a job like any other; the request waits for its jobs, or tells of one as it goes (`stream`). Whatever
becomes of the connection, the jobs go on, and their pictures are in the caller's history.
"""

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from math import ceil

from fastapi import APIRouter, Request, Response

from mezzotint.actions.finish import image_key
from mezzotint.actions.submit import Repeated, read_request, submit_once
from mezzotint.domain.claims import Claims
from mezzotint.domain.job import Image, Job, JobState
from mezzotint.domain.refusal import Refusal
from mezzotint.domain.tier import limits_of
from mezzotint.gateway.bodies.large_bodies import respond_with_list
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.errors import ApiError, translate_refusal
from mezzotint.gateway.idempotency import name_request
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
from mezzotint.gateway.streams.wait import WAIT_S, missing_image_error, wait_until_final
from mezzotint.media import converted
from mezzotint.policy.admission.model_choice import choose_requested_model
from mezzotint.policy.admission.request import JobRequest, ParsedRequest

TOKEN_STEP_PX = 1000
"""Step-pixels (steps x width x height) of one image token: the unit in which the queue charges."""

router = APIRouter(
    prefix="/v1/images",
    tags=["openai"],
    route_class=OpenAIRoute,
    responses=describe_openai_errors(400, 401, 403, 404, 409, 413, 429, 500, 503, 504),
)


@router.post(
    "/generations",
    response_model=ImagesAnswer,
    responses={200: {"content": {"text/event-stream": {}}, "description": "the pictures, or with stream their events"}},
)
async def generate(body: NewImages, request: Request, service: ServiceDep, claims: CallerClaims) -> Response:
    """Pictures from words, as OpenAI's Images API gives them."""
    check_supported(service, body)
    width, height = parse_size(body)
    job_request = JobRequest(
        prompt=body.prompt,
        model=body.model or None,
        width=width,
        height=height,
        repeat=body.n or 1,
        is_plain=True,
    )
    return await respond(service, claims, request, body, job_request)


async def respond(
    service: Service,
    claims: Claims,
    request: Request,
    options: ImageOptions,
    job_request: JobRequest,
    *,
    event: str = "image_generation",
) -> Response:
    """The pictures of a wish, when they are there or while they are drawn. event: how names of its events begin."""
    with ExitStack() as place:
        place.enter_context(service.rate_limits.stream(claims))
        parsed = await read_request(service.door, job_request, claims)
        parsed = apply_quality(service, claims, options, parsed)
        once = name_request(request, parsed, service)
        outcome = await submit_once(service.door, parsed, claims, service.now(), once)
        if isinstance(outcome, Refusal):
            raise translate_refusal(outcome)
        jobs = outcome.jobs if isinstance(outcome, Repeated) else outcome
        if options.stream:
            lines = stream_events(
                service.desk, jobs[0], options, event, lambda job: collect_images(service, request, options, [job])
            )
            return EventStream(service, claims, lines, place.pop_all(), format_error_event)
        async with service.streams.while_valid(claims, service.now()):
            over = await asyncio.gather(*(wait_until_final(service.desk, job, WAIT_S) for job in jobs))
        return await respond_with_list(await collect_images(service, request, options, over), "data")


def check_supported(service: Service, options: ImageOptions) -> None:
    """Answer what this API has and we cannot do."""
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


def unsupported_error(param: str, message: str, hint: str) -> ApiError:
    return ApiError("parameter_unsupported", message=message, hint=hint, param=param)


def parse_size(options: ImageOptions) -> tuple[int | None, int | None]:
    """Width and height in px, None for the model's own; whether the model can draw them, admission says."""
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
    """The finished pictures; where there is none at all, why."""
    done = [job for job in jobs if job.state is JobState.SUCCEEDED]
    if not done:
        raise missing_image_error(jobs[0])
    images = [image for job in done for image in job.images]
    return ImagesAnswer(
        created=int(service.now().timestamp()),
        data=[await _encode_image(service, request, options, image) for image in images],
        output_format=options.form,
        quality=options.quality or "auto",
        size=f"{images[0].width}x{images[0].height}",
        usage=count_usage(done),
    )


async def _encode_image(service: Service, request: Request, options: ImageOptions, image: Image) -> OpenAIImage:
    if options.response_format == "url":
        name = f"{image.webp}.webp" if options.form == "webp" else f"{image.png}.png"
        return OpenAIImage(url=f"{service.public_url or str(request.base_url).rstrip('/')}/i/{name}")
    is_stored = options.form == "webp" and options.output_compression is None
    key = image_key(image.webp, "webp") if is_stored else image_key(image.png, "png")
    data = await service.desk.objects.get(key)
    if data is None:
        raise ApiError("image_not_found", hint="It was deleted meanwhile; draw anew.")
    if not is_stored and options.form != "png":
        quality = 100 if options.output_compression is None else options.output_compression
        data = await asyncio.to_thread(converted, data, options.form, quality)
    return OpenAIImage(b64_json=(await asyncio.to_thread(b64encode, data)).decode("ascii"))


def count_usage(jobs: Sequence[Job]) -> Usage:
    words = sum(len(f"{job.parameters.prompt} {job.parameters.negative_prompt}".split()) for job in jobs)
    drawn = sum(ceil(job.parameters.cost * 1e6 / TOKEN_STEP_PX) for job in jobs)
    return Usage(
        input_tokens=words,
        input_tokens_details=InputDetails(text_tokens=words, image_tokens=0),
        output_tokens=drawn,
        total_tokens=words + drawn,
    )
