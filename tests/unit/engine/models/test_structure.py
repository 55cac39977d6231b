"""Damaged and incomplete models are named by one check, before anything is loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from mezzotint.config import read_settings
from mezzotint.domain.errors import ModelCorrupt, ModelMissing, ModelUnsupported, StartError
from mezzotint.engine.models.describe import describe_model
from mezzotint.main.served_models import find_models
from tests.conformance.engine.zoo import classic

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model as diffusers saves it, its text encoder included."""
    folder = tmp_path_factory.mktemp("stock") / "small"
    config = CLIPTextConfig(
        vocab_size=100, hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4
    )
    sampler = DDIMScheduler(**classic.BETAS, clip_sample=False)
    StableDiffusionPipeline(**classic.parts(sampler, text_encoder=CLIPTextModel(config))).save_pretrained(folder)
    return folder


def edit(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def drop_one(tensors: dict[str, torch.Tensor]) -> None:
    del tensors[sorted(tensors)[0]]


def reshape_one(tensors: dict[str, torch.Tensor]) -> None:
    tensors[sorted(tensors)[0]] = torch.zeros(3)


def pickle_alone(folder: Path) -> None:
    (folder / "unet" / WEIGHTS).rename(folder / "unet" / "diffusion_pytorch_model.bin")


def lose_shard(folder: Path) -> None:
    tensors = load_file(folder / "unet" / WEIGHTS)
    index = {"metadata": {}, "weight_map": dict.fromkeys(tensors, "diffusion_pytorch_model-00001-of-00001.safetensors")}
    (folder / "unet" / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    (folder / "unet" / WEIGHTS).unlink()


def break_link(folder: Path) -> None:
    (folder / "vae" / WEIGHTS).unlink()
    (folder / "vae" / WEIGHTS).symlink_to(folder / "nowhere")


def change_config(folder: Path) -> None:
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cross_attention_dim": 7}))


@pytest.mark.parametrize(
    ("damage", "error", "named"),
    [
        (lambda folder: edit(folder / "unet" / WEIGHTS, drop_one), ModelCorrupt, "lacks 1 tensors of UNet2D"),
        (lambda folder: edit(folder / "vae" / WEIGHTS, drop_one), ModelCorrupt, "lacks 1 tensors of Autoencoder"),
        (
            lambda folder: edit(folder / "text_encoder" / "model.safetensors", drop_one),
            ModelCorrupt,
            "lacks 1 tensors of CLIPTextModel",
        ),
        (lambda folder: edit(folder / "unet" / WEIGHTS, reshape_one), ModelCorrupt, "does not fit UNet2D"),
        (
            lambda folder: edit(folder / "text_encoder" / "model.safetensors", reshape_one),
            ModelCorrupt,
            "does not fit CLIPTextModel",
        ),
        (
            lambda folder: (folder / "unet" / WEIGHTS).unlink(),
            ModelMissing,
            "diffusion_pytorch_model.safetensors is missing",
        ),
        (pickle_alone, ModelMissing, "a pickle"),
        (lose_shard, ModelMissing, "00001-of-00001"),
        (break_link, ModelMissing, "vae"),
        (change_config, ModelCorrupt, "does not fit UNet2D"),
        (lambda folder: shutil.rmtree(folder / "text_encoder"), ModelMissing, "text_encoder"),
    ],
    ids=[
        *("unet tensor", "vae tensor", "encoder tensor", "unet shape", "encoder shape", "no unet file", "bin only"),
        *("shard", "link", "config", "no encoder"),
    ],
)
def test_what_could_not_be_loaded_is_named_before_a_port_opens(
    damage: Callable[[Path], None], error: type[StartError], named: str, stock: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(stock, tmp_path / "small"))
    damage(folder)
    with pytest.raises(error, match=named) as raised:
        find_models(read_settings(model=str(folder)))
    assert str(folder) in str(raised.value)


def test_a_whole_model_passes_and_is_called_by_its_folder_not_its_path(stock: Path) -> None:
    (found,) = find_models(read_settings(model=str(stock)))
    assert found.info.name == "small"
    assert str(stock.parent) not in found.info.about


def test_variants_alone_pass(stock: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(stock, tmp_path / "small"))
    for path in folder.rglob("*.safetensors"):
        path.rename(path.with_suffix(".fp16.safetensors"))
    assert find_models(read_settings(model=str(folder)))


def test_a_gateway_alone_builds_no_modules(stock: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(stock, tmp_path / "small"))
    edit(folder / "unet" / WEIGHTS, drop_one)
    assert find_models(read_settings(model=str(folder), worker=False))


def test_a_model_that_needs_a_picture_in_every_call_is_refused(stock: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(stock, tmp_path / "small"))
    index = json.loads((folder / "model_index.json").read_text())
    shutil.copytree(folder / "unet", folder / "controlnet")
    index["controlnet"] = ["diffusers", "UNet2DConditionModel"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelUnsupported, match="controlnet"):
        describe_model(folder)
