"""The JSON of the API. The page's TypeScript types are generated from these."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from mezzotint.domain.claims import Claims, Scope, Via
from mezzotint.domain.drawing.options import MAX_IMAGE_GUIDANCE, MIN_IMAGE_GUIDANCE
from mezzotint.domain.job import Image, Job, JobState
from mezzotint.domain.model import Speed
from mezzotint.domain.style import MAX_STYLES
from mezzotint.domain.task import Task
from mezzotint.domain.tier import Tier, limits_of
from mezzotint.gateway.network.path_prefix import link
from mezzotint.gateway.style_schemas import STYLES_DESCRIPTION, JobStyle, JobWeights, StyleRequest
from mezzotint.policy.admission.permutations import MAX_JOBS
from mezzotint.policy.visibility import sees_tenant
from mezzotint.provenance import Validity

POSITIVE: dict[str, JsonValue] = {"minimum": 1}
"""Bounds in the schema alone: admission checks the values, with words of its own."""


class NewJob(BaseModel):
    """A request to draw. Parameters can also be written in the prompt: `--ar 3:2 --seed 7 --no text --steps 20`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: str = Field(description="may be empty for an upscale or a variation")
    model: str | None = Field(None, max_length=200, description="a name of GET /v1/models; default: the first")
    negative_prompt: str | None = Field(None, description="what must not be in the picture")
    seed: int | None = Field(
        None,
        description="taken modulo 2^32; same seed, same picture; default: a new one",
        json_schema_extra={"minimum": 0, "maximum": 2**64 - 1},
    )
    num_steps: int | None = Field(
        None, description="sampler steps, up to the tier's budget", json_schema_extra=POSITIVE
    )
    width: int | None = Field(None, description="px; give both or neither", json_schema_extra=POSITIVE)
    height: int | None = Field(None, description="px; give both or neither", json_schema_extra=POSITIVE)
    guidance_scale: float | None = Field(None, description="how hard the words pull; default: the model's own")
    task: Task = Field(Task.GENERATE, strict=False, description="all but generate begin with a source")
    source: str | None = Field(
        None, max_length=80, description="hash of a picture of yours, id of a job of yours, or of an upload"
    )
    mask: str | None = Field(None, max_length=80, description="inpaint: an upload, white where to redraw")
    strength: float | None = Field(
        None,
        description="share of the steps that is run on the source",
        allow_inf_nan=False,
        json_schema_extra={"exclusiveMinimum": 0, "maximum": 1},
    )
    scale: int | None = Field(
        None, description="upscale: 2 or 4; default 2", json_schema_extra={"minimum": 2, "maximum": 4}
    )
    zoom: float | None = Field(
        None, description="outpaint: how much larger the canvas is, up to 4; default 1.5", allow_inf_nan=False
    )
    left: int | None = Field(None, description="outpaint: px to add on this side", json_schema_extra={"minimum": 0})
    top: int | None = Field(None, description="outpaint: px to add on this side", json_schema_extra={"minimum": 0})
    right: int | None = Field(None, description="outpaint: px to add on this side", json_schema_extra={"minimum": 0})
    bottom: int | None = Field(None, description="outpaint: px to add on this side", json_schema_extra={"minimum": 0})
    sampler: str | None = Field(None, description="one of the model's `samplers`; default: the model's own")
    eta: float | None = Field(
        None,
        description="noise that each step of DDIM adds, of what DDPM adds; default: the model's, else 0",
        allow_inf_nan=False,
        json_schema_extra={"minimum": 0, "maximum": 1},
    )
    guidance_rescale: float | None = Field(
        None,
        description="how much of the contrast that guidance adds is taken back; default: the model's, else 0",
        allow_inf_nan=False,
        json_schema_extra={"minimum": 0, "maximum": 1},
    )
    clip_skip: int | None = Field(
        None,
        description="layer of the text encoders that is read, from the end: 1 the last; default: the usual one",
        json_schema_extra=POSITIVE,
    )
    image_guidance: float | None = Field(
        None,
        description="edit: how near the picture stays to its source; default: the model's usual one",
        allow_inf_nan=False,
        json_schema_extra={"minimum": MIN_IMAGE_GUIDANCE, "maximum": MAX_IMAGE_GUIDANCE},
    )
    styles: list[StyleRequest] = Field(
        default_factory=list, description=STYLES_DESCRIPTION, json_schema_extra={"maxItems": MAX_STYLES}
    )
    speed: Speed | None = Field(
        None,
        strict=False,
        description="how many steps may be foretold instead of computed; default: as the model and the tier have it, "
        "else exact",
    )
    repeat: int | None = Field(None, ge=1, le=MAX_JOBS, description="so many jobs, each with a seed of its own")
    new: bool = Field(
        False,
        description="a picture drawn for this request: without a fixed seed another one though the same request is "
        "under way, with one never a stored picture",
    )


class JobParameters(BaseModel):
    prompt: str
    negative_prompt: str
    seed: int
    num_steps: int
    guidance_scale: float
    width: int
    height: int
    task: Task
    source: str | None = Field(description="hash of the PNG that it begins with")
    mask: str | None
    strength: float | None
    scale: int | None
    sampler: str | None = Field(description="null: the model's own")
    stop: int | None = Field(description="percent of the steps after which the run ends; null: none")
    eta: float
    guidance_rescale: float
    clip_skip: int | None = Field(description="null: the layer that is read usually")
    image_guidance: float | None = Field(description="null: not an edit, or by a model that takes none")
    styles: list[JobStyle]
    vae: JobWeights | None = Field(description="the autoencoder in place of the model's own")
    embeddings: list[JobWeights] = Field(description="those that the texts call")
    speed: Speed


class JobImage(BaseModel):
    url: str = Field(description="WebP; never changes, may be cached for ever")
    png_url: str = Field(description="PNG, the exact pixels")
    seed: int
    width: int
    height: int
    verdict: str = Field(
        description="of the image filter: `allow`, `blur` (this picture is blurred, and no other is kept), or `review` "
        "(an operator looked at it first)"
    )

    @classmethod
    def of(cls, image: Image, **more: Any) -> Self:
        """more: fields of a subclass."""
        return cls(
            url=link(f"/i/{image.webp}.webp"),
            png_url=link(f"/i/{image.png}.png"),
            seed=image.seed,
            width=image.width,
            height=image.height,
            verdict=image.verdict,
            **more,
        )


class JobFailure(BaseModel):
    code: str
    message: str
    hint: str


class JobTimings(BaseModel):
    """Seconds in each phase; null where it was not reached."""

    queue_s: float | None
    load_s: float | None
    denoise_s: float | None
    decode_s: float | None
    filter_s: float | None
    upload_s: float | None


class JobView(BaseModel):
    id: str
    state: JobState
    prompt: str = Field(description="as it was sent")
    parameters: JobParameters
    model: str
    step: int
    num_steps: int
    position: int | None = Field(description="queued jobs of the same lane ahead of it; null unless queued")
    estimated_wait_s: float | None = Field(
        None, description="seconds until it starts, from how fast jobs end now; null unless queued or while none end"
    )
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    images: list[JobImage]
    error: JobFailure | None
    timings: JobTimings
    prompt_read: str | None = Field(
        None,
        description="what the model read of the prompt, where its text encoder cut it; null: all, or not drawn yet",
    )
    negative_prompt_read: str | None = Field(None, description="the same of the negative prompt")
    batch: str | None = Field(description="id of the first job of the same request, where it made several")
    owner: str | None = Field(description="`owner` of GET /v1/me for who made it; null: the whole tenant's")
    reused: bool = Field(False, description="whether it was answered with the stored picture of an equal request")
    reused_from: str | None = Field(None, description="id of the job that drew the picture")
    num_passes: int = Field(0, description="calls of the denoiser that were computed, once it succeeded")
    num_forecast: int = Field(0, description="calls of the denoiser that were foretold")
    region: str | None = Field(None, description="of the gateway that took it, whose workers draw it; null: none")

    @classmethod
    def of(cls, job: Job, position: int | None = None, estimated_wait_s: float | None = None) -> "JobView":
        parameters = job.parameters
        return cls(
            id=job.id,
            state=job.state,
            prompt=job.raw_prompt,
            parameters=JobParameters.model_validate(parameters, from_attributes=True),
            model=job.model,
            step=job.step,
            num_steps=parameters.num_steps,
            position=position,
            estimated_wait_s=estimated_wait_s,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            images=[JobImage.of(image) for image in job.images],
            error=JobFailure.model_validate(job.error, from_attributes=True) if job.error else None,
            timings=JobTimings.model_validate(job.timings, from_attributes=True),
            prompt_read=job.cut_texts.prompt,
            negative_prompt_read=job.cut_texts.negative_prompt,
            batch=job.batch,
            owner=job.owner or None,
            reused=job.reused_from is not None,
            reused_from=job.reused_from,
            num_passes=job.num_passes,
            num_forecast=job.num_forecast,
            region=job.region or None,
        )


class Accepted(JobView):
    """The first of the jobs that the request made; `jobs` are all of them, in the order of the prompt."""

    jobs: list[JobView]


class WebhookMessage(BaseModel):
    """The body of a webhook's message."""

    type: str = Field(
        description="job.succeeded, job.blocked, job.failed, job.cancelled or job.expired",
        pattern=r"^job\.(succeeded|blocked|failed|cancelled|expired)$",
    )
    timestamp: datetime
    data: JobView


class JobPage(BaseModel):
    jobs: list[JobView]
    next_cursor: str | None


class HistoryImage(JobImage):
    job_id: str
    prompt: str
    created_at: datetime
    owner: str | None = Field(description="as of jobs")


class ImagePage(BaseModel):
    images: list[HistoryImage]
    next_cursor: str | None


class ImageOrigin(BaseModel):
    """A picture's content credentials, as its file states them."""

    png: str = Field(description="SHA-256 of the PNG that was read")
    validity: Validity = Field(
        description="`trusted`: they hold, and an authority that this server trusts vouches for the signer; `valid`: "
        "they hold; `invalid`: the file was changed; `absent`: it has none"
    )
    problems: list[str] = Field(description="what does not hold, in C2PA's codes")
    signer: str | None
    issuer: str | None
    software: str | None
    made_at: str | None
    actions: list[str] = Field(description="such as c2pa.created")
    digital_source: str | None = Field(description="IPTC's word for the kind of picture")
    job: str | None
    model: str | None
    model_sha256: str | None = Field(description="of the model's weights")
    source_sha256: str | None = Field(description="of the picture that an edit began with")
    styles: list[JobStyle] = Field(description="the styles (LoRA) that it was drawn with")
    recipe: dict[str, JsonValue] | None = Field(description="prompt, seed and steps, where the tenant shows them")


class ImageOrigins(BaseModel):
    images: list[ImageOrigin]


class Me(BaseModel):
    tenant: str
    tier: Tier
    step_budget: int
    max_open_jobs: int
    user: str | None = Field(description="null when a key or a token speaks for the tenant")
    owner: str = Field(description="what you make belongs to it")
    sees_tenant: bool = Field(description="whether lists take `of=tenant`: what others of the tenant made")
    scopes: list[Scope]
    via: Via
    expires_at: datetime | None = Field(description="when this way of signing in ends")


def describe_caller(claims: Claims) -> Me:
    limits = limits_of(claims.tier)
    return Me(
        tenant=claims.tenant,
        tier=claims.tier,
        step_budget=limits.step_budget,
        max_open_jobs=limits.max_open_jobs,
        user=claims.user,
        owner=claims.owner,
        sees_tenant=sees_tenant(claims),
        scopes=sorted(claims.scopes),
        via=claims.via,
        expires_at=claims.expires_at,
    )


class UploadView(BaseModel):
    id: str = Field(description="what `source` or `mask` of a job takes")
    width: int
    height: int
    expires_at: datetime = Field(description="when it goes unless a job uses it meanwhile")


class Session(BaseModel):
    token: str
    expires_at: datetime


class ModelHealth(BaseModel):
    name: str
    state: Literal["loading", "ready"]
    share: float | None = Field(description="of its weights, how much is read; null unless it is being loaded")


class Health(BaseModel):
    status: Literal["starting", "ok"]
    version: str
    region: str = Field(description="the label of the place where this gateway runs; empty: none")
    model: ModelHealth
    can_sign_up: bool = Field(description="whether strangers may make an account")
    has_provider: bool = Field(description="whether people sign in at the page through an OIDC provider")


class Readiness(BaseModel):
    status: str = Field(description="ready")


class ErrorBody(BaseModel):
    code: str
    message: str
    hint: str
    param: str | None = None
    refusal_id: str | None = Field(None, description="of a refusal for safety: what an appeal names")


class Error(BaseModel):
    error: ErrorBody


MEANINGS = {
    400: "the body is not JSON in UTF-8",
    401: "no valid key, token or session",
    403: "not allowed to this caller, tier or server",
    404: "no such thing, or not yours",
    408: "the body comes too slowly",
    409: "it meets something that is there already",
    410: "it was taken down",
    413: "the body is too large",
    414: "the address is too long",
    422: "something in the request cannot be used",
    429: "too much at once; see Retry-After",
    500: "the server failed",
    504: "it takes longer than a request may; the job goes on",
    503: "the database or the object store does not answer, or the server is full",
}


def describe_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route, for its description."""
    return {status: {"model": Error, "description": MEANINGS[status]} for status in statuses}
