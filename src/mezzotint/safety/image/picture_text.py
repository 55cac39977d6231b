"""Read the text in a picture and ask the text filter about it. rapidocr has the weights of PP-OCR (Apache-2.0)."""

from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from threading import Lock
from typing import Any, Protocol

import numpy as np
from PIL import Image

from mezzotint.domain.errors import ModelMissing
from mezzotint.policy.safety.categories import ANY, SafetyCategory

MAX_SIDE_PX = 1024
"""Larger pictures are shrunk first: time and memory stay bounded, and a headline can still be read."""
MIN_LETTERS = 3
MAX_CHARACTERS = 2000


class JudgedText(Protocol):
    """category: a safety category or `any` where the text is blocked."""

    @property
    def is_blocked(self) -> bool: ...

    @property
    def category(self) -> str: ...


JudgeText = Callable[[str], JudgedText]
READING = Lock()


class PictureText:
    name = "text"
    classes = (ANY, *(category.value for category in SafetyCategory))

    def __init__(self, load_judge: Callable[[], JudgeText]) -> None:
        """load_judge: gives the text filter's judgement. It and the reader (300 MB) are loaded with the first picture
        that is large enough. Raises: ModelMissing.
        """
        try:
            self.version = version("rapidocr")
        except PackageNotFoundError as error:
            raise ModelMissing("the safety policy has text in pictures read, but rapidocr is not installed") from error
        self._load_judge = load_judge
        self._judge: JudgeText | None = None
        self._lock = Lock()

    def score(self, image: Image.Image) -> dict[str, float]:
        """Return 1 for the class that the text filter blocks the picture's text for, 0 for all others."""
        scores = dict.fromkeys(self.classes, 0.0)
        text = self.read(image)
        if sum(letter.isalnum() for letter in text) < MIN_LETTERS:
            return scores
        with self._lock:
            if self._judge is None:
                self._judge = self._load_judge()
        verdict = self._judge(text[:MAX_CHARACTERS])
        if verdict.is_blocked:  # a rule of the operator's own may have a category of its own
            scores[verdict.category if verdict.category in scores else ANY] = 1.0
        return scores

    def read(self, image: Image.Image) -> str:
        """Read the lines of text in an RGB picture, from top to bottom."""
        shrunk = image.copy()
        shrunk.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
        pixels = np.ascontiguousarray(np.asarray(shrunk)[:, :, ::-1])  # it wants BGR
        with READING:
            found = load_reader()(pixels)
        return " ".join(found.txts or ())


@lru_cache(maxsize=1)
def load_reader() -> Any:
    """Load the reader, once a process. It keeps what it works on in itself: call it under `READING`."""
    from rapidocr import RapidOCR

    one_thread = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    return RapidOCR(params={"Global.log_level": "error", "Global.use_cls": False, **one_thread})
