"""Styles: LoRA weights that an operator offers beside a model's own, for jobs that name them."""

from dataclasses import dataclass

from mezzotint.domain.ids import Sha256
from mezzotint.domain.tier import Tier

STYLE_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""Names that can stand in a prompt, before a colon."""
MAX_STYLES = 4
"""Most styles of one job."""
MAX_STYLE_WEIGHT = 2.0
"""Weights are -2 to 2: beyond, pictures burn out, whatever the style."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleInfo:
    """A style as its users see it.

    sha256: of its file. models: names of those it fits. tiers: those that may ask for it. trigger_words: words that its
    training captions had; adds_trigger_words: whether they are added to the prompts of jobs that name it.
    """

    name: str
    sha256: Sha256
    models: tuple[str, ...]
    default_weight: float = 1.0
    tiers: tuple[Tier, ...] = tuple(Tier)
    trigger_words: tuple[str, ...] = ()
    adds_trigger_words: bool = False
    about: str = ""
    license: str = "see its own page"


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedStyle:
    """A style as a request names it. weight: None for the style's own."""

    name: str
    weight: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleChoice:
    """A style of a job. sha256: of the file that it is drawn with, whatever bears the name later."""

    name: str
    weight: float
    sha256: Sha256
