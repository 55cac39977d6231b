"""A job: what a user asked for, durable, in exactly one state.

The transition table is the only description of a job's life; `docs/states.md` is generated from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mezzotint.domain.drawing.named_weights import NamedWeights
from mezzotint.domain.errors import JobFault
from mezzotint.domain.ids import OF_TENANT, JobId, OwnerId, Sha256, TenantId, WorkerId
from mezzotint.domain.model import Speed
from mezzotint.domain.refusal import SafetyEvidence
from mezzotint.domain.safety.held_image import HeldImage
from mezzotint.domain.style import StyleChoice
from mezzotint.domain.task import Task
from mezzotint.domain.tier import Tier


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    BLOCKED = "blocked"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        return self not in OPEN


class ReuseScope(StrEnum):
    """The owners whose stored pictures may answer a job in the place of a new one: those that its asker sees."""

    OWN = "own"
    """Pictures of the asker, and those that belong to the whole tenant."""
    TENANT = "tenant"
    """Pictures of every member of the tenant."""


OPEN = (JobState.QUEUED, JobState.RUNNING)
"""States of jobs that count against their tenant's limit."""

TRANSITIONS: dict[JobState, dict[JobState, str]] = {
    JobState.QUEUED: {
        JobState.RUNNING: "a worker claims it under a lease",
        JobState.CANCELLED: "its owner cancels it",
        JobState.EXPIRED: "it waited longer than its tier allows",
    },
    JobState.RUNNING: {
        JobState.QUEUED: "the lease ended: a crash, a worker's fault, preemption or drain; its checkpoint is kept",
        JobState.SUCCEEDED: "its pictures are stored",
        JobState.BLOCKED: "the image filter refused a picture",
        JobState.FAILED: "it cannot be finished; the error says why",
        JobState.CANCELLED: "its owner cancels it",
    },
    JobState.SUCCEEDED: {JobState.BLOCKED: "an admin takes its pictures down"},
    JobState.BLOCKED: {JobState.SUCCEEDED: "the takedown of its pictures is undone, or an admin releases them"},
    JobState.FAILED: {JobState.QUEUED: "an admin retries the dead letter"},
    JobState.CANCELLED: {},
    JobState.EXPIRED: {},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Everything that decides the pixels. Same parameters, model and numerics: same picture.

    width, height: of the result, px. num_steps: sampler steps of a whole schedule. seed: of the initial noise.
    source: the PNG that the task begins with. mask: white where to redraw. strength: share of the schedule that is run
    on the source, 0..1. scale: of an upscale. left, top: where the source lies on an outpaint's canvas, px;
    source_width, source_height: its size there. sampler: None for the model's own. stop: percent of the steps, after
    which the run ends with what its sampler expects of the rest. eta: noise that DDIM steps add, 0..1.
    guidance_rescale: share of the contrast that guidance adds which is taken back, 0..1. clip_skip: which layer of the
    text encoders is read, counted from the end; None: the usual one. image_guidance: how near an edit stays to its
    source, where its model takes it. speed: as it was asked for; forecast: the bound of
    foretold steps that it means, see `ForecastPolicy`; None: every step is computed. styles: in the order
    of their names. vae: the autoencoder in place of the model's own. embeddings: those that its texts call.
    """

    prompt: str
    negative_prompt: str
    seed: int
    num_steps: int
    guidance_scale: float
    width: int
    height: int
    task: Task = Task.GENERATE
    source: Sha256 | None = None
    mask: Sha256 | None = None
    strength: float | None = None
    scale: int | None = None
    left: int | None = None
    top: int | None = None
    source_width: int | None = None
    source_height: int | None = None
    sampler: str | None = None
    stop: int | None = None
    eta: float = 0.0
    guidance_rescale: float = 0.0
    clip_skip: int | None = None
    image_guidance: float | None = None
    styles: tuple[StyleChoice, ...] = ()
    speed: Speed = Speed.EXACT
    forecast: float | None = None
    vae: NamedWeights | None = None
    embeddings: tuple[NamedWeights, ...] = ()

    @property
    def num_sampled(self) -> int:
        """Sampler steps that will be made: a strength below one skips the first of the schedule, a stop the last."""
        begun = self.num_steps if self.strength is None else int(self.num_steps * self.strength)
        return begun if self.stop is None else min(begun, max(1, round(begun * self.stop / 100)))

    @property
    def cost(self) -> float:
        """Predicted cost in step-megapixels; an upscale counts as one step."""
        return self.num_sampled * self.width * self.height / 1e6


def remaining_cost(parameters: Parameters, step: int) -> float:
    """Predicted cost of the steps after `step`, in step-megapixels; never quite 0."""
    return max(parameters.cost * (1.0 - step / max(parameters.num_sampled, 1)), 1e-6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Time-bounded exclusive right to a job. `token` grows with every lease of the job: a late holder is fenced off."""

    worker: WorkerId
    token: int
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRef:
    """The place of a checkpoint. cost_s: GPU-seconds that the job had taken by then."""

    step: int
    key: str
    cost_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A result of a job: the same picture as PNG and as WebP, each named by the hash of its bytes.

    verdict: of the image filter: allow, blur (this is a blurred picture, and no other is kept), or review (an admin
    released it). scores: by classifier and class. filter_version: of the classifiers and the policy. pdq, pdq_quality:
    its perceptual hash, as in `PictureHash`. None: made before they were kept.
    """

    job: JobId
    position: int
    png: Sha256
    webp: Sha256
    seed: int
    width: int
    height: int
    created_at: datetime
    verdict: str = "allow"
    scores: Mapping[str, Mapping[str, float | None]] | None = None
    filter_version: str | None = None
    pdq: str | None = None
    pdq_quality: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why a job ended without a picture, for its owner."""

    code: str
    message: str
    hint: str

    @classmethod
    def of(cls, fault: JobFault) -> "JobError":
        return cls(code=fault.code, message=str(fault), hint=fault.hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutTexts:
    """The part of each text that the model read, where its text encoder cut it; None: all of it."""

    prompt: str | None = None
    negative_prompt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds spent in each phase; None where the phase was not reached. They do not overlap and are never summed up.

    queue_s: from acceptance to the first claim. load_s: from the last claim until the engine took the run (model,
    checkpoint). upload_s: encoding and storing the pictures.
    """

    queue_s: float | None = None
    load_s: float | None = None
    denoise_s: float | None = None
    decode_s: float | None = None
    filter_s: float | None = None
    upload_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as its row holds it. `raw_prompt` is what the user typed; `attempts` counts claims since its last
    checkpoint. `batch`: the first job of the same request, where it made several. `is_over_quota`: it waits in the free
    lane because its tenant's month is used up. `due_at`: of its next try, while it waits for that. `cost_s`:
    GPU-seconds that it took so far, as far as they are saved. `num_losses`: workers that ended while they ran it, since
    it last got further than the step `lost_step`, which it had reached then. `reuse_scope`: whose pictures may answer
    it; None: it is drawn. `reused_from`: the job whose picture answered it. `num_passes`, `num_forecast`: calls of the
    denoiser that were computed, and foretold, once it succeeded. `screening`: the text filter's scores and versions
    when it let the job in; None: made before they were kept. `region`: of the gateway that took it; empty: none."""

    id: JobId
    tenant: TenantId
    owner: OwnerId = OF_TENANT
    tier: Tier
    state: JobState
    raw_prompt: str
    parameters: Parameters
    model: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    step: int = 0
    attempts: int = 0
    lease: Lease | None = None
    checkpoints: tuple[CheckpointRef, ...] = ()
    images: tuple[Image, ...] = ()
    error: JobError | None = None
    timings: Timings = field(default_factory=Timings)
    cut_texts: CutTexts = field(default_factory=CutTexts)
    batch: JobId | None = None
    is_over_quota: bool = False
    due_at: datetime | None = None
    cost_s: float = 0.0
    num_losses: int = 0
    lost_step: int = 0
    reuse_scope: ReuseScope | None = None
    reused_from: JobId | None = None
    num_passes: int = 0
    num_forecast: int = 0
    screening: SafetyEvidence | None = None
    region: str = ""

    @property
    def lane(self) -> Tier:
        return Tier.FREE if self.is_over_quota else self.tier

    @property
    def is_suspect(self) -> bool:
        """Tell whether a worker ended while it ran this job, so that it runs alone until it has got further."""
        return self.num_losses > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The end of a running job: everything that is written in one transaction.

    cost_s: GPU-seconds of this attempt. resumed_cost_s: those before the checkpoint that it went on from. reuse_key: by
    which later jobs find these pictures; None: they are not reused. reused_from: the job whose pictures these are;
    reuse_charge_s: GPU-seconds that are charged for them, though none were spent. num_passes, num_forecast: calls of
    the denoiser that were computed, and foretold.
    """

    state: JobState
    at: datetime
    timings: Timings
    step: int
    error: JobError | None = None
    images: tuple[Image, ...] = ()
    held: tuple[HeldImage, ...] = ()
    cut_texts: CutTexts = field(default_factory=CutTexts)
    cost_s: float = 0.0
    resumed_cost_s: float = 0.0
    reuse_key: str | None = None
    reused_from: JobId | None = None
    reuse_charge_s: float = 0.0
    num_passes: int = 0
    num_forecast: int = 0

    @property
    def charged_s(self) -> float:
        """GPU-seconds of the picture; steps that were repeated after a crash count once."""
        return self.resumed_cost_s + self.cost_s + self.reuse_charge_s

    @property
    def computed_share(self) -> float:
        """Share of the denoiser's calls that were computed."""
        calls = self.num_passes + self.num_forecast
        return self.num_passes / calls if calls else 1.0
