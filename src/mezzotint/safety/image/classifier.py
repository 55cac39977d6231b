"""The port of all that scores pictures."""

from collections.abc import Mapping
from typing import Protocol

from PIL import Image


class ImageClassifier(Protocol):
    """Scores pictures on the CPU. Safe to use from several threads."""

    @property
    def name(self) -> str:
        """The name by which the policy file turns it on."""
        ...

    @property
    def version(self) -> str:
        """Version of its weights; part of the filter's version."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The names under which it scores: safety categories, `any`, or `young_face`."""
        ...

    def score(self, image: Image.Image, /) -> Mapping[str, float]:
        """Score an RGB picture of any size: a number in 0..1 for each of the classes."""
        ...
