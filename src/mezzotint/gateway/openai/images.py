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
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep, find_base_url
from mezzotint.gateway.errors import ApiError, unsupported_error
from mezzotint.gateway.idempotency import name_try
from mezzotint.gateway.image_requests import (
    describe_cut_texts,
    finish_file,
    mark_delivered,
    read_image,
    submit_and_wait,
    submit_jobs,
)
from mezzotint.gateway.openai.edit_task import choose_edit_task
from mezzotint.gateway.openai.errors import OpenAIRoute
from mezzotint.gateway.openai.fields import OWN_SAMPLER, RANDOM_SEED, name_fields_as_sent, read_field
from mezzotint.gateway.openai.schemas import (
    STEPS_OF,
    Edit,
    ImageOptions,
    ImagesAnswer,
    InputDetails,
    NewImages,
    OpenAIImage,
    Usage,
    describe_openai_errors,
)
from mezzotint.gateway.openai.sizes import fit_size, parse_size
from mezzotint.gateway.openai.stream import format_error_event, stream_events
from mezzotint.gateway.service import Service
from mezzotint.gateway.streams.event_stream import EVENT, EventStream
from mezzotint.media import convert_picture
from mezzotint.policy.admission.model_choice import choose_requested_model
from mezzotint.policy.admission.request import JobRequest, ParsedRequest

TOKEN_STEP_PX = 1000
"""Step-pixels (steps x width x height) of one image token: the unit in which the queue charges."""

EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"schema": EVENT}},
        "description": "the pictures, or with stream their events",
    }
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
async def generate_images(body: NewImages, request: Request, service: ServiceDep, claims: CallerClaims) -> Response:
    """Pictures from words, as OpenAI's Images API gives them."""
    check_supported(body)
    return await respond(service, claims, request, body, to_job_request(body, body.prompt))


def to_job_request(options: ImageOptions, prompt: str = "") -> JobRequest:
    width, height = parse_size(options)
    sampler = read_field(options, "sampler")
    return JobRequest(
        prompt=prompt,
        model=options.model or None,
        negative_prompt=options.negative_prompt or None,
        seed=None if options.seed == RANDOM_SEED else options.seed,
        num_steps=read_field(options, "num_steps"),
        guidance_scale=read_field(options, "guidance_scale"),
        sampler=None if sampler is None or sampler.lower() in OWN_SAMPLER else sampler,
        eta=options.eta,
        guidance_rescale=options.guidance_rescale,
        clip_skip=options.clip_skip,
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
    with name_fields_as_sent(options):
        return await _draw(service, claims, request, options, job_request, event=event)


async def _draw(
    service: Service, claims: Claims, request: Request, options: ImageOptions, job_request: JobRequest, *, event: str
) -> Response:
    parsed = apply_quality(service, claims, options, await read_request(service.admission, job_request, claims))
    if isinstance(options, Edit):
        parsed = choose_edit_task(service, options, parsed)
    parsed = fit_size(service, options, parsed)
    if not options.stream:
        jobs, delivered = await submit_and_wait(service, request, claims, parsed, user=options.user or "")
        return await respond_with_list(await collect_images(service, request, options, jobs), "data", delivered)
    with ExitStack() as place:
        place.enter_context(service.rate_limits.stream(claims))
        once = name_try(request, parsed.request, service, claims.owner, options.user or "")
        submitted = await submit_jobs(service, claims, parsed, once)
        events = stream_events(
            service.backing,
            submitted.jobs[0],
            options,
            event,
            collect=partial(collect_images, service, request, options),
            delivered=partial(mark_delivered, service, claims, submitted),
        )
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
    if options.response_format == "url" and not is_stored_so(options):
        raise unsupported_error(
            "response_format", "Addresses lead to PNG and WebP as they are stored.", "Say b64_json."
        )
    if options.output_compression not in {None, 100} and options.form == "png":
        raise unsupported_error(
            "output_compression", "PNG has no quality to choose.", "Say webp or jpeg, or leave it out."
        )


def apply_quality(service: Service, claims: Claims, options: ImageOptions, parsed: ParsedRequest) -> ParsedRequest:
    """The request with the sampler steps that the quality means for its model; never more than the tier allows."""
    times = STEPS_OF[options.quality or "auto"]
    model = choose_requested_model(parsed, service.admission.models, service.admission.upscaler)
    if times is None or isinstance(model, Refusal):  # admission finds the same fault and says it
        return parsed
    if parsed.request.num_steps is not None:
        message = f'"quality" ({options.quality}) and a number of steps both decide how many steps are made.'
        raise ApiError("parameter_repeated", message=message, hint="Keep one of the two.", param="quality")
    budget = limits_of(claims.tier).step_budget
    num_steps = max(1, round(min(budget, min(budget, model.default_steps) * times)))
    return replace(parsed, request=replace(parsed.request, num_steps=num_steps))


async def collect_images(
    service: Service, request: Request, options: ImageOptions, jobs: Sequence[Job]
) -> ImagesAnswer:
    """jobs: succeeded."""
    images = [image for job in jobs for image in job.images]
    width, height = options.fitted or (images[0].width, images[0].height)
    if options.model and options.model != jobs[0].model:
        options.note(f'"{options.model}" is {jobs[0].model} here.')
    return ImagesAnswer(
        created=int(service.now().timestamp()),
        data=[await _encode_image(service, request, options, job, image) for job in jobs for image in job.images],
        output_format=options.form,
        quality=options.told_quality,
        size=f"{width}x{height}",
        usage=count_usage(jobs),
        notes=[*options.notes, *describe_cut_texts(jobs)],
    )


async def _encode_image(
    service: Service, request: Request, options: ImageOptions, job: Job, image: Image
) -> OpenAIImage:
    """With its address, where it is asked for or nothing is, and a file as it was asked for has one."""
    url = None
    is_stored = is_stored_so(options)
    if is_stored and options.response_format != "b64_json":
        name = f"{image.webp}.webp" if options.form == "webp" else f"{image.png}.png"
        url = f"{find_base_url(service, request)}/i/{name}"
    if options.response_format == "url":
        return OpenAIImage(url=url)
    is_webp = is_stored and options.form == "webp"
    stored = await (read_image(service, image.webp, "webp") if is_webp else read_image(service, image.png, "png"))
    data = stored
    if not is_stored or options.fitted is not None:
        quality = 100 if options.output_compression is None else options.output_compression
        data = await asyncio.to_thread(convert_picture, stored, options.form, quality, options.fitted)
    return OpenAIImage(b64_json=await encode_base64(await finish_file(service, job, data, stored)), url=url)


def is_stored_so(options: ImageOptions) -> bool:
    """Say whether pictures are kept in the file format that is asked for."""
    return options.form == "png" or (options.form == "webp" and options.output_compression is None)


def count_usage(jobs: Sequence[Job]) -> Usage:
    words = sum(len(f"{job.parameters.prompt} {job.parameters.negative_prompt}".split()) for job in jobs)
    drawn = sum(ceil(job.parameters.cost * 1e6 / TOKEN_STEP_PX) for job in jobs)
    return Usage(
        input_tokens=words,
        input_tokens_details=InputDetails(text_tokens=words, image_tokens=0),
        output_tokens=drawn,
        total_tokens=words + drawn,
    )
