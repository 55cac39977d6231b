"""txt2img of the AUTOMATIC1111 API: each picture is a job like any other, and the request waits for them."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from mezzotint.actions.finish import image_key
from mezzotint.actions.submit import Repeated, submit_once
from mezzotint.domain.claims import Claims
from mezzotint.domain.job import Job, JobState
from mezzotint.domain.model import ModelInfo
from mezzotint.domain.refusal import Refusal
from mezzotint.gateway.automatic1111.auth import BasicSignedIn
from mezzotint.gateway.automatic1111.errors import SdapiRoute
from mezzotint.gateway.automatic1111.progress import under_way_of
from mezzotint.gateway.automatic1111.schemas import AUTOMATIC, NO_SEED, Drawn, Txt2Img, sdapi_answers
from mezzotint.gateway.bodies.large_bodies import answer_with_list
from mezzotint.gateway.errors import GATEWAY_CODES, Answer, refused
from mezzotint.gateway.idempotency import once_of
from mezzotint.gateway.service import Service, The
from mezzotint.gateway.streams.wait import WAIT_S, ended, without_picture
from mezzotint.policy.admission.request import JobRequest

router = APIRouter(
    prefix="/sdapi/v1",
    tags=["automatic1111"],
    route_class=SdapiRoute,
    responses=sdapi_answers(400, 401, 403, 404, 409, 413, 422, 429, 500, 503, 504),
)
SWITCHES = ("styles", "subseed_strength", "restore_faces", "tiling", "enable_hr", "script_name", "alwayson_scripts")
"""Fields that would change the picture and that no model here has; refused where they are switched on."""


@router.post("/txt2img", response_model=Drawn)
async def txt2img(body: Txt2Img, request: Request, service: The, claims: BasicSignedIn) -> Response:
    """Pictures from words, as AUTOMATIC1111's web UI gives them."""
    check(service, body)
    return await answer_with_list(await drawn(service, request, claims, body, asked_by(service, body)), "images")


async def drawn(service: Service, request: Request, claims: Claims, body: Txt2Img, asked: JobRequest) -> Drawn:
    """The finished pictures, when all have ended; where there is none at all, why."""
    async with service.open_stream(claims):
        over = await _ended(service, request, claims, asked)
    done = [job for job in over if job.state is JobState.SUCCEEDED]
    if not done:
        raise without_picture(over[0])
    images = [await _png(service, job) for job in done] if body.send_images else []
    return Drawn(
        images=images, parameters=body.model_dump(exclude={"init_images", "mask"}), info=json.dumps(_info(body, done))
    )


async def _ended(service: Service, request: Request, claims: Claims, asked: JobRequest) -> Sequence[Job]:
    """Submit the request, and wait until its jobs have ended."""
    # its clients mark no retries: without a seed each request means another picture
    outcome = await submit_once(
        service.door, asked, claims, service.now(), once_of(request, asked, service, is_new=True)
    )
    if isinstance(outcome, Refusal):
        raise refused(outcome)
    jobs = outcome.jobs if isinstance(outcome, Repeated) else outcome
    with under_way_of(request).waiting(claims.tenant, jobs):
        return await asyncio.gather(*(ended(service.desk, job, WAIT_S) for job in jobs))


def asked_by(service: Service, body: Txt2Img) -> JobRequest:
    model = model_of(service, body)
    return JobRequest(
        prompt=body.prompt,
        model=model.name,
        negative_prompt=body.negative_prompt or None,
        seed=None if body.seed == NO_SEED else body.seed,
        num_steps=body.steps,
        # its clients always send one; a model that draws without guidance has no use for it
        guidance_scale=body.cfg_scale if model.default_guidance > 1 else None,
        width=body.width,
        height=body.height,
        sampler=_sampler(body),
        repeat=body.batch_size * body.n_iter,
        is_plain=True,
    )


def check(service: Service, body: Txt2Img) -> None:
    """Answer what is switched on and cannot be done."""
    for name in SWITCHES:
        if getattr(body, name):
            hint = "Leave it out, or switch it off."
            raise Answer(422, "parameter_unsupported", f'"{name}" is not supported by this model.', hint, name)
    model_of(service, body)


def model_of(service: Service, body: Txt2Img) -> ModelInfo:
    """The model of a request's `override_settings`, or the default. Answers 404 for one that is not served."""
    wanted = (body.override_settings or {}).get("sd_model_checkpoint")
    served = {model.name: model for model in service.door.models}
    if wanted in (None, ""):
        return service.door.model
    if not isinstance(wanted, str) or wanted not in served:
        raise unknown_model(wanted, f"Served: {', '.join(served)}.")
    return served[wanted]


def check_checkpoint(service: Service, wanted: object) -> None:
    """Answer 404 for another model than the default: nobody switches it for all."""
    model = service.door.model.name
    if wanted not in (None, "", model):
        raise unknown_model(wanted, f"The default is {model}; others go into a request's override_settings.")


def unknown_model(wanted: object, hint: str) -> Answer:
    return Answer(404, "model_not_found", f'There is no model "{str(wanted)[:80]}".', hint, "sd_model_checkpoint")


def _sampler(body: Txt2Img) -> str | None:
    name = body.sampler_name or body.sampler_index
    schedule = (body.scheduler or "").lower()
    if schedule in AUTOMATIC:
        return name or None
    if not name or schedule != "karras":
        hint = "Say automatic, or karras with one of the samplers that have it."
        raise Answer(422, "parameter_unsupported", f'There is no schedule "{schedule[:40]}" here.', hint, "scheduler")
    return name if name.lower().endswith(" karras") else f"{name} Karras"


async def _png(service: Service, job: Job) -> str:
    data = await service.desk.objects.get(image_key(job.images[0].png, "png"))
    if data is None:
        raise Answer(404, "image_not_found", GATEWAY_CODES["image_not_found"], "It was deleted meanwhile; draw anew.")
    return (await asyncio.to_thread(b64encode, data)).decode("ascii")


def _info(body: Txt2Img, jobs: Sequence[Job]) -> dict[str, Any]:
    """What its clients read back of a picture."""
    first = jobs[0].parameters
    return {
        "prompt": first.prompt,
        "all_prompts": [job.parameters.prompt for job in jobs],
        "negative_prompt": first.negative_prompt,
        "all_negative_prompts": [job.parameters.negative_prompt for job in jobs],
        "seed": first.seed,
        "all_seeds": [job.parameters.seed for job in jobs],
        "width": first.width,
        "height": first.height,
        "sampler_name": first.sampler or "",
        "cfg_scale": first.guidance_scale,
        "steps": first.num_steps,
        "batch_size": body.batch_size,
        "sd_model_name": jobs[0].model,
        "infotexts": [_text(job) for job in jobs],
        "job_timestamp": jobs[0].created_at.strftime("%Y%m%d%H%M%S"),
    }


def _text(job: Job) -> str:
    one = job.parameters
    lines = [one.prompt, f"Negative prompt: {one.negative_prompt}"] if one.negative_prompt else [one.prompt]
    sampler = f" Sampler: {one.sampler}," if one.sampler else ""
    lines.append(
        f"Steps: {one.num_steps},{sampler} CFG scale: {one.guidance_scale:g}, Seed: {one.seed}, "
        f"Size: {one.width}x{one.height}, Model: {job.model}"
    )
    return "\n".join(lines)
