"""Load the classifiers that the safety policy names."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from mezzotint.domain.errors import SettingInvalid
from mezzotint.policy.safety.document import SafetyPolicy
from mezzotint.policy.safety.image_classifiers import ClassifierEntry, ClassifierKind, ImageUse
from mezzotint.policy.safety.images import YOUNG_FACE
from mezzotint.policy.safety.overrides import NO_OVERRIDES, SafetyOverrides
from mezzotint.safety.image.classifier import ImageClassifier
from mezzotint.safety.image.picture_text import JudgeText, PictureText
from mezzotint.safety.image.postfilter import LoadedClassifier, Meter, PostFilter
from mezzotint.safety.text.load import load_text_filter


class NoClassifier(SettingInvalid):
    hint = "See docs/how-to/change-the-safety-policy.md for which classifier scores which class."


def load_postfilter(
    policy: SafetyPolicy,
    meter: Meter | None = None,
    overrides: Callable[[], SafetyOverrides] = lambda: NO_OVERRIDES,
    load_judge: Callable[[], JudgeText] | None = None,
) -> PostFilter:
    """Load every classifier of the policy. load_judge: gives the text filter, by default the built-in one.

    Raises: ModelMissing, ModelCorrupt, NoClassifier, SettingInvalid.
    """
    load_judge = load_judge or (lambda: load_text_filter(rules=None, policy=None, uses_classifier=True).judge)
    loaded = [
        LoadedClassifier(name=name, entry=entry, classifier=_load(name, entry, load_judge))
        for name, entry in policy.classifiers.items()
        if entry.uses
    ]
    _check_coverage(policy, loaded)
    return PostFilter(loaded, policy, meter, overrides)


def _load(name: str, entry: ClassifierEntry, load_judge: Callable[[], JudgeText]) -> ImageClassifier:
    """The runtime of each is imported only where it is used."""
    kind = entry.kind or ClassifierKind(name)
    match kind:
        case ClassifierKind.TEXT:
            return PictureText(load_judge)
        case ClassifierKind.TRANSFORMERS:
            from mezzotint.safety.image.operator_models import TransformersClassifier

            return TransformersClassifier(name, Path(entry.path or ""), entry.labels)
        case ClassifierKind.CLIP:
            from mezzotint.safety.image.operator_models import ClipClassifier

            return ClipClassifier(name, Path(entry.path or ""), entry.prompts)
        case _:
            module, built_in = BUILT_IN_CLASSES[kind]
            loaded: ImageClassifier = getattr(import_module(f"mezzotint.safety.image.{module}"), built_in)()
            return loaded


BUILT_IN_CLASSES = {
    ClassifierKind.OPEN_NSFW: ("open_nsfw", "OpenNsfw"),
    ClassifierKind.GRAPHIC: ("graphic", "GraphicClassifier"),
    ClassifierKind.YOUNG_FACE: ("young_face", "YoungFaces"),
    ClassifierKind.NUDE_REGIONS: ("nude_regions", "NudeRegions"),
}
"""Module and class."""


def _check_coverage(policy: SafetyPolicy, loaded: list[LoadedClassifier]) -> None:
    """A threshold that no classifier's score can reach would be a promise that is not kept."""
    tables = [(use, table) for part in (policy, *policy.tiers.values()) for use, table in part.image.items()]
    for use, table in tables:
        scored = {name for one in loaded if use in one.entry.uses for name in one.classifier.classes}
        for name in table:
            if name not in scored:
                raise NoClassifier(f"image.{use.value} has a threshold for {name}, which no classifier scores there")
    for use in ImageUse:
        if not any(use in one.entry.uses for one in loaded if YOUNG_FACE in one.classifier.classes):
            raise NoClassifier(f"no classifier looks for young faces in pictures of the use {use.value}")
