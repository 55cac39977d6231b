"""The lexical head: a weight for each word and run of letters, one logit per category.

It stands beside the fast head: sentence embeddings know what a text is about, single words and parts of words tell how
much of it is meant, in any language that was trained on.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mezzotint.domain.errors import ModelCorrupt
from mezzotint.safety.text.heads_file import FastEntry, calibrate, read_arrays
from mezzotint.safety.text.ngrams import NUM_BUCKETS, Ngrams

Array = NDArray[np.float32]


class LexicalHead:
    """outputs: the names of its scores. Safe to use from several threads."""

    def __init__(self, folder: Path, entry: FastEntry) -> None:
        """Load the weights (2.4 MB, one byte each). Raises: ModelMissing, ModelCorrupt."""
        arrays = read_arrays(folder, entry)
        self.outputs = tuple(str(name) for name in arrays["outputs"])
        if arrays["weights"].shape != (NUM_BUCKETS, len(self.outputs)):
            raise ModelCorrupt(f"{entry.file} has weights of the shape {arrays['weights'].shape}")
        self._weights, self._scale, self._bias = arrays["weights"], arrays["scale"], arrays["bias"]
        self._calibration = arrays["calibration"]

    def score(self, text: str, spans: Sequence[tuple[int, int]]) -> Array:
        """Calibrated logits [len(spans), outputs] of parts of a text. spans: ranges of characters."""
        ngrams = Ngrams(text)
        members = ngrams.find_members(spans)
        # exact: sums of whole numbers of one byte stay far below 2^24
        totals = (members.astype(np.float32) @ self._weights[ngrams.numbers].astype(np.float32)).astype(np.int32)
        counts = np.maximum(members.sum(axis=1), 1)
        logits = totals * self._scale / np.sqrt(counts)[:, None] + self._bias
        return calibrate(np.asarray(logits, dtype=np.float32), self._calibration)
