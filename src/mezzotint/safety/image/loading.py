"""Load the classifiers that the safety policy names."""

from collections.abc import Callable

from mezzotint.domain.errors import SettingInvalid
from mezzotint.policy.safety.document import SafetyPolicy
from mezzotint.policy.safety.image_classifiers import ClassifierEntry, ClassifierKind, ImageUse
from mezzotint.policy.safety.images import YOUNG_FACE
from mezzotint.policy.safety.overrides import NO_OVERRIDES, SafetyOverrides
from mezzotint.safety.image.classifier import ImageClassifier
from mezzotint.safety.image.postfilter import LoadedClassifier, Meter, PostFilter


class NoClassifier(SettingInvalid):
    hint = "See docs/how-to/change-the-safety-policy.md for which classifier scores which class."


def load_postfilter(
    policy: SafetyPolicy,
    meter: Meter | None = None,
    overrides: Callable[[], SafetyOverrides] = lambda: NO_OVERRIDES,
) -> PostFilter:
    """Load every classifier of the policy. Raises: ModelMissing, ModelCorrupt, NoClassifier, SettingInvalid."""
    loaded = [
        LoadedClassifier(name=name, entry=entry, classifier=_load(name, entry))
        for name, entry in policy.classifiers.items()
        if entry.uses
    ]
    _check_coverage(policy, loaded)
    return PostFilter(loaded, policy, meter, overrides)


def _load(name: str, entry: ClassifierEntry) -> ImageClassifier:
    return LOADERS[entry.kind or ClassifierKind(name)](entry)


def _load_open_nsfw(entry: ClassifierEntry) -> ImageClassifier:
    from mezzotint.safety.image.open_nsfw import OpenNsfw

    return OpenNsfw()


def _load_graphic(entry: ClassifierEntry) -> ImageClassifier:
    from mezzotint.safety.image.graphic import GraphicClassifier

    return GraphicClassifier()


def _load_young_faces(entry: ClassifierEntry) -> ImageClassifier:
    from mezzotint.safety.image.young_face import YoungFaces

    return YoungFaces()


LOADERS: dict[ClassifierKind, Callable[[ClassifierEntry], ImageClassifier]] = {
    ClassifierKind.OPEN_NSFW: _load_open_nsfw,
    ClassifierKind.GRAPHIC: _load_graphic,
    ClassifierKind.YOUNG_FACE: _load_young_faces,
}


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
