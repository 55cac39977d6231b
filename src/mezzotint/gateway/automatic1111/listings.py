"""The lists that front ends of the AUTOMATIC1111 API read at their start; empty for parts that no model here has."""

import os

from fastapi import APIRouter

from mezzotint.gateway.automatic1111.auth import BasicCallerClaims
from mezzotint.gateway.automatic1111.errors import SdapiRoute
from mezzotint.gateway.automatic1111.samplers import list_schedulers
from mezzotint.gateway.automatic1111.schemas import (
    NO_UPSCALER,
    NamedItem,
    SdEmbeddings,
    SdLora,
    SdMemory,
    SdScheduler,
    SdScripts,
    SdUpscaler,
    describe_sdapi_errors,
)
from mezzotint.gateway.dependencies import ServiceDep
from mezzotint.policy.admission.styles import list_usable_styles

router = APIRouter(
    prefix="/sdapi/v1",
    tags=["automatic1111"],
    route_class=SdapiRoute,
    responses=describe_sdapi_errors(401, 403, 429, 503),
)
MAX_SCALE = 4.0
EMPTY = {
    "latent-upscale-modes": "list_latent_upscale_modes",
    "sd-vae": "list_vaes",
    "sd-modules": "list_modules",
    "hypernetworks": "list_hypernetworks",
    "face-restorers": "list_face_restorers",
    "realesrgan-models": "list_realesrgan_models",
    "prompt-styles": "list_prompt_styles",
    "script-info": "list_script_info",
    "extensions": "list_extensions",
}
REFRESHED = {name: f"refresh_{name}" for name in ("checkpoints", "vae", "embeddings", "loras")}


@router.get("/schedulers")
async def list_schedules(service: ServiceDep, claims: BasicCallerClaims) -> list[SdScheduler]:
    """The schedules that a sampler of the model has."""
    return list_schedulers(service.admission.model.samplers)


@router.get("/upscalers")
async def list_upscalers(service: ServiceDep, claims: BasicCallerClaims) -> list[SdUpscaler]:
    """The names that extra-single-image takes as `upscaler_1`."""
    names = [NO_UPSCALER, *filter(None, [service.admission.upscaler])]
    return [SdUpscaler(name=name, scale=MAX_SCALE) for name in names]


@router.get("/loras")
async def list_loras(service: ServiceDep, claims: BasicCallerClaims) -> list[SdLora]:
    """The styles that the caller may ask for as `<lora:NAME:WEIGHT>` in a prompt."""
    return [
        SdLora(
            name=style.name,
            alias=style.name,
            path="",
            metadata={
                "about": style.about,
                "models": ", ".join(style.models),
                "trigger_words": ", ".join(style.trigger_words),
                "license": style.license,
                "sha256": style.sha256,
            },
        )
        for style in list_usable_styles(service.admission.styles, claims.tier)
    ]


@router.get("/scripts")
async def list_scripts(claims: BasicCallerClaims) -> SdScripts:
    return SdScripts(txt2img=[], img2img=[])


@router.get("/embeddings")
async def list_embeddings(service: ServiceDep, claims: BasicCallerClaims) -> SdEmbeddings:
    """The embeddings of the default model, by the words that call them."""
    found = {one.name: NamedItem(name=one.name) for one in service.admission.model.embeddings}
    return SdEmbeddings(loaded=found, skipped={})


@router.get("/cmd-flags")
async def read_cmd_flags(claims: BasicCallerClaims) -> dict[str, bool]:
    """The flags of AUTOMATIC1111 that hold here."""
    return {"api": True, "nowebui": True, "lowvram": False, "medvram": False}


@router.get("/memory")
async def read_memory(claims: BasicCallerClaims) -> SdMemory:
    """The main memory of the gateway's machine, where the system tells it."""
    ram: dict[str, float | str]
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
        ram = {"free": free, "used": total - free, "total": total}
    except (AttributeError, ValueError, OSError) as error:  # not every system has it
        ram = {"error": str(error)}
    return SdMemory(ram=ram, cuda={"error": "the process that answers has no device"})


async def list_nothing(claims: BasicCallerClaims) -> list[NamedItem]:
    return []


async def refresh_nothing(claims: BasicCallerClaims) -> None:
    """Does nothing: the server itself sees to it that its lists are true."""


for _path, _name in EMPTY.items():
    router.add_api_route(f"/{_path}", list_nothing, name=_name, summary="Always empty here")
for _path, _name in REFRESHED.items():
    router.add_api_route(f"/refresh-{_path}", refresh_nothing, name=_name, methods=["POST"], summary="Nothing to do")
