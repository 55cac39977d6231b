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
from mezzotint.actions.submit import Repeated, submit_once
from mezzotint.domain.claims import Claims
from mezzotint.domain.job import Image, Job, JobState
from mezzotint.domain.refusal import Refusal
from mezzotint.domain.tier import limits_of
from mezzotint.gateway.bodies.large_bodies import answer_with_list
from mezzotint.gateway.errors import GATEWAY_CODES, Answer, refused
from mezzotint.gateway.idempotency import once_of
from mezzotint.gateway.openai.errors import OpenAIRoute
from mezzotint.gateway.openai.schemas import (
    STEPS_OF,
    ImagesAnswer,
    InputDetails,
    NewImages,
    OpenAIImage,
    Usage,
    Wish,
    openai_answers,
)
from mezzotint.gateway.openai.stream import error_event, events_of
from mezzotint.gateway.service import Service, SignedIn, The
from mezzotint.gateway.streams.event_stream import EventStream
from mezzotint.gateway.streams.wait import WAIT_S, ended, without_picture
from mezzotint.media import converted
from mezzotint.policy.admission.model_choice import choose_requested_model
from mezzotint.policy.admission.request import JobRequest

TOKEN_STEP_PX = 1000
"""Step-pixels (steps x width x height) of one image token: the unit in which the queue charges."""

router = APIRouter(
    prefix="/v1/images",
    tags=["openai"],
    route_class=OpenAIRoute,
    responses=openai_answers(400, 401, 403, 404, 409, 413, 429, 500, 503, 504),
)


@router.post(
    "/generations",
    response_model=ImagesAnswer,
    responses={200: {"content": {"text/event-stream": {}}, "description": "the pictures, or with stream their events"}},
)
async def generate(body: NewImages, request: Request, service: The, claims: SignedIn) -> Response:
    """Pictures from words, as OpenAI's Images API gives them."""
    check(service, body)
    width, height = size_of(body)
    asked = JobRequest(
        prompt=body.prompt,
        model=body.model or None,
        width=width,
        height=height,
        repeat=body.n or 1,
        is_plain=True,
    )
    return await answer(service, claims, request, body, asked)


async def answer(
    service: Service,
    claims: Claims,
    request: Request,
    wish: Wish,
    asked: JobRequest,
    *,
    event: str = "image_generation",
) -> Response:
    """The pictures of a wish, when they are there or while they are drawn. event: how names of its events begin."""
    with ExitStack() as place:
        place.enter_context(service.rates.stream(claims))
        asked = with_quality(service, claims, wish, asked)
        once = once_of(request, asked, service)
        outcome = await submit_once(service.door, asked, claims, service.now(), once)
        if isinstance(outcome, Refusal):
            raise refused(outcome)
        jobs = outcome.jobs if isinstance(outcome, Repeated) else outcome
        if wish.stream:
            lines = events_of(
                service.desk, jobs[0], wish, event, lambda job: pictures_of(service, request, wish, [job])
            )
            return EventStream(service, claims, lines, place.pop_all(), error_event)
        async with service.streams.while_valid(claims, service.now()):
            over = await asyncio.gather(*(ended(service.desk, job, WAIT_S) for job in jobs))
        return await answer_with_list(await pictures_of(service, request, wish, over), "data")


def check(service: Service, wish: Wish) -> None:
    """Answer what this API has and we cannot do."""
    if wish.background == "transparent":
        raise unsupported("background", "No model here draws transparency.", "Leave it out, or say opaque.")
    if wish.output_format in {"gif", "svg"}:
        raise unsupported("output_format", f"Pictures are not made as {wish.output_format}.", "Say png, webp or jpeg.")
    if wish.stream and (wish.n or 1) > 1:
        raise unsupported("n", "A stream tells of one picture.", "Ask for one, or without stream.")
    if wish.response_format == "url" and (wish.form == "jpeg" or wish.output_compression is not None):
        raise unsupported("response_format", "Addresses lead to PNG and WebP as they are stored.", "Say b64_json.")
    if wish.output_compression is not None and wish.form == "png":
        raise unsupported("output_compression", "PNG has no quality to choose.", "Say webp or jpeg, or leave it out.")


def unsupported(param: str, message: str, hint: str) -> Answer:
    return Answer(400, "parameter_unsupported", message, hint, param)


def size_of(wish: Wish) -> tuple[int | None, int | None]:
    """Width and height in px, None for the model's own; whether the model can draw them, admission says."""
    if wish.size in {None, "", "auto"}:
        return None, None
    width, _, height = (wish.size or "").partition("x")
    if not all(side.isascii() and side.isdigit() and len(side) < 6 for side in (width, height)):
        raise Answer(
            400, "size_invalid", f'"{wish.size}" is no size.', 'Say "512x512", for example, or "auto".', "size"
        )
    return int(width), int(height)


def with_quality(service: Service, claims: Claims, wish: Wish, asked: JobRequest) -> JobRequest:
    """The request with the sampler steps that the quality means for its model; never more than the tier allows."""
    times = STEPS_OF[wish.quality or "auto"]
    model = choose_requested_model(asked, service.door.models, service.door.upscaler)
    if times is None or isinstance(model, Refusal):  # admission finds the same fault and says it
        return asked
    budget = limits_of(claims.tier).step_budget
    return replace(asked, num_steps=max(1, round(min(budget, min(budget, model.default_steps) * times))))


async def pictures_of(service: Service, request: Request, wish: Wish, jobs: Sequence[Job]) -> ImagesAnswer:
    """The finished pictures; where there is none at all, why."""
    done = [job for job in jobs if job.state is JobState.SUCCEEDED]
    if not done:
        raise without_picture(jobs[0])
    images = [image for job in done for image in job.images]
    return ImagesAnswer(
        created=int(service.now().timestamp()),
        data=[await _as_asked(service, request, wish, image) for image in images],
        output_format=wish.form,
        quality=wish.quality or "auto",
        size=f"{images[0].width}x{images[0].height}",
        usage=usage_of(done),
    )


async def _as_asked(service: Service, request: Request, wish: Wish, image: Image) -> OpenAIImage:
    if wish.response_format == "url":
        name = f"{image.webp}.webp" if wish.form == "webp" else f"{image.png}.png"
        return OpenAIImage(url=f"{service.public_url or str(request.base_url).rstrip('/')}/i/{name}")
    is_stored = wish.form == "webp" and wish.output_compression is None
    key = image_key(image.webp, "webp") if is_stored else image_key(image.png, "png")
    data = await service.desk.objects.get(key)
    if data is None:
        raise Answer(404, "image_not_found", GATEWAY_CODES["image_not_found"], "It was deleted meanwhile; draw anew.")
    if not is_stored and wish.form != "png":
        quality = 100 if wish.output_compression is None else wish.output_compression
        data = await asyncio.to_thread(converted, data, wish.form, quality)
    return OpenAIImage(b64_json=(await asyncio.to_thread(b64encode, data)).decode("ascii"))


def usage_of(jobs: Sequence[Job]) -> Usage:
    words = sum(len(f"{job.parameters.prompt} {job.parameters.negative_prompt}".split()) for job in jobs)
    drawn = sum(ceil(job.parameters.cost * 1e6 / TOKEN_STEP_PX) for job in jobs)
    return Usage(
        input_tokens=words,
        input_tokens_details=InputDetails(text_tokens=words, image_tokens=0),
        output_tokens=drawn,
        total_tokens=words + drawn,
    )
