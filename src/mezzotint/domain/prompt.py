"""A prompt as people type it: words, then `--name value` parameters."""

from dataclasses import dataclass

from mezzotint.domain.model import Speed
from mezzotint.domain.style import WantedStyle


@dataclass(frozen=True, slots=True, kw_only=True)
class AspectRatio:
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The parsed prompt. A parameter that was not written is None, a flag False.

    no: what must not be in the picture. chaos: variety in a grid, 0..100. iw: weight of the source against the words.
    version: a model's name. stop: percent of the steps, after which the run ends.
    """

    text: str
    aspect_ratio: AspectRatio | None = None
    seed: int | None = None
    no: str | None = None
    num_steps: int | None = None
    repeat: int | None = None
    quality: float | None = None
    stylize: int | None = None
    chaos: int | None = None
    iw: float | None = None
    version: str | None = None
    stop: int | None = None
    sampler: str | None = None
    eta: float | None = None
    guidance_rescale: float | None = None
    clip_skip: int | None = None
    speed: Speed | None = None
    is_draft: bool = False
    styles: tuple[WantedStyle, ...] | None = None


MAX_SEED = 2**32 - 1
"""Largest seed that every generator and every compatible API takes."""
MAX_SENT_SEED = 2**64 - 1
"""Largest seed that a request may name; a job draws with it modulo 2^32."""
