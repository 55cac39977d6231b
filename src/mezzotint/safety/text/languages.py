"""Tell a text's language, and the group whose thresholds hold for it."""

import math
from dataclasses import dataclass

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from mezzotint.policy.safety.document import LanguageGroup
from mezzotint.safety.text.encoder import LANGUAGES

CERTAIN = 0.8
"""Probability from which a language that the encoder does not know is believed of a text in plain Latin letters."""
MIN_WORDS = 3
"""Words in plain Latin letters of which fewer are taken for English: names of things, tags, a single word."""
_ALIKE = {"wuu": "zh", "yue": "zh", "arz": "ar", "ary": "ar"}
_ENGLISH = frozenset({"en", "pcm", "zxx"})


@dataclass(frozen=True, slots=True)
class Language:
    """code: ISO 639."""

    code: str
    group: LanguageGroup


ENGLISH = Language("en", LanguageGroup.ENGLISH)


class Languages:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        """Load the language model: about 70 MB, half a second of CPU time."""
        self._identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def identify(self, text: str) -> Language:
        """text: as `prepare_text` returns it. Short or unclear text in plain Latin letters counts as English."""
        if text.isascii() and len(text.split()) < MIN_WORDS:
            return ENGLISH
        code, probability = self._identifier.classify(text)
        code = _ALIKE.get(code, code)
        if code in _ENGLISH:
            return ENGLISH
        if code in LANGUAGES:
            return Language(code, LanguageGroup.KNOWN)
        if text.isascii() and not (probability >= CERTAIN and math.isfinite(probability)):
            return ENGLISH
        return Language(code, LanguageGroup.UNKNOWN)
