"""The facts of a model that a gateway needs to admit a request for it: no weights, no device."""

from dataclasses import dataclass

from mezzotint.domain.task import Task

MAX_SIDE_PX = 16_383
"""Longest side of a WebP, the narrowest of the formats that pictures are kept and delivered in (JPEG: 65,535 px; PNG:
2^31 - 1 px). Nothing larger is admitted: it could be drawn, but never delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A model as its users see it.

    native_width, native_height: the size it was trained at, px.
    grid_px: width and height must be multiples of it (what one denoiser cell covers).
    min_px, max_px: bounds of either side.
    default_steps, default_guidance: used when a request names none.
    takes_negative_prompt: whether it heeds what must not be in the picture.
    weighs_words: whether it heeds weights of words, (word:1.3).
    can_stop: whether a run can end early with an estimate of its end.
    tasks: what can be asked of it. samplers: those it can be given in place of its own.
    default_sampler: of requests that name none; None: its own.
    aliases: further names that requests may call it by.
    knows, examples: for people: what it can draw, prompts that work well.
    """

    name: str
    about: str
    native_width: int
    native_height: int
    grid_px: int
    min_px: int
    max_px: int
    default_steps: int
    default_guidance: float
    tasks: tuple[Task, ...] = (Task.GENERATE,)
    samplers: tuple[str, ...] = ()
    default_sampler: str | None = None
    takes_negative_prompt: bool = True
    weighs_words: bool = False
    can_stop: bool = True
    license: str = "see the model's own card"
    aliases: tuple[str, ...] = ()
    knows: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
