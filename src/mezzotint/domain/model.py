"""The facts of a model that a gateway needs to admit a request for it: no weights, no device."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mezzotint.domain.drawing.named_weights import NamedWeights
from mezzotint.domain.drawing.options import DrawingOptions
from mezzotint.domain.task import Task
from mezzotint.domain.tier import Tier

MAX_SIDE_PX = 16_383
"""Longest side of a WebP, the narrowest of the formats that pictures are kept and delivered in (JPEG: 65,535 px; PNG:
2^31 - 1 px). Nothing larger is admitted: it could be drawn, but never delivered."""


class Speed(StrEnum):
    EXACT = "exact"
    """Every step is computed."""
    BALANCED = "balanced"
    """Steps are foretold as far as nobody sees it."""
    FAST = "fast"
    """Steps are foretold as far as only details differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastPolicy:
    """The bounds within which steps of a model may be foretold, and for whom.

    bounds: by speed, the relative error of the denoiser's answers that may be expected to add up between two passes; a
    speed without one cannot be drawn. defaults: by tier, the speed of a request that names none. allowed: by tier, the
    speeds that it may ask for; a tier that is not named may ask for all.
    """

    bounds: Mapping[Speed, float] = field(default_factory=dict)
    defaults: Mapping[Tier, Speed] = field(default_factory=dict)
    allowed: Mapping[Tier, Collection[Speed]] = field(default_factory=dict)

    @property
    def speeds(self) -> tuple[Speed, ...]:
        """The speeds that the model can be drawn at."""
        return tuple(speed for speed in Speed if speed is Speed.EXACT or speed in self.bounds)

    def speeds_of(self, tier: Tier) -> tuple[Speed, ...]:
        """The speeds that the tier may ask for; exact where the model can do none of them."""
        allowed = self.allowed.get(tier, tuple(Speed))
        return tuple(speed for speed in self.speeds if speed in allowed) or (Speed.EXACT,)

    def default_of(self, tier: Tier) -> Speed:
        """The speed of a request that names none: the tier's, else the slowest that it may ask for."""
        choices = self.speeds_of(tier)
        wanted = self.defaults.get(tier, Speed.EXACT)
        return wanted if wanted in choices else choices[0]


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
    forecast: the speeds at which it can be drawn. options: further settings that it heeds.
    vae: the autoencoder in place of its own. embeddings: by the words that call them.
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
    forecast: ForecastPolicy = field(default_factory=ForecastPolicy)
    options: DrawingOptions = field(default_factory=DrawingOptions)
    vae: NamedWeights | None = None
    embeddings: tuple[NamedWeights, ...] = ()
