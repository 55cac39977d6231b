"""Score rows as the service does: every reading, sentence and window of a text, the worst part counts; the strong head
reads the worst reading, and the most suspicious part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from encoder import MAX_TOKENS_SERVED, tokenize
from fit import Head
from fit_lexical import LexicalHead, stack_numbers
from numpy.typing import NDArray
from rows import Row, key_of

from mezzotint.policy.safety.document import LanguageGroup
from mezzotint.safety.text.classifier import MAX_STRONG_CHARS, MAX_TOKENS
from mezzotint.safety.text.encoder import SentenceEncoder
from mezzotint.safety.text.languages import Languages
from mezzotint.safety.text.ngrams import Ngrams
from mezzotint.safety.text.parts import list_char_spans, list_parts
from mezzotint.safety.text.readings import list_scored_readings

Array = NDArray[np.float32]
Numbers = NDArray[np.int32]
WHOLE, PART, FRAGMENT = range(3)
"""Kinds of parts: a whole reading that is meant; what counts less a discount; what the strong head alone may read."""
_READING, _START, _END, _KIND = range(4)
_FORM = 2  # of the file of parts: one of another form is made again


@dataclass(frozen=True, slots=True)
class Kept:
    """The parts of a row. vectors: [parts, 512]. numbers: the n-grams of each. places: [parts, 4] number of the
    reading, first and last character, kind.
    """

    group: str
    vectors: NDArray[np.float16]
    numbers: list[Numbers]
    places: Numbers


class ServedRows:
    """The parts of each row as the service cuts them, and the group of languages whose thresholds hold for it."""

    def __init__(self, rows: Sequence[Row], cache: Path) -> None:
        self.rows = rows
        kept = _read_parts(cache)
        if lacking := [row for row in rows if row.key not in kept]:
            kept.update(_embed_parts(lacking))
            _write_parts(cache, kept)
        parts = [kept[row.key] for row in rows]
        self.groups = np.array([one.group for one in parts])
        self._numbers = [numbers for one in parts for numbers in one.numbers]
        self._parts = np.concatenate([one.vectors for one in parts])
        self._places = np.concatenate([one.places for one in parts])
        self._bounds = np.cumsum([0, *(len(one.places) for one in parts)])
        self._starts = self._bounds[:-1]

    def parts_beside_whole(self) -> tuple[list[Row], NDArray[np.float32]]:
        """Each part that counts but the whole text, with its row."""
        own = np.repeat(np.arange(len(self.rows)), np.diff(self._bounds))
        counts = np.flatnonzero(self._places[:, _KIND] != FRAGMENT)
        beside = np.setdiff1d(counts, self._starts)
        return [self.rows[at] for at in own[beside]], self._parts[beside].astype(np.float32)

    def fast_logits(self, head: Head) -> Array:
        """[parts, K]."""
        return head.logits(self._parts.astype(np.float32))

    def lexical_logits(self, head: LexicalHead) -> Array:
        """[parts, K]."""
        return head.logits(stack_numbers(self._numbers))

    def of_parts(self, values: Array) -> Array:
        """[n] -> [parts]: of each part its row's."""
        return np.repeat(values, np.diff(self._bounds))

    def of_whole(self, logits: Array) -> Array:
        """[parts, K] -> [n, K]: of the whole texts as they stand."""
        return logits[self._starts]

    def highest(self, logits: Array, discount: float) -> Array:
        """[parts, K] -> [n, K]: the highest of each output, those of parts and other readings less `discount`."""
        kinds = self._places[:, _KIND]
        lowered = logits - np.float32(discount) * (kinds == PART)[:, None]
        lowered[kinds == FRAGMENT] = -np.inf
        return np.maximum.reduceat(lowered, self._starts)

    def texts_for_strong(self, badness: Array, discount: float, asked: Sequence[int]) -> list[tuple[str, str, float]]:
        """Of each row asked for: the text that the strong head reads, the most suspicious part beside it (empty where
        there is none), and that part's badness. badness: [parts], the logits of `any`.
        """
        return [self._choose(int(at), badness, discount) for at in asked]

    def _choose(self, row: int, badness: Array, discount: float) -> tuple[str, str, float]:
        chosen = slice(self._bounds[row], self._bounds[row + 1])
        places, scores = self._places[chosen], badness[chosen]
        texts = list_scored_readings(self.rows[row].text).texts
        is_first = np.diff(places[:, _READING], prepend=-1) > 0
        counts = np.where(places[:, _KIND] == FRAGMENT, -np.inf, scores - discount * (places[:, _KIND] == PART))
        reading = places[np.argmax(counts), _READING]
        of_reading = np.flatnonzero((places[:, _READING] == reading) & np.isfinite(counts))
        worst = of_reading[0]
        if len(texts[reading]) > MAX_STRONG_CHARS and len(of_reading) > 1:
            worst = of_reading[1:][np.argmax(scores[of_reading[1:]])]
        beside = np.flatnonzero(~is_first)
        if not len(beside):
            return _cut(texts, places[worst]), "", -np.inf
        part = beside[np.argmax(scores[beside])]
        return _cut(texts, places[worst]), _cut(texts, places[part]), float(scores[part])


def _cut(texts: Sequence[str], place: Numbers) -> str:
    return texts[place[_READING]][place[_START] : place[_END]][:MAX_STRONG_CHARS]


def _embed_parts(rows: Sequence[Row]) -> dict[str, Kept]:
    encoder, languages = SentenceEncoder(), Languages()
    found: dict[str, Kept] = {}
    for row in rows:
        readings = list_scored_readings(row.text)
        group = languages.identify(readings.plainest).group
        is_cut = group is LanguageGroup.ENGLISH  # the strong head's language
        kept = [
            _embed_reading(encoder, text, at, is_cut=is_cut, is_meant=at < readings.num_meant)
            for at, text in enumerate(readings.texts)
        ]
        found[row.key] = Kept(
            str(group),
            np.concatenate([vectors for vectors, _, _ in kept]).astype(np.float16),
            [one for _, numbers, _ in kept for one in numbers],
            np.concatenate([places for _, _, places in kept]),
        )
    return found


def _embed_reading(
    encoder: SentenceEncoder, text: str, reading: int, *, is_cut: bool, is_meant: bool
) -> tuple[Array, list[Numbers], Numbers]:
    encoded = encoder.encode_text(text, MAX_TOKENS)
    parts = list_parts(text, encoded, has_fragments=is_cut and is_meant)
    chars = list_char_spans(text, encoded, parts.spans)
    ngrams = Ngrams(text)
    numbers = [ngrams.list_numbers(*span).astype(np.int32) for span in chars]
    kinds = np.full(len(chars), PART)
    kinds[parts.num_counted :] = FRAGMENT
    kinds[0] = WHOLE if is_meant else PART
    places = np.array([(reading, *span, kind) for span, kind in zip(chars, kinds, strict=True)], np.int32)
    return encoder.embed_spans(encoded, parts.spans), numbers, places


def _read_parts(cache: Path) -> dict[str, Kept]:
    if not cache.exists():
        return {}
    with np.load(cache) as kept:
        if "form" not in kept or int(kept["form"]) != _FORM:
            return {}
        keys, groups, starts = kept["keys"].tolist(), kept["groups"].tolist(), kept["starts"]
        parts, places = np.split(kept["parts"], starts[1:]), np.split(kept["places"], starts[1:])
        numbers = np.split(kept["numbers"], kept["number_starts"][1:])
    ends = [*starts[1:], len(numbers)]
    return {
        key: Kept(group, part, numbers[start:end], place)
        for key, group, part, place, start, end in zip(keys, groups, parts, places, starts, ends, strict=True)
    }


def _write_parts(cache: Path, kept: dict[str, Kept]) -> None:
    numbers = [one for some in kept.values() for one in some.numbers]
    np.savez(
        cache,
        form=_FORM,
        keys=np.array(list(kept)),
        groups=np.array([one.group for one in kept.values()]),
        parts=np.concatenate([one.vectors for one in kept.values()]),
        places=np.concatenate([one.places for one in kept.values()]),
        starts=np.cumsum([0, *(len(one.places) for one in kept.values())])[:-1],
        numbers=np.concatenate(numbers),
        number_starts=np.cumsum([0, *map(len, numbers)])[:-1],
    )


def score_strong(model: Path, texts: Sequence[str]) -> Array:
    """[n, K] logits of the exported head, as the service runs it; kept in a file beside the model.

    texts: as `prepare_text` returns them; the first `MAX_STRONG_CHARS` of each are read.
    """
    cache = model.with_suffix(".scores.npz")
    kept: dict[str, Array] = {}
    if cache.exists():
        with np.load(cache) as file:
            kept = dict(zip(file["keys"].tolist(), file["logits"], strict=True))
    by_key = {key_of(text[:MAX_STRONG_CHARS]): text[:MAX_STRONG_CHARS] for text in texts}
    if lacking := {key: text for key, text in by_key.items() if key not in kept}:
        kept.update(zip(lacking, _run_strong(model, list(lacking.values())), strict=True))
        np.savez(cache, keys=np.array(list(kept)), logits=np.stack(list(kept.values())))
    return np.stack([kept[key_of(text[:MAX_STRONG_CHARS])] for text in texts])


def _run_strong(model: Path, texts: Sequence[str]) -> list[Array]:
    """Run the texts one by one: as int8 the answer to a text depends on what stands beside it in a batch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    found: list[Array] = []
    for ids in tokenize(texts, MAX_TOKENS_SERVED):
        one = np.array([ids], np.int64)
        found.append(session.run(["logits"], {"input_ids": one, "attention_mask": np.ones_like(one)})[0][0])
    return found
