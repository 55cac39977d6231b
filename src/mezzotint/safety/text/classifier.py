"""Score a text by trained heads: every reading of it, whole and in parts, so that no harmless part hides another."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mezzotint.domain.errors import ModelCorrupt
from mezzotint.policy.safety.categories import ANY
from mezzotint.safety.text.disguise.vocabulary import load_vocabulary
from mezzotint.safety.text.encoder import EncodedText, SentenceEncoder, Span
from mezzotint.safety.text.fast_head import FastHead
from mezzotint.safety.text.heads_file import heads_folder, read_heads, sigmoid
from mezzotint.safety.text.languages import Language, Languages
from mezzotint.safety.text.lexical_head import LexicalHead
from mezzotint.safety.text.readings import list_scored_readings
from mezzotint.safety.text.strong_head import StrongHead

Array = NDArray[np.float32]
WINDOW, STRIDE = 24, 12
"""Tokens of a window, and between the beginnings of two."""
MIN_SENTENCE = 3
"""Tokens of which fewer are scored as part of the whole alone."""
MAX_TOKENS = 4096
"""Tokens that are read of a prompt: enough for the longest, in which each character may be one."""
MAX_STRONG_CHARS = 400
"""Longest text that the strong head reads whole; of a longer one it reads the part that the fast head finds worst."""
MAX_CLAUSES = 16
"""Clauses of which each, and each two or three in a row, are scored as well."""
_CLAUSE_END = re.compile(r"[.!?;|。！？；।]+(?:\s|$)|[。！？；।]|:(?!\d)|[\"“”«»()\[\]<>{}]| -+ |\d\)")
_SENTENCE_END = re.compile(r"[.!?;|。！？；।]+(?:\s|$)|[。！？；।]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FastScores:
    """logits: by output, of the worst part. worst: that part's text. language: of the text as it stands."""

    logits: Mapping[str, float]
    worst: str
    language: Language

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
        load_vocabulary().build_indexes()

    def score_fast(self, text: str) -> FastScores:
        """Score every reading of the text, each whole, by sentence and by window."""
        readings = list_scored_readings(text)
        language = self._languages.identify(readings.plainest)
        share = np.float32(self._lexical_shares.get(language.group, 0.0))
        scored = [
            self._score_reading(one, share, is_meant=at < readings.num_meant) for at, one in enumerate(readings.texts)
        ]
        logits, parts = zip(*scored, strict=True)
        worst = int(np.argmax([self._badness(one) for one in logits]))
        highest = np.max(np.stack(logits), axis=0)
        by_output = dict(zip(self._fast.outputs, map(float, highest), strict=True))
        return FastScores(logits=by_output, worst=parts[worst], language=language)

    def score_strong(self, fast: FastScores) -> dict[str, float] | None:
        """Blend the strong head's score of the worst part with the fast head's; None where it knows no such text."""
        if self._strong is None or fast.language.code not in self._strong.languages:
            return None
        strong = dict(zip(self._strong.outputs, map(float, self._strong.score(fast.worst)), strict=True))
        share = self._share
        blended = {name: share * strong[name] + (1 - share) * fast.logits.get(name, strong[name]) for name in strong}
        return to_scores({**fast.logits, **blended})

    def _score_reading(self, text: str, lexical_share: np.float32, *, is_meant: bool) -> tuple[Array, str]:
        """The highest logit of each output over the parts of the text, and the worst part.

        Fragments and other readings of harmless texts look harmful more often than the texts: they score less.
        """
        encoded = self._encoder.encode_text(text, MAX_TOKENS)
        spans = list_spans(text, encoded)
        logits = self._fast.score(self._encoder.embed_spans(encoded, spans))
        if self._lexical is not None and lexical_share:
            of_words = self._lexical.score(text, list_char_spans(text, encoded, spans))
            logits = logits + lexical_share * (of_words - logits)
        logits[1 if is_meant else 0 :] -= np.float32(self._part_discount)
        if len(text) <= MAX_STRONG_CHARS or len(spans) == 1:
            return logits.max(axis=0), text[:MAX_STRONG_CHARS]
        worst = 1 + int(np.argmax([self._badness(row) for row in logits[1:]]))
        first, last = spans[worst][0], spans[worst][1] - 1
        return logits.max(axis=0), text[encoded.offsets[first][0] : encoded.offsets[last][1]][:MAX_STRONG_CHARS]

    def _badness(self, logits: Array) -> float:
        outputs = self._fast.outputs
        return float(logits[outputs.index(ANY)] if ANY in outputs else logits.max())


def list_spans(text: str, encoded: EncodedText) -> list[Span]:
    """The parts of a text that are scored, as token ranges: the whole first, then sentences, clauses, windows."""
    num = len(encoded)
    spans = [(0, num)]
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    starts = np.fromiter((start for start, _ in encoded.offsets), dtype=np.int64, count=num)
    cuts = sorted({0, num, *(int(at) for at in np.searchsorted(starts, ends))})
    if len(cuts) > 2:
        spans += [(start, end) for start, end in pairwise(cuts) if end - start >= MIN_SENTENCE]
    spans += _list_clauses(text, encoded)
    if num > WINDOW + STRIDE:
        spans += [(start, min(start + WINDOW, num)) for start in range(0, num - STRIDE, STRIDE)]
    return list(dict.fromkeys(spans))


def _list_clauses(text: str, encoded: EncodedText) -> list[Span]:
    """Clauses between colons, brackets, quotation marks, dashes and ends of sentences, and rows of two and three."""
    starts = np.fromiter((start for start, _ in encoded.offsets), dtype=np.int64, count=len(encoded))
    ends = [match.end() for match in _CLAUSE_END.finditer(text)]
    cuts = sorted({0, len(encoded), *(int(at) for at in np.searchsorted(starts, ends))})[: MAX_CLAUSES + 1]
    rows = [(cuts[at], cuts[after]) for at in range(len(cuts)) for after in range(at + 1, min(at + 4, len(cuts)))]
    return [(start, end) for start, end in rows if end - start > MIN_SENTENCE]


def list_char_spans(text: str, encoded: EncodedText, spans: Sequence[Span]) -> list[Span]:
    """The spans of `list_spans` as ranges of characters. The first is the whole text, tokens or none."""
    offsets = encoded.offsets
    return [(0, len(text)), *((offsets[start][0], offsets[end - 1][1]) for start, end in spans[1:])]


def to_scores(logits: Mapping[str, float]) -> dict[str, float]:
    values = sigmoid(np.array(list(logits.values()), dtype=np.float32))
    return {name: round(float(value), 4) for name, value in zip(logits, values, strict=True)}
