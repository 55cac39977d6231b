"""Score rows as the service does: every reading, sentence and window of a text, the worst part counts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from encoder import MAX_TOKENS_SERVED, tokenize
from fit import Head
from fit_lexical import LexicalHead, stack_numbers
from numpy.typing import NDArray
from rows import Row

from mezzotint.safety.text.classifier import MAX_STRONG_CHARS, MAX_TOKENS, list_char_spans, list_spans
from mezzotint.safety.text.encoder import SentenceEncoder
from mezzotint.safety.text.languages import Languages
from mezzotint.safety.text.ngrams import Ngrams
from mezzotint.safety.text.readings import list_scored_readings, prepare_text

Array = NDArray[np.float32]
Numbers = NDArray[np.int32]
# by row: the group of languages, [parts, 512], and the n-grams of each part
Kept = dict[str, tuple[str, NDArray[np.float16], list[Numbers]]]


class ServedRows:
    """The parts of each row as the service cuts them, and the group of languages whose thresholds hold for it."""

    def __init__(self, rows: Sequence[Row], cache: Path) -> None:
        self.rows = rows
        kept = _read_parts(cache)
        if lacking := [row for row in rows if row.key not in kept]:
            kept.update(_embed_parts(lacking))
            _write_parts(cache, kept)
        parts = [kept[row.key][1] for row in rows]
        self.groups = np.array([kept[row.key][0] for row in rows])
        self._numbers = [numbers for row in rows for numbers in kept[row.key][2]]
        self._parts = np.concatenate(parts)
        self._starts = np.cumsum([0, *map(len, parts)])[:-1]

    def parts_beside_whole(self) -> tuple[list[Row], NDArray[np.float32]]:
        """Each part but the whole text, with its row."""
        own = np.repeat(np.arange(len(self.rows)), np.diff([*self._starts, len(self._parts)]))
        beside = np.setdiff1d(np.arange(len(self._parts)), self._starts)
        return [self.rows[at] for at in own[beside]], self._parts[beside].astype(np.float32)

    def fast_logits(self, head: Head) -> Array:
        """[parts, K]."""
        return head.logits(self._parts.astype(np.float32))

    def lexical_logits(self, head: LexicalHead) -> Array:
        """[parts, K]."""
        return head.logits(stack_numbers(self._numbers))

    def of_parts(self, values: Array) -> Array:
        """[n] -> [parts]: of each part its row's."""
        return np.repeat(values, np.diff([*self._starts, len(self._parts)]))

    def of_whole(self, logits: Array) -> Array:
        """[parts, K] -> [n, K]: of the whole texts as they stand."""
        return logits[self._starts]

    def highest(self, logits: Array, discount: float) -> Array:
        """[parts, K] -> [n, K]: the highest of each output, those of parts and other readings less `discount`."""
        lowered = logits - np.float32(discount)
        lowered[self._starts] = logits[self._starts]
        return np.maximum.reduceat(lowered, self._starts)


def _embed_parts(rows: Sequence[Row]) -> Kept:
    encoder, languages = SentenceEncoder(), Languages()
    found: Kept = {}
    for row in rows:
        readings = list_scored_readings(row.text)
        vectors, numbers = zip(*(_embed_reading(encoder, text) for text in readings.texts), strict=True)
        group = str(languages.identify(readings.plainest).group)
        found[row.key] = group, np.concatenate(vectors).astype(np.float16), [one for some in numbers for one in some]
    return found


def _embed_reading(encoder: SentenceEncoder, text: str) -> tuple[Array, list[Numbers]]:
    encoded = encoder.encode_text(text, MAX_TOKENS)
    spans = list_spans(text, encoded)
    ngrams = Ngrams(text)
    numbers = [ngrams.list_numbers(*span).astype(np.int32) for span in list_char_spans(text, encoded, spans)]
    return encoder.embed_spans(encoded, spans), numbers


def _read_parts(cache: Path) -> Kept:
    if not cache.exists():
        return {}
    with np.load(cache) as kept:
        keys, groups, starts = kept["keys"].tolist(), kept["groups"].tolist(), kept["starts"]
        parts, numbers = np.split(kept["parts"], starts[1:]), np.split(kept["numbers"], kept["number_starts"][1:])
    ends = [*starts[1:], len(numbers)]
    return {
        key: (group, part, numbers[start:end])
        for key, group, part, start, end in zip(keys, groups, parts, starts, ends, strict=True)
    }


def _write_parts(cache: Path, kept: Kept) -> None:
    numbers = [one for _, _, some in kept.values() for one in some]
    parts = [vectors for _, vectors, _ in kept.values()]
    np.savez(
        cache,
        keys=np.array(list(kept)),
        groups=np.array([group for group, _, _ in kept.values()]),
        parts=np.concatenate(parts),
        starts=np.cumsum([0, *map(len, parts)])[:-1],
        numbers=np.concatenate(numbers),
        number_starts=np.cumsum([0, *map(len, numbers)])[:-1],
    )


def score_strong(model: Path, rows: Sequence[Row]) -> Array:
    """[n, K] logits of the exported head, as the service runs it; kept in a file beside the model."""
    cache = model.with_suffix(".scores.npz")
    kept: dict[str, Array] = {}
    if cache.exists():
        with np.load(cache) as file:
            kept = dict(zip(file["keys"].tolist(), file["logits"], strict=True))
    if lacking := [row for row in rows if row.key not in kept]:
        kept.update(_run_strong(model, lacking))
        np.savez(cache, keys=np.array(list(kept)), logits=np.stack(list(kept.values())))
    return np.stack([kept[row.key] for row in rows])


def _run_strong(model: Path, rows: Sequence[Row]) -> dict[str, Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    sequences = tokenize([prepare_text(row.text)[:MAX_STRONG_CHARS] for row in rows], MAX_TOKENS_SERVED)
    found: dict[str, Array] = {}
    for row, ids in zip(rows, sequences, strict=True):
        one = np.array([ids], np.int64)
        found[row.key] = session.run(["logits"], {"input_ids": one, "attention_mask": np.ones_like(one)})[0][0]
    return found
