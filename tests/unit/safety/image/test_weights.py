"""Weights are compared with their checksums before they run."""

from pathlib import Path

import pytest

from mezzotint.domain.errors import ModelCorrupt, ModelMissing
from mezzotint.safety.image import weights


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    original = weights.FOLDER
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    for name in ("SHA256SUMS", "mtcnn-p.onnx"):
        (tmp_path / name).write_bytes(original.joinpath(name).read_bytes())
    weights.load_session.cache_clear()
    return tmp_path


def test_weights_as_they_are_listed_load_once(folder: Path) -> None:
    assert weights.load_session("mtcnn-p.onnx") is weights.load_session("mtcnn-p.onnx")


def test_a_changed_byte_is_refused(folder: Path) -> None:
    data = bytearray((folder / "mtcnn-p.onnx").read_bytes())
    data[-1] ^= 1
    (folder / "mtcnn-p.onnx").write_bytes(data)
    with pytest.raises(ModelCorrupt, match="SHA-256"):
        weights.load_session("mtcnn-p.onnx")


def test_weights_that_are_not_there_or_not_listed_are_refused(folder: Path) -> None:
    with pytest.raises(ModelMissing):
        weights.load_session("mtcnn-o.onnx")
    (folder / "other.onnx").write_bytes(b"x")
    with pytest.raises(ModelCorrupt, match="not listed"):
        weights.load_session("other.onnx")
