"""txt2img of the AUTOMATIC1111 API: each picture is a job like any other, and the request waits for them."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from mezzotint.domain.claims import Claims
from mezzotint.domain.drawing.recipe import Recipe
from mezzotint.domain.drawing.sampler import find_sampler
from mezzotint.domain.job import Job
from mezzotint.domain.model import ModelInfo
from mezzotint.domain.refusal import Refusal
from mezzotint.gateway.automatic1111.auth import BasicCallerClaims
from mezzotint.gateway.automatic1111.errors import SdapiRoute
from mezzotint.gateway.automatic1111.progress import get_waiting_jobs
from mezzotint.gateway.automatic1111.samplers import choose_sampler
from mezzotint.gateway.automatic1111.schemas import NO_SEED, Drawn, Txt2Img, describe_sdapi_errors
from mezzotint.gateway.bodies.large_bodies import encode_base64, respond_with_list
from mezzotint.gateway.dependencies import ServiceDep
from mezzotint.gateway.errors import translate_refusal, unknown_model_error, unsupported_error
from mezzotint.gateway.image_requests import describe_cut_texts, finish_file, read_image, submit_and_wait
from mezzotint.gateway.service import Service
from mezzotint.media.metadata import SOFTWARE
from mezzotint.media.metadata.infotext import format_infotext
from mezzotint.policy.admission.lora_tags import take_tags
from mezzotint.policy.admission.request import JobRequest

router = APIRouter(
    prefix="/sdapi/v1",
    tags=["automatic1111"],
    route_class=SdapiRoute,
    responses=describe_sdapi_errors(400, 401, 403, 404, 409, 413, 422, 429, 500, 503, 504),
)
CLIP_SKIP = "CLIP_stop_at_last_layers"
SWITCHES = ("styles", "subseed_strength", "restore_faces", "tiling", "enable_hr", "script_name")
"""Fields that would change the picture and that no model here has; refused where they are switched on."""


@router.post("/txt2img", response_model=Drawn)
async def draw_txt2img(body: Txt2Img, request: Request, service: ServiceDep, claims: BasicCallerClaims) -> Response:
    """Pictures from words, as AUTOMATIC1111's web UI gives them."""
    check_supported(service, body)
    return await respond_with_list(
        await generate_images(service, request, claims, body, to_request(service, body)), "images"
    )


async def generate_images(
    service: Service, request: Request, claims: Claims, body: Txt2Img, job_request: JobRequest
) -> Drawn:
    """Draw and wait."""
    track_jobs = partial(get_waiting_jobs(request).track, claims)
    jobs, _ = await submit_and_wait(service, request, claims, job_request, track_jobs=track_jobs)
    images = [await _encode_image(service, job) for job in jobs if body.send_images]
    return Drawn(
        images=images,
        parameters=body.model_dump(exclude={"init_images", "mask"}),
        info=json.dumps(_describe_images(body, jobs, _choose_sampler(find_model(service, body), body)[1])),
    )


def to_request(service: Service, body: Txt2Img) -> JobRequest:
    model = find_model(service, body)
    taken = take_tags(body.prompt)
    if isinstance(taken, Refusal):
        raise translate_refusal(taken)
    prompt, styles = taken
    sampler = _choose_sampler(model, body)[0]
    known = find_sampler(sampler or model.default_sampler or "")
    return JobRequest(
        prompt=prompt,
        styles=styles,
        model=model.name,
        # its clients send one for all samplers, which the web UI reads for some of them
        eta=body.eta if (known.name if known else None) in model.options.eta_samplers else None,
        clip_skip=_read_clip_skip(body, model),
        negative_prompt=body.negative_prompt or None,
        seed=None if body.seed == NO_SEED else body.seed,
        num_steps=body.steps,
        # its clients always send one; a model that draws without guidance has no use for it
        guidance_scale=body.cfg_scale if model.default_guidance > 1 else None,
        width=body.width,
        height=body.height,
        sampler=sampler,
        repeat=body.batch_size * body.n_iter,
        is_plain=True,
    )


def check_supported(service: Service, body: Txt2Img) -> None:
    """Refuse options that are switched on and not implemented. Answers 422, 404 for a model that is not served."""
    for name in SWITCHES:
        if getattr(body, name):
            message = f'"{name}" is not supported by this model.'
            raise unsupported_error(name, message, "Leave it out, or switch it off.")
    for script, values in (body.alwayson_scripts or {}).items():
        if _is_switched_on(values):
            message = f'The script "{script[:80]}" is not supported.'
            raise unsupported_error("alwayson_scripts", message, 'Leave it out, or switch it off: "args": [].')
    find_model(service, body)


def find_model(service: Service, body: Txt2Img) -> ModelInfo:
    """The model of a request's `override_settings`, or the default. Answers 404 for one that is not served."""
    wanted = (body.override_settings or {}).get("sd_model_checkpoint")
    served = {name: model for model in service.admission.models for name in (model.name, *model.aliases)}
    if wanted in (None, ""):
        return service.admission.model
    if not isinstance(wanted, str) or wanted not in served:
        raise unknown_model_error(wanted, f"Served: {', '.join(served)}.", param="sd_model_checkpoint")
    return served[wanted]


def check_checkpoint(service: Service, wanted: object) -> None:
    """Answers 404 for another model than the default: one caller cannot switch it for all."""
    model = service.admission.model.name
    if wanted not in (None, "", model):
        hint = f"The default is {model}; others go into a request's override_settings."
        raise unknown_model_error(wanted, hint, param="sd_model_checkpoint")


def _is_switched_on(script: object) -> bool:
    """Say whether a script of `alwayson_scripts` would do something.

    Front ends send those that are off too: without arguments, with false as the first, or with units that are not
    enabled.
    """
    arguments = script.get("args", []) if isinstance(script, dict) else script
    if not isinstance(arguments, list):
        return bool(arguments)
    units = [one for one in arguments if isinstance(one, dict)]
    if units and len(units) == len(arguments):
        return any(unit.get("enabled", True) for unit in units)
    return bool(arguments) and arguments[0] not in (False, None)


def _choose_sampler(model: ModelInfo, body: Txt2Img) -> tuple[str | None, str]:
    return choose_sampler(body.sampler_name or body.sampler_index or "", body.scheduler or "", model.samplers)


def _read_clip_skip(body: Txt2Img, model: ModelInfo) -> int | None:
    """The web UI's option; clients send the layer that is read anyway (1) to every model. Answers 422."""
    wanted = (body.override_settings or {}).get(CLIP_SKIP)
    if wanted is None or (wanted == 1 and not model.options.max_clip_skip):
        return None
    if isinstance(wanted, bool) or not (isinstance(wanted, int | float) and float(wanted).is_integer()):
        raise unsupported_error("override_settings", f"{CLIP_SKIP} is a whole number.", "Say 1 or more.")
    return int(wanted)


async def _encode_image(service: Service, job: Job) -> str:
    """PNG in base64, with the recipe: the caller knows it anyway."""
    png = await read_image(service, job.images[0].png, "png")
    return await encode_base64(await finish_file(service, job, png, png))


def _describe_images(body: Txt2Img, jobs: Sequence[Job], comment: str) -> dict[str, Any]:
    """The `info` that clients read back. comment: what was not done as it was asked."""
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
        "denoising_strength": first.strength,
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": [format_infotext(Recipe.of_job(job, SOFTWARE)) for job in jobs],
        "styles": [],
        "job_timestamp": jobs[0].created_at.strftime("%Y%m%d%H%M%S"),
        "comments": "\n".join([*([comment] if comment else []), *describe_cut_texts(jobs)]),
    }
