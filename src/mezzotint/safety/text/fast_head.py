"""The fast head: a small layer over sentence embeddings, one logit per category."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mezzotint.safety.text.heads_file import FastEntry, calibrate, read_arrays

Array = NDArray[np.float32]


class FastHead:
    """outputs: the names of its scores. Safe to use from several threads."""

    def __init__(self, folder: Path, entry: FastEntry) -> None:
        """Raises: ModelMissing, ModelCorrupt."""
        arrays = read_arrays(folder, entry)
        self.outputs = tuple(str(name) for name in arrays["outputs"])
        self._hidden = (arrays["hidden_weights"], arrays["hidden_bias"]) if "hidden_weights" in arrays else None
        self._weights, self._bias = arrays["weights"], arrays["bias"]
        self._calibration = arrays["calibration"]

    def score(self, embeddings: Array) -> Array:
        """Calibrated logits [n, outputs] of embeddings [n, 512]."""
        inner = embeddings
        if self._hidden is not None:
            inner = np.maximum(inner @ self._hidden[0] + self._hidden[1], 0)
        return calibrate(inner @ self._weights + self._bias, self._calibration)
