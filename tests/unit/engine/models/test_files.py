"""Finding, telling and checking models."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny

from mezzotint.domain.errors import ModelCorrupt, ModelMissing
from mezzotint.domain.model import MAX_SIDE_PX
from mezzotint.engine.models import files, load
from mezzotint.engine.models.describe import READ_OFF_CLASSES, describe_model, write_card

STARTER = files.locate("starter")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the starter model to damage."""
    return Path(shutil.copytree(STARTER, tmp_path / "starter"))


def weights_of(folder: Path) -> Path:
    return folder / "unet" / "diffusion_pytorch_model.safetensors"


def test_the_starter_model_is_whole_and_tells_what_it_is() -> None:
    files.check_model(STARTER)
    info = describe_model(STARTER)
    assert (info.native_width, info.native_height, info.grid_px) == (64, 64, 16)
    assert info.default_steps == 30
    assert info.knows
    assert info.examples


def test_a_gateway_without_diffusers_reads_off_the_card_what_another_machine_wrote(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = json.loads((copy / "mezzotint.json").read_text())
    told = {name: value for name, value in card.items() if name not in READ_OFF_CLASSES}
    (copy / "mezzotint.json").write_text(json.dumps(told))
    described = describe_model(copy)
    with monkeypatch.context() as gateway:
        gateway.setitem(sys.modules, "diffusers", None)
        with pytest.raises(ModelMissing, match="mezzotint models describe"):
            describe_model(copy)
        with pytest.raises(ModelMissing, match="could not be had"):
            files.locate("nobody/nothing")
    assert write_card(copy)
    assert not write_card(copy), "it is complete"
    monkeypatch.setitem(sys.modules, "diffusers", None)
    assert describe_model(copy) == described


def test_a_model_is_asked_for_no_side_that_could_not_be_delivered(copy: Path) -> None:
    card = json.loads((copy / "mezzotint.json").read_text())
    (copy / "mezzotint.json").write_text(json.dumps(card | {"native_width": 12_000, "native_height": 64}))
    assert describe_model(copy).max_px == MAX_SIDE_PX
    (copy / "mezzotint.json").write_text(json.dumps(card | {"native_width": MAX_SIDE_PX + 1, "native_height": 64}))
    with pytest.raises(ModelCorrupt, match=str(MAX_SIDE_PX)):
        describe_model(copy)


def test_the_starter_says_of_itself_what_would_be_found_out(copy: Path) -> None:
    said = describe_model(copy)
    card = json.loads((copy / "mezzotint.json").read_text())
    found_out = {key: card.pop(key) for key in ("takes_negative_prompt", "can_stop")}
    (copy / "mezzotint.json").write_text(json.dumps(card))
    assert describe_model(copy) == said
    assert found_out == {"takes_negative_prompt": said.takes_negative_prompt, "can_stop": said.can_stop}


def test_a_flipped_bit_in_the_weights_is_found(copy: Path) -> None:
    content = bytearray(weights_of(copy).read_bytes())
    content[-1] ^= 1
    weights_of(copy).write_bytes(bytes(content))
    with pytest.raises(ModelCorrupt, match="unet"):
        files.check_model(copy)


@pytest.mark.parametrize("keep_bytes", [0, 5, 100, 1_000_000])
def test_a_cut_off_weights_file_is_found_without_checksums(copy: Path, keep_bytes: int) -> None:
    (copy / "SHA256SUMS").unlink()
    weights_of(copy).write_bytes(weights_of(copy).read_bytes()[:keep_bytes])
    with pytest.raises(ModelCorrupt, match="unet"):
        files.check_model(copy)


def test_a_missing_weights_file_is_named(copy: Path) -> None:
    weights_of(copy).unlink()
    with pytest.raises(ModelMissing, match="diffusion_pytorch_model"):
        files.check_model(copy)


def test_a_missing_part_is_named(copy: Path) -> None:
    shutil.rmtree(copy / "vae")
    with pytest.raises(ModelMissing, match="vae"):
        files.check_model(copy)


@pytest.mark.parametrize("content", ["", "[]", "{", '"x"'])
def test_a_damaged_index_is_found(copy: Path, content: str) -> None:
    (copy / "model_index.json").write_text(content)
    with pytest.raises(ModelCorrupt, match="model_index"):
        files.check_model(copy)


def test_an_unknown_text_encoder_is_refused(copy: Path) -> None:
    card = json.loads((copy / "mezzotint.json").read_text())
    (copy / "mezzotint.json").write_text(json.dumps({**card, "text_encoder": "os"}))
    with pytest.raises(ModelCorrupt, match="'os'"):
        files.check_model(copy)


@pytest.mark.parametrize("model", ["/no/such/folder", "./no", "nonsense", "a/b/c"])
def test_a_model_that_is_nowhere_is_named(model: str) -> None:
    with pytest.raises(ModelMissing, match=model):
        files.locate(model)


def test_an_empty_folder_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="model_index"):
        describe_model(tmp_path)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny autoencoder of as many channels as the starter model's."""
    channels = json.loads((STARTER / "vae" / "config.json").read_text())["latent_channels"]
    made = AutoencoderTiny(
        latent_channels=channels, encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny")
    made.save_pretrained(folder)
    return folder


def test_a_tiny_autoencoder_is_checked_against_its_model_and_loaded(tiny: Path) -> None:
    assert files.locate_tiny(str(tiny)) == tiny
    files.check_tiny(tiny, STARTER)
    latents = torch.zeros(1, load.load_tiny(tiny, "cpu").config.latent_channels, 8, 8)
    assert load.load_tiny(tiny, "cpu").decode(latents).sample.shape[:2] == (1, 3)


def test_what_is_no_tiny_autoencoder_of_the_model_is_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        files.locate_tiny("/no/such/folder")
    with pytest.raises(ModelCorrupt, match="not of an AutoencoderTiny"):
        files.check_tiny(STARTER / "unet", STARTER)
    other = Path(shutil.copytree(tiny, tmp_path / "other"))
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"latent_channels": 99}))
    with pytest.raises(ModelCorrupt, match="99 channels"):
        files.check_tiny(other, STARTER)
    next(other.glob("*.safetensors")).unlink()
    with pytest.raises(ModelMissing, match="no safetensors"):
        files.check_tiny(other, STARTER)
