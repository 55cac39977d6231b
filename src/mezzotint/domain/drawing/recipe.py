"""A recipe: what it takes to draw a picture again, as the picture's file may tell it."""

from dataclasses import dataclass
from enum import StrEnum

from mezzotint.domain.drawing.named_weights import NamedWeights
from mezzotint.domain.job import Job, Parameters
from mezzotint.domain.style import StyleChoice
from mezzotint.domain.task import Task


class RecipeAudience(StrEnum):
    """The readers for whom the files of a tenant's pictures carry the recipe, the prompt above all."""

    NOBODY = "nobody"
    OWNER = "owner"
    """Callers who may see the job, in the files that answer their requests; not the files behind public addresses."""
    EVERYBODY = "everybody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The fields have the meaning of `Parameters`; None: the file does not tell. speed: where steps may have been
    foretold. styles, vae, embeddings: sha256 may be empty or cut. software: that drew the picture."""

    prompt: str
    negative_prompt: str = ""
    model: str | None = None
    seed: int | None = None
    num_steps: int | None = None
    guidance_scale: float | None = None
    width: int | None = None
    height: int | None = None
    sampler: str | None = None
    stop: int | None = None
    eta: float | None = None
    guidance_rescale: float | None = None
    clip_skip: int | None = None
    image_guidance: float | None = None
    speed: str | None = None
    task: Task = Task.GENERATE
    source: str | None = None
    mask: str | None = None
    strength: float | None = None
    scale: int | None = None
    styles: tuple[StyleChoice, ...] = ()
    vae: NamedWeights | None = None
    embeddings: tuple[NamedWeights, ...] = ()
    job: str | None = None
    software: str | None = None

    @classmethod
    def of(cls, parameters: Parameters, model: str, software: str, job: str | None = None) -> "Recipe":
        return cls(
            prompt=parameters.prompt,
            negative_prompt=parameters.negative_prompt,
            model=model,
            seed=parameters.seed,
            num_steps=parameters.num_steps,
            guidance_scale=parameters.guidance_scale,
            width=parameters.width,
            height=parameters.height,
            sampler=parameters.sampler,
            stop=parameters.stop,
            eta=parameters.eta or None,
            guidance_rescale=parameters.guidance_rescale or None,
            clip_skip=parameters.clip_skip,
            image_guidance=parameters.image_guidance,
            speed=None if parameters.forecast is None else parameters.speed.value,
            task=parameters.task,
            source=parameters.source,
            mask=parameters.mask,
            strength=parameters.strength,
            scale=parameters.scale,
            styles=parameters.styles,
            vae=parameters.vae,
            embeddings=parameters.embeddings,
            job=job,
            software=software,
        )

    @classmethod
    def of_job(cls, job: Job, software: str) -> "Recipe":
        return cls.of(job.parameters, job.model, software, job.id)
