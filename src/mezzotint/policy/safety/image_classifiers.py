"""The classifiers that judge pictures, as the policy file names them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mezzotint.policy.safety.categories import ANY, SafetyCategory


class ImageUse(StrEnum):
    """FINISHED: a picture to be delivered. UPLOAD: a picture that a user brings."""

    FINISHED = "finished"
    PREVIEW = "preview"
    UPLOAD = "upload"


class ClassifierKind(StrEnum):
    """OPEN_NSFW: sexual. GRAPHIC: sexual and violence. YOUNG_FACE: faces that are perhaps not grown-ups'. TEXT: reads
    the text in a picture and asks the text filter. The others need something that does not come with the server:
    NUDE_REGIONS the package `nudenet`, TRANSFORMERS and CLIP a model's folder.
    """

    OPEN_NSFW = "open_nsfw"
    GRAPHIC = "graphic"
    YOUNG_FACE = "young_face"
    TEXT = "text"
    NUDE_REGIONS = "nude_regions"
    TRANSFORMERS = "transformers"
    CLIP = "clip"


class ClassifierEntry(BaseModel):
    """kind: by default the entry's name. min_side_px: least shorter side of the pictures that it looks at.

    path: folder of the operator's model. labels: the class for each of its labels that counts. prompts: descriptions of
    each class for a CLIP model, and `harmless` ones to tell them from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassifierKind | None = None
    uses: tuple[ImageUse, ...]
    min_side_px: Annotated[int, Field(ge=0)] = 0
    path: str | None = None
    labels: Mapping[str, str] = {}
    prompts: Mapping[str, tuple[str, ...]] = {}

    @model_validator(mode="after")
    def _check(self) -> "ClassifierEntry":
        names = {ANY, *SafetyCategory}
        for name in (*self.labels.values(), *(name for name in self.prompts if name != HARMLESS)):
            if name not in names:
                raise ValueError(f'"{name}" is no class; there are {", ".join(sorted(names))}')
        if self.kind in {ClassifierKind.TRANSFORMERS, ClassifierKind.CLIP} and self.path is None:
            raise ValueError(f"a classifier of the kind {self.kind} needs a path")
        if self.kind is ClassifierKind.TRANSFORMERS and not self.labels:
            raise ValueError("a classifier of the kind transformers needs labels")
        if self.kind is ClassifierKind.CLIP and (len(self.prompts) < 2 or not self.prompts.get(HARMLESS)):
            raise ValueError(f"a classifier of the kind clip needs prompts for a class and for {HARMLESS}")
        return self


HARMLESS = "harmless"
"""Among the prompts of a CLIP model, the descriptions that belong to no class."""
_ALL = tuple(ImageUse)
BUILT_IN: Mapping[str, ClassifierEntry] = {
    "open_nsfw": ClassifierEntry(kind=ClassifierKind.OPEN_NSFW, uses=_ALL),
    "graphic": ClassifierEntry(kind=ClassifierKind.GRAPHIC, uses=(ImageUse.FINISHED, ImageUse.UPLOAD)),
    "young_face": ClassifierEntry(kind=ClassifierKind.YOUNG_FACE, uses=_ALL),
}
"""For a policy file that names none."""
