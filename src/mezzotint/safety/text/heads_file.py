"""Read `heads/heads.json`: which trained heads there are, by whose hash, and how their scores are calibrated."""

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mezzotint.domain.errors import ModelCorrupt, ModelMissing
from mezzotint.policy.safety.categories import ANY, SafetyCategory
from mezzotint.policy.safety.document import LanguageGroup

Array = NDArray[np.float32]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")  # licences and sources stand there for people

    file: str
    sha256: str


class FastEntry(_Entry):
    """A head in one file of arrays: over the multilingual encoder, or over words and runs of letters."""


class StrongEntry(_Entry):
    """The fine-tuned transformer. calibration: scale and offset of each output's logit."""

    tokenizer: str
    tokenizer_sha256: str
    outputs: tuple[str, ...]
    calibration: tuple[tuple[float, float], ...]
    languages: tuple[str, ...] = ("en",)
    max_tokens: Annotated[int, Field(ge=8, le=512)] = 128


class Blend(BaseModel):
    """lexical: its share of the logit beside the fast head, by group of languages. strong: its share where it scored a
    text, too.
    """

    lexical: Mapping[LanguageGroup, Annotated[float, Field(ge=0, le=1)]] = {}
    strong: Annotated[float, Field(ge=0, le=1)] = 0.6


class StrongPart(BaseModel):
    """The rule by which a part that the strong head reads beside the whole is scored for `any`.

    share: of the strong head's logit beside the fast one's. discount: taken off both together. min_logit: the fast one
    from which a part is read; below it no answer of the strong head would reach a threshold.
    """

    share: Annotated[float, Field(ge=0, le=1)]
    discount: Annotated[float, Field(ge=0)]
    min_logit: float = -1.0

    def blend(self, strong: float, fast: float) -> float:
        return self.share * strong + (1 - self.share) * fast - self.discount


class Heads(BaseModel):
    """part_discount: taken off the logits of sentences, windows and disguised readings. strong_part: None: the strong
    head reads no part beside the whole.
    """

    version: str
    fast: FastEntry
    lexical: FastEntry | None = None
    strong: StrongEntry | None = None
    blend: Blend = Blend()
    part_discount: Annotated[float, Field(ge=0)] = 0.0
    strong_part: StrongPart | None = None


def heads_folder() -> Path:
    return Path(str(files("mezzotint.safety.text"))) / "heads"


def read_heads(folder: Path) -> Heads:
    """Raises: ModelMissing."""
    try:
        return Heads.model_validate_json((folder / "heads.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelMissing(f"the text classifier's heads are not in {folder}") from error


def verify_file(folder: Path, name: str, expected: str) -> Path:
    """Raises: ModelMissing, ModelCorrupt."""
    path = folder / name
    try:
        found = sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelMissing(f"the text classifier's file is not at {path}") from error
    if found != expected:
        raise ModelCorrupt(f"the text classifier's file {path} is damaged: SHA-256 {found}, not {expected}")
    return path


def read_arrays(folder: Path, entry: FastEntry) -> dict[str, NDArray[Any]]:
    """The arrays of a head, by name; `outputs` names what it scores. Raises: ModelMissing, ModelCorrupt."""
    path = verify_file(folder, entry.file, entry.sha256)
    with np.load(path, allow_pickle=False) as data:
        arrays = {name: data[name] for name in data.files}
    if unknown := {str(name) for name in arrays["outputs"]} - {ANY, *SafetyCategory}:
        raise ModelCorrupt(f"{path} has outputs that are no category: {sorted(unknown)}")
    return arrays


def calibrate(logits: Array, calibration: Any) -> Array:
    """Scale and shift the logits of each output. logits: [n, outputs]; calibration: [outputs, 2]."""
    table = np.asarray(calibration, dtype=np.float32)
    return np.asarray(logits * table[:, 0] + table[:, 1], dtype=np.float32)


def sigmoid(logits: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))), dtype=np.float32)
