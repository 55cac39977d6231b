"""Small routes: health, the caller's claims, the model, and the development sign-in."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from mezzotint import __version__
from mezzotint.domain.errors import StorageFull, StorageUnavailable
from mezzotint.domain.ids import TenantId
from mezzotint.domain.model import Speed
from mezzotint.domain.refusal import Refusal
from mezzotint.domain.task import Task
from mezzotint.domain.tier import Tier
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.errors import ApiError, translate_refusal
from mezzotint.gateway.network.addresses import is_loopback
from mezzotint.gateway.network.hosts import names_this_machine
from mezzotint.gateway.schemas import (
    Health,
    Me,
    ModelHealth,
    Readiness,
    Session,
    describe_caller,
    describe_errors,
)
from mezzotint.gateway.service import Service
from mezzotint.policy.admission.model_choice import choose_model

router = APIRouter(tags=["about"])
CHECK_S = 2.0
DEV_TENANT = TenantId("dev")
DEV_LIFETIME = timedelta(days=30)
PROXY_HEADERS = {"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"}
"""Headers that proxies add, beside all that begin with `x-forwarded`."""
LOAD_ANOTHER = "mezzotint serve --model stabilityai/stable-diffusion-xl-base-1.0"


class ModelView(BaseModel):
    name: str
    about: str
    knows: list[str]
    examples: list[str]
    native_width: int
    native_height: int
    grid_px: int
    min_px: int
    max_px: int
    default_steps: int
    tasks: list[Task]
    samplers: list[str]
    default_sampler: str | None = Field(description="of jobs that name none; null: the model's own")
    eta_samplers: list[str | None] = Field(description="samplers that heed `eta` of a job; null: the model's own")
    rescale_tasks: list[Task] = Field(description="tasks that heed `guidance_rescale` of a job")
    max_clip_skip: int = Field(description="the most that `clip_skip` of a job may be; 0: it is refused")
    image_guidance: float | None = Field(
        description="the usual `image_guidance` of an edit by this model; null: it takes none"
    )
    speeds: list[Speed] = Field(description="what `speed` of a job takes, as far as its tier may ask for it")
    embeddings: list[str] = Field(description="words that call embeddings (textual inversion) in prompts")
    license: str
    load_another: str


@router.get("/healthz")
async def check_health(service: ServiceDep) -> Health:
    """Answers as soon as the port is open; `status` is `ok` once the model is loaded."""
    is_ready = service.is_ready()
    name = service.admission.model.name
    model = ModelHealth(name=name, state="ready" if is_ready else "loading", share=service.share_read(name))
    return Health(
        status="ok" if is_ready else "starting",
        version=__version__,
        region=service.region,
        model=model,
        can_sign_up=service.accounts.can_sign_up,
        has_provider=service.accounts.oidc_sign_in is not None,
    )


@router.get("/readyz", responses=describe_errors(503))
async def check_readiness(service: ServiceDep) -> Readiness:
    """200 while this process can do its work; 503 `not_ready` says by its hint what is missing. For load balancers."""
    missing = await list_missing(service)
    if missing:
        raise ApiError("not_ready", hint=f"Missing: {'; '.join(missing)}.")
    return Readiness(status="ready")


async def list_missing(service: Service) -> list[str]:
    """The reasons why the process cannot do its work."""
    missing = [f"the background task {name!r} keeps failing" for name in service.background.failing]
    if not service.is_ready():
        missing.append("models are being loaded")
    if service.is_drained():
        missing.append("the worker is drained")
    if service.is_stopping():
        missing.append("the server is stopping")
    missing += await asyncio.gather(
        _find_fault(service.check_database, "the database"), _find_fault(service.check_storage, "the object store")
    )
    return [fault for fault in missing if fault]


async def _find_fault(check: Callable[[], Awaitable[None]], what: str) -> str:
    """The fault that a check finds; empty: none."""
    try:
        async with asyncio.timeout(CHECK_S):
            await check()
    except StorageFull as error:
        return str(error)
    except (OSError, StorageUnavailable):  # a timeout is the first
        return f"{what} does not answer"
    return ""


@router.get("/v1/me", responses=describe_errors(401))
async def read_caller(claims: CallerClaims) -> Me:
    """The tenant, tier and scopes of your credential."""
    return describe_caller(claims)


@router.get("/v1/model", responses=describe_errors(404, 422))
async def describe_model(
    service: ServiceDep,
    name: Annotated[str | None, Query(max_length=200, description="one of GET /v1/models; default: the first")] = None,
) -> ModelView:
    """A model that draws, and what it knows."""
    chosen = choose_model(service.admission.models, name, Task.GENERATE, "")
    if isinstance(chosen, Refusal):
        raise translate_refusal(replace(chosen, param="name"))
    made = {"load_another": LOAD_ANOTHER, "speeds": chosen.forecast.speeds}
    made["embeddings"] = [one.name for one in chosen.embeddings]
    heeded = ("eta_samplers", "rescale_tasks", "max_clip_skip", "image_guidance")
    made |= {name: getattr(chosen.options, name) for name in heeded}
    told = {name: getattr(chosen, name) for name in ModelView.model_fields if name not in made}
    return ModelView.model_validate({**made, **told}, from_attributes=True)


@router.post("/v1/session", responses=describe_errors(403))
async def create_session(request: Request, service: ServiceDep) -> Session:
    """With --dev, a token for the page of this very machine; otherwise 403."""
    if not (service.is_dev and is_local(request)):
        hint = "Paste a token; `mezzotint token --data DIR --tenant NAME --tier free` prints one."
        raise ApiError("sign_in_required", hint=hint)
    now = service.now()
    token = service.issuer.issue(DEV_TENANT, Tier.PRO, now, DEV_LIFETIME)
    return Session(token=token, expires_at=now + DEV_LIFETIME)


def is_local(request: Request) -> bool:
    """Say whether a page of this machine asks: loopback peer and Host (no DNS rebinding), no proxy, same origin."""
    peer = request.client.host if request.client else ""
    is_forwarded = any(name in PROXY_HEADERS or name.startswith("x-forwarded") for name in request.headers)
    is_same_origin = request.headers.get("sec-fetch-site", "same-origin") in {"same-origin", "none"}
    host = request.headers.get("host", "")
    return is_loopback(peer) and names_this_machine(host) and is_same_origin and not is_forwarded
