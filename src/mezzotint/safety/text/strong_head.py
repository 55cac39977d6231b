"""The strong head: a fine-tuned MiniLM as int8 ONNX, for texts that the fast head leaves in doubt."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from mezzotint.safety.text.heads_file import StrongEntry, calibrate, verify_file

Array = NDArray[np.float32]


class StrongHead:
    """outputs: the names of its scores. languages: those that it was trained on. Safe to use from several threads."""

    def __init__(self, folder: Path, entry: StrongEntry) -> None:
        """Load the weights (some 25 MB). Raises: ModelMissing, ModelCorrupt."""
        path = verify_file(folder, entry.file, entry.sha256)
        tokenizer = verify_file(folder, entry.tokenizer, entry.tokenizer_sha256)
        self.outputs, self.languages = entry.outputs, frozenset(entry.languages)
        self._calibration = entry.calibration
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = {one.name for one in self._session.get_inputs()}
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(entry.max_tokens)
        self._tokenizer.no_padding()

    def score(self, text: str) -> Array:
        """Calibrated logits [outputs] of a text as `prepare_text` returns it; what is over max_tokens is cut off."""
        encoding = self._tokenizer.encode(text)
        ids = np.array([encoding.ids], dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        logits = self._session.run(["logits"], {name: feed[name] for name in self._inputs})[0]
        calibrated: Array = calibrate(np.asarray(logits, dtype=np.float32), self._calibration)[0]
        return calibrated
