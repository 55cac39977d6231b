"""Finding, telling and checking models."""

import json
import shutil
from pathlib import Path

import pytest

from mezzotint.domain.errors import ModelCorrupt, ModelMissing
from mezzotint.engine import models

STARTER = models.locate("starter")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the starter model to damage."""
    return Path(shutil.copytree(STARTER, tmp_path / "starter"))


def weights_of(folder: Path) -> Path:
    return folder / "unet" / "diffusion_pytorch_model.safetensors"


def test_the_starter_model_is_whole_and_tells_what_it_is() -> None:
    models.check(STARTER)
    info = models.describe(STARTER)
    assert (info.native_width, info.native_height, info.grid_px) == (64, 64, 16)
    assert info.default_steps == 30
    assert info.knows
    assert info.examples


def test_a_flipped_bit_in_the_weights_is_found(copy: Path) -> None:
    content = bytearray(weights_of(copy).read_bytes())
    content[-1] ^= 1
    weights_of(copy).write_bytes(bytes(content))
    with pytest.raises(ModelCorrupt, match="unet"):
        models.check(copy)


@pytest.mark.parametrize("keep_bytes", [0, 5, 100, 1_000_000])
def test_a_cut_off_weights_file_is_found_without_checksums(copy: Path, keep_bytes: int) -> None:
    (copy / "SHA256SUMS").unlink()
    weights_of(copy).write_bytes(weights_of(copy).read_bytes()[:keep_bytes])
    with pytest.raises(ModelCorrupt, match="unet"):
        models.check(copy)


def test_a_missing_weights_file_is_named(copy: Path) -> None:
    weights_of(copy).unlink()
    with pytest.raises(ModelMissing, match="diffusion_pytorch_model"):
        models.check(copy)


def test_a_missing_part_is_named(copy: Path) -> None:
    shutil.rmtree(copy / "vae")
    with pytest.raises(ModelMissing, match="vae"):
        models.check(copy)


@pytest.mark.parametrize("content", ["", "[]", "{", '"x"'])
def test_a_damaged_index_is_found(copy: Path, content: str) -> None:
    (copy / "model_index.json").write_text(content)
    with pytest.raises(ModelCorrupt, match="model_index"):
        models.check(copy)


def test_an_unknown_text_encoder_is_refused(copy: Path) -> None:
    card = json.loads((copy / "mezzotint.json").read_text())
    (copy / "mezzotint.json").write_text(json.dumps({**card, "text_encoder": "os"}))
    with pytest.raises(ModelCorrupt, match="'os'"):
        models.check(copy)


@pytest.mark.parametrize("model", ["/no/such/folder", "./no", "nonsense", "a/b/c"])
def test_a_model_that_is_nowhere_is_named(model: str) -> None:
    with pytest.raises(ModelMissing, match=model):
        models.locate(model)


def test_an_empty_folder_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="model_index"):
        models.describe(tmp_path)
