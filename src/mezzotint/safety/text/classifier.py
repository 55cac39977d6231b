"""Score a text by trained heads: every reading of it, whole and in parts, so that no harmless part hides another."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mezzotint.domain.errors import ModelCorrupt
from mezzotint.policy.safety.categories import ANY
from mezzotint.safety.text.disguise.vocabulary import load_vocabulary
from mezzotint.safety.text.encoder import SentenceEncoder
from mezzotint.safety.text.fast_head import FastHead
from mezzotint.safety.text.heads_file import heads_folder, read_heads, sigmoid
from mezzotint.safety.text.languages import Language, Languages
from mezzotint.safety.text.lexical_head import LexicalHead
from mezzotint.safety.text.parts import list_char_spans, list_parts
from mezzotint.safety.text.readings import list_scored_readings
from mezzotint.safety.text.strong_head import StrongHead

Array = NDArray[np.float32]
MAX_TOKENS = 4096
"""Tokens that are read of a prompt: enough for the longest, in which each character may be one."""
MAX_STRONG_CHARS = 400
"""Longest text that the strong head reads whole; of a longer one it reads the part that the fast head finds worst."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FastScores:
    """logits: by output, of the worst part. worst: that part's text. language: of the text as it stands.

    part: the text of the most suspicious part but the whole; empty where there is none or no head reads it.
    part_any: its logit for `any`, without a discount.
    """

    logits: Mapping[str, float]
    worst: str
    language: Language
    part: str = ""
    part_any: float = -math.inf

    @property
    def scores(self) -> dict[str, float]:
        return to_scores(self.logits)


class TextClassifier:
    """The encoder, the language model and the heads. Safe to use from several threads."""

    def __init__(self, folder: Path | None = None) -> None:
        """Load all of it: about 260 MB, 2.2 s of CPU time. Raises: ModelMissing, ModelCorrupt."""
        folder = folder or heads_folder()
        heads = read_heads(folder)
        self.version = heads.version
        self._encoder = SentenceEncoder()
        self._languages = Languages()
        self._fast = FastHead(folder, heads.fast)
        self._lexical = LexicalHead(folder, heads.lexical) if heads.lexical is not None else None
        if self._lexical is not None and self._lexical.outputs != self._fast.outputs:
            raise ModelCorrupt(f"the heads in {folder} differ in their outputs")
        self._strong = StrongHead(folder, heads.strong) if heads.strong is not None else None
        self._lexical_shares = heads.blend.lexical
        self._share = heads.blend.strong
        self._part_discount = heads.part_discount
        self._strong_part = heads.strong_part
        load_vocabulary().build_indexes()

    def score_fast(self, text: str) -> FastScores:
        """Score every reading of the text, each whole, by sentence and by window."""
        readings = list_scored_readings(text)
        language = self._languages.identify(readings.plainest)
        scored = [
            self._score_reading(one, language, is_meant=at < readings.num_meant)
            for at, one in enumerate(readings.texts)
        ]
        worst = max(scored, key=lambda one: self._badness(one.highest))
        suspicious = max(scored, key=lambda one: one.part_any)
        highest = np.max(np.stack([one.highest for one in scored]), axis=0)
        return FastScores(
            logits=dict(zip(self._fast.outputs, map(float, highest), strict=True)),
            worst=worst.worst,
            language=language,
            part=suspicious.part,
            part_any=suspicious.part_any,
        )

    def score_strong(self, fast: FastScores) -> dict[str, float] | None:
        """Blend the strong head's score of the worst part with the fast head's; None where it knows no such text.

        Where the heads say so it reads the most suspicious part, too, whose blended score counts for `any` alone: in
        single categories fragments of harmless texts look harmful too often.
        """
        if self._strong is None or not self._has_strong(fast.language):
            return None
        strong = dict(zip(self._strong.outputs, map(float, self._strong.score(fast.worst)), strict=True))
        share = self._share
        blended = {name: share * strong[name] + (1 - share) * fast.logits.get(name, strong[name]) for name in strong}
        rule = self._strong_part
        if rule is not None and fast.part and fast.part_any >= rule.min_logit and ANY in blended:
            read = strong if fast.part == fast.worst else dict(zip(strong, self._strong.score(fast.part), strict=True))
            blended[ANY] = max(blended[ANY], rule.blend(float(read[ANY]), fast.part_any))
        return to_scores({**fast.logits, **blended})

    def _has_strong(self, language: Language) -> bool:
        return self._strong is not None and language.code in self._strong.languages

    def _score_reading(self, text: str, language: Language, *, is_meant: bool) -> "_ScoredReading":
        """Score the reading and its parts.

        Fragments and other readings of harmless texts look harmful more often than the texts: they score less.
        """
        encoded = self._encoder.encode_text(text, MAX_TOKENS)
        is_cut = self._strong_part is not None and self._has_strong(language)
        parts = list_parts(text, encoded, has_fragments=is_cut and is_meant)
        chars = list_char_spans(text, encoded, parts.spans)
        logits = self._fast.score(self._encoder.embed_spans(encoded, parts.spans))
        lexical_share = np.float32(self._lexical_shares.get(language.group, 0.0))
        if self._lexical is not None and lexical_share:
            of_words = self._lexical.score(text, chars)
            logits = logits + lexical_share * (of_words - logits)
        badness = [self._badness(row) for row in logits[1:]]
        suspicious = 1 + int(np.argmax(badness)) if badness and is_cut else 0
        counted = logits[: parts.num_counted]
        counted[1 if is_meant else 0 :] -= np.float32(self._part_discount)
        if len(text) <= MAX_STRONG_CHARS or parts.num_counted == 1:
            worst = 0
        else:
            worst = 1 + int(np.argmax(badness[: parts.num_counted - 1]))
        return _ScoredReading(
            highest=counted.max(axis=0),
            worst=_cut(text, chars[worst]),
            part=_cut(text, chars[suspicious]) if suspicious else "",
            part_any=badness[suspicious - 1] if suspicious else -math.inf,
        )

    def _badness(self, logits: Array) -> float:
        outputs = self._fast.outputs
        return float(logits[outputs.index(ANY)] if ANY in outputs else logits.max())


@dataclass(frozen=True, slots=True, kw_only=True)
class _ScoredReading:
    """highest: [outputs] logits of the worst of what counts. worst, part, part_any: as `FastScores` has them."""

    highest: Array
    worst: str
    part: str
    part_any: float


def _cut(text: str, chars: tuple[int, int]) -> str:
    return text[chars[0] : min(chars[1], chars[0] + MAX_STRONG_CHARS)]


def to_scores(logits: Mapping[str, float]) -> dict[str, float]:
    values = sigmoid(np.array(list(logits.values()), dtype=np.float32))
    return {name: round(float(value), 4) for name, value in zip(logits, values, strict=True)}
