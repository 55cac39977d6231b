"""Settings of a drawing beside its sampler and its steps: which of them a model heeds, and its usual values."""

from dataclasses import dataclass

from mezzotint.domain.task import Task

MIN_IMAGE_GUIDANCE, MAX_IMAGE_GUIDANCE = 1.0, 10.0
"""Below 1 the pipelines leave out all guidance, that of the words too."""
MAX_ETA = 1.0
"""At 1 every DDIM step adds as much noise as DDPM does."""
ETA_SCHEDULERS = frozenset({"DDIMScheduler", "DDIMParallelScheduler"})
"""Classes of samplers whose steps add noise by `eta`; all others pass over it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawingOptions:
    """eta_samplers: the samplers, None for the model's own, that heed `eta`. rescale_tasks: the tasks whose guidance
    can be rescaled. max_clip_skip: the furthest layer from the end of its text encoders that can be read, 0 where none
    can be chosen. eta, guidance_rescale, clip_skip, image_guidance: of requests that name none; an image guidance of
    None: its edits take none.
    """

    eta_samplers: tuple[str | None, ...] = ()
    rescale_tasks: tuple[Task, ...] = ()
    max_clip_skip: int = 0
    eta: float = 0.0
    guidance_rescale: float = 0.0
    clip_skip: int | None = None
    image_guidance: float | None = None
