"""The styles that the settings name: found, and checked against the models that they are to fit. Nothing is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mezzotint.config import STARTER, Settings
from mezzotint.domain.errors import StyleInvalid
from mezzotint.domain.ids import Sha256
from mezzotint.domain.style import StyleInfo
from mezzotint.engine.models import integrity, styles
from mezzotint.engine.models.catalog import ModelsInvalid, StyleEntry, read_styles
from mezzotint.main.served_models import ServedModel
from mezzotint.provenance.model_hash import hash_weights

STARTER_STYLE = StyleEntry(
    name=styles.BUILT_IN_STYLE,
    source=styles.BUILT_IN_STYLE,
    about="One ink on paper, as if cut in wood: lines, shadows, and hatching between.",
    license="Apache-2.0",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedStyle:
    """A style that is served: how it is listed, where its file lies."""

    info: StyleInfo
    path: Path


def find_styles(settings: Settings, offers: Sequence[ServedModel]) -> tuple[ServedStyle, ...]:
    """The styles, checked. Raises: ModelsInvalid, StyleInvalid.

    Without a list of models the starter has the style that ships with it, unless it is compiled.
    """
    entries: tuple[StyleEntry, ...]
    if settings.models is None:
        entries = (STARTER_STYLE,) if settings.model == STARTER and not settings.compile else ()
    else:
        entries = read_styles(settings.models)
    return tuple(_find_style(settings, entry, offers) for entry in entries)


def _find_style(settings: Settings, entry: StyleEntry, offers: Sequence[ServedModel]) -> ServedStyle:
    try:
        path = styles.locate_style(entry.source, entry.revision)
    except OSError as error:
        raise StyleInvalid(
            f"the style {entry.name!r}: {entry.source[:200]!r} cannot be read: {error.strerror}"
        ) from error
    fits = [offer for offer in offers if entry.models is None or offer.info.name in entry.models]
    try:
        if entry.source == styles.BUILT_IN_STYLE:
            integrity.check_sums(path.parent)
        styles.check_style_file(path, settings.style_max_mb << 20)
        if settings.worker and entry.source != styles.BUILT_IN_STYLE:
            styles.check_style_values(path)
        for offer in fits:
            if offer.entry.compile or (offer.entry.compile is None and settings.compile):
                raise ModelsInvalid(f"models: {offer.info.name} is compiled: it takes no styles")
            # no torch for it in a gateway alone, nor for the style and the model that ship together
            is_built_in = entry.source == styles.BUILT_IN_STYLE and offer.entry.source == STARTER
            if settings.worker and not is_built_in:
                styles.check_style_fits(path, offer.folder)
    except StyleInvalid as error:
        raise StyleInvalid(f"the style {entry.name!r}: {error}") from error
    info = StyleInfo(
        name=entry.name,
        sha256=Sha256(hash_weights(path, {})),
        models=tuple(offer.info.name for offer in fits),
        default_weight=entry.default_weight,
        tiers=entry.tiers,
        trigger_words=entry.trigger_words,
        adds_trigger_words=entry.adds_trigger_words,
        about=entry.about,
        license=entry.license,
    )
    return ServedStyle(info=info, path=path)


def group_files(found: Sequence[ServedStyle]) -> dict[str, dict[str, Path]]:
    """The files of the styles, by the model that they fit and by their own name."""
    models = {model for style in found for model in style.info.models}
    return {model: {style.info.name: style.path for style in found if model in style.info.models} for model in models}
