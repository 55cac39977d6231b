"""Models in one file draw what their folders draw; files that cannot be drawn are named before a port opens."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from mezzotint.config import read_settings
from mezzotint.domain.errors import ModelCorrupt, ModelMissing, ModelUnsupported, SettingInvalid, StartError
from mezzotint.engine.models import files, load, single_file
from mezzotint.engine.models.catalog import Dtype, ModelEntry
from mezzotint.main.served_models import find_models
from tests.conformance.engine.zoo.parts import seeded
from tests.unit.engine.models import original_layout as layout
from tests.unit.engine.models.tiny_families import FAMILIES, draw, edit, spoil_one, strip, write


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_draws_what_its_folder_draws_with_configurations_alone(family: str, tmp_path: Path) -> None:
    build, lay_out = FAMILIES[family]
    pipeline = seeded(build)()
    folder, file = write(pipeline, lay_out(pipeline), tmp_path)
    like = strip(folder, tmp_path / "like")
    (found,) = find_models(read_settings(model=str(file), like=str(like)))
    assert (found.info.name, found.checkpoint, found.folder) == ("model", file, like)
    assert found.num_bytes == file.stat().st_size
    loaded = load.load_pipeline(like, "cpu", checkpoint=file)
    assert np.array_equal(draw(loaded), draw(load.load_pipeline(folder, "cpu")))


def test_a_denoiser_alone_takes_the_rest_from_its_like(sd1_model: tuple[Path, Path], tmp_path: Path) -> None:
    folder, _ = sd1_model
    file = tmp_path / "unet.safetensors"
    shutil.copy(folder / "unet" / "diffusion_pytorch_model.safetensors", file)
    (found,) = find_models(read_settings(model=str(file), like=str(folder)))
    assert found.num_bytes == files.num_bytes(folder)
    whole, alone = load.load_pipeline(folder, "cpu"), load.load_pipeline(folder, "cpu", checkpoint=file)
    assert np.array_equal(draw(whole), draw(alone))
    with pytest.raises(ModelMissing, match=r"does not hold the model's (vae|text_encoder)"):
        find_models(read_settings(model=str(file), like=str(strip(folder, tmp_path / "like"))))


def test_a_narrow_file_is_computed_in_the_dtype_asked_for(sd1_model: tuple[Path, Path], tmp_path: Path) -> None:
    folder, file = sd1_model
    narrow = tmp_path / "narrow.safetensors"
    save_file({name: one.half() for name, one in load_file(file).items()}, narrow)
    from mezzotint.engine.models.dtypes import choose_dtype

    chosen = choose_dtype(folder, Dtype.AUTO, "cuda", has_bfloat16=True, checkpoint=narrow)
    assert chosen is torch.float16
    entry = ModelEntry(name="m", source="m", dtype=Dtype.BFLOAT16)
    assert load.load_pipeline(folder, "cpu", entry, checkpoint=narrow).text_encoder.dtype is torch.bfloat16
    assert load.load_pipeline(folder, "cpu", checkpoint=narrow).unet.dtype is torch.float32


def test_the_packages_configurations_are_those_of_the_published_models() -> None:
    """Parameter counts as published with Stable Diffusion 1.5 and XL 1.0."""
    from accelerate import init_empty_weights

    expected = {
        ("sd1", "unet", UNet2DConditionModel): 859_520_964,
        ("sd1", "vae", AutoencoderKL): 83_653_863,
        ("sd1", "text_encoder", CLIPTextModel): 123_060_480,
        ("sdxl", "unet", UNet2DConditionModel): 2_567_463_684,
        ("sdxl", "vae", AutoencoderKL): 83_653_863,
        ("sdxl", "text_encoder", CLIPTextModel): 123_060_480,
        ("sdxl", "text_encoder_2", CLIPTextModelWithProjection): 694_659_840,
    }
    for (family, part, kind), count in expected.items():
        place = single_file.CONFIGS / family
        with init_empty_weights():
            if kind in {UNet2DConditionModel, AutoencoderKL}:
                module = kind.from_config(kind.load_config(place, subfolder=part))
            else:
                module = kind(CLIPTextConfig.from_pretrained(place, subfolder=part))
        assert sum(one.numel() for one in module.parameters()) == count, (family, part)


def test_the_packages_tokenizer_is_clips() -> None:
    made = single_file.make_clip_tokenizer("tokenizer")
    assert made("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert (made.model_max_length, made.pad_token_id) == (77, 49407)
    assert single_file.make_clip_tokenizer("tokenizer_2").pad_token == "!"


def header_only(path: Path, shapes: dict[str, list[int]]) -> Path:
    """A file of zeros that take no room on disk."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * int(np.prod(shape))
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return path


def shapes_in_file(configs: Path, *parts: Any) -> dict[str, list[int]]:
    """Names and shapes of a whole published model, without its 2 GB."""
    with torch.device("meta"):
        found: layout.Tensors = {}
        for kind, part, lay_out in parts:
            if kind in {UNet2DConditionModel, AutoencoderKL}:
                module = kind.from_config(kind.load_config(configs, subfolder=part))
            else:
                module = kind(CLIPTextConfig.from_pretrained(configs, subfolder=part))
            found |= lay_out(module)
    return {name: list(one.shape) for name, one in found.items()}


def test_a_file_of_stable_diffusion_1_needs_no_configuration_of_ones_own(tmp_path: Path) -> None:
    shapes = shapes_in_file(
        single_file.CONFIGS / "sd1",
        (UNet2DConditionModel, "unet", layout.unet),
        (AutoencoderKL, "vae", layout.vae),
        (CLIPTextModel, "text_encoder", layout.clip),
    )
    file = header_only(tmp_path / "My model (v1.5).safetensors", shapes)
    # a gateway does not read the numbers, and this test neither
    (found,) = find_models(read_settings(model=str(file), worker=False))
    single_file.check_parts(file, found.folder)
    assert (found.info.name, found.info.native_width, found.info.grid_px) == ("My-model-v1.5", 512, 64)
    assert not found.info.knows
    del shapes["model.diffusion_model.input_blocks.0.0.weight"]
    with pytest.raises(ModelCorrupt, match=r"holds Stable Diffusion 1, lacks 1 tensors of UNet2D.*: conv_in.weight"):
        single_file.check_parts(header_only(tmp_path / "lacking.safetensors", shapes), found.folder)


def reshape_one(tensors: layout.Tensors) -> None:
    tensors["model.diffusion_model.out.2.bias"] = torch.zeros(5)


def keep_only(prefix: str) -> Callable[[layout.Tensors], None]:
    def change(tensors: layout.Tensors) -> None:
        for name in [name for name in tensors if not name.startswith(prefix)]:
            del tensors[name]

    return change


def replace_all(**tensors: torch.Tensor) -> Callable[[layout.Tensors], None]:
    def change(found: layout.Tensors) -> None:
        found.clear()
        found.update({name.replace("__", "."): one for name, one in tensors.items()})

    return change


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (
            lambda one: one.pop("model.diffusion_model.out.2.bias"),
            ModelCorrupt,
            "lacks 1 tensors of UNet2D.*conv_out",
        ),
        (lambda one: one.pop("first_stage_model.decoder.conv_in.bias"), ModelCorrupt, "lacks 1 tensors of Autoencoder"),
        (
            lambda one: one.pop("cond_stage_model.transformer.text_model.final_layer_norm.bias"),
            ModelCorrupt,
            "lacks 1 tensors of CLIPTextModel",
        ),
        (reshape_one, ModelCorrupt, r"conv_out.bias is \[5\], not \[4\]"),
        (spoil_one, ModelCorrupt, r"not finite .*, in first_stage_model.decoder.conv_in.bias"),
        (keep_only("first_stage_model."), ModelUnsupported, "holds an autoencoder"),
        (keep_only("cond_stage_model."), ModelCorrupt, "UNet2DConditionModel"),
        (replace_all(lora_unet_down__lora_down__weight=torch.zeros(2, 2)), ModelUnsupported, "holds a LoRA adapter"),
        (replace_all(control_model__x=torch.zeros(2, 2)), ModelUnsupported, "holds a ControlNet"),
        (replace_all(joint_blocks__0__x=torch.zeros(2, 2)), ModelCorrupt, "holds Stable Diffusion 3"),
        (lambda one: one.update(scaled_fp8=torch.zeros(2)), ModelUnsupported, "quantised"),
    ],
)
def test_a_file_that_cannot_be_drawn_is_named_before_a_port_opens(
    change: Callable[[layout.Tensors], Any],
    error: type[StartError],
    said: str,
    sd1_model: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    folder, file = sd1_model
    bad = edit(file, tmp_path / "bad.safetensors", change)
    with pytest.raises(error, match=said) as raised:
        find_models(read_settings(model=str(bad), like=str(folder)))
    assert str(bad) in str(raised.value)


def claim_too_much(file: Path) -> None:
    file.write_bytes((1 << 60).to_bytes(8, "little") + file.read_bytes()[8:])


@pytest.mark.parametrize(
    "damage",
    [
        claim_too_much,
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"\x80\x04 no such file"),
    ],
)
def test_a_damaged_file_is_named_before_a_port_opens(
    damage: Callable[[Path], None], sd1_model: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, file = sd1_model
    bad = Path(shutil.copy(file, tmp_path / "bad.safetensors"))
    damage(bad)
    for worker in (True, False):
        with pytest.raises(ModelCorrupt, match=r"bad\.safetensors"):
            find_models(read_settings(model=str(bad), like=str(folder), worker=worker))


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "model.bin", "model.pth", "model.CKPT", "model.gguf"])
def test_a_pickle_is_refused_unread_with_what_to_do(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"cos\nsystem\n")
    with pytest.raises(ModelUnsupported, match=r"\.safetensors"):
        find_models(read_settings(model=str(tmp_path / name)))


def test_a_configuration_is_never_fetched(
    sd1_model: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, file = sd1_model
    with pytest.raises(ModelMissing, match="hf download nobody/nothing"):
        find_models(read_settings(model=str(file), like="nobody/nothing"))
    sd2 = edit(file, tmp_path / "sd2.safetensors", replace_all(cond_stage_model__model__x=torch.zeros(2)))
    with pytest.raises(ModelMissing, match=r"Stable Diffusion 2, whose configuration .* --like"):
        find_models(read_settings(model=str(sd2)))
    odd = edit(file, tmp_path / "odd.safetensors", replace_all(x=torch.zeros(2)))
    with pytest.raises(ModelUnsupported, match="no model that is known"):
        find_models(read_settings(model=str(odd)))
    with pytest.raises(ModelMissing, match="no file"):
        find_models(read_settings(model=str(tmp_path / "none.safetensors")))
    with pytest.raises(SettingInvalid, match="no single file"):
        find_models(read_settings(model="starter", like="starter"))


def test_numbers_are_read_again_only_when_a_file_has_changed(
    sd1_model: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, file = sd1_model
    read: list[Path] = []
    monkeypatch.setattr("mezzotint.engine.models.integrity.check_finite", read.append)
    for _ in range(2):
        find_models(read_settings(model=str(file), like=str(folder), data=tmp_path))
    assert read == [file]


def test_a_folder_with_numbers_that_are_not_finite_is_named(sd1_model: tuple[Path, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sd1_model[0], tmp_path / "folder"))
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    edit(weights, weights, lambda tensors: tensors["decoder.conv_in.bias"].fill_(float("inf")))
    with pytest.raises(ModelCorrupt, match=r"vae.*not finite .*, in decoder.conv_in.bias"):
        find_models(read_settings(model=str(folder)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_width_of_numbers_is_read(dtype: torch.dtype, tmp_path: Path) -> None:
    from mezzotint.engine.models.integrity import check_finite

    good = torch.tensor([0.0, -1.5, torch.finfo(dtype).max, torch.finfo(dtype).tiny], dtype=dtype)
    for bad in (float("nan"), float("-inf")):
        save_file({"a": good, "n": torch.ones(3, dtype=torch.int64)}, tmp_path / "a.safetensors")
        check_finite(tmp_path / "a.safetensors")
        save_file({"a": torch.cat([good, torch.tensor([bad], dtype=dtype)])}, tmp_path / "b.safetensors")
        with pytest.raises(ModelCorrupt, match="not finite"):
            check_finite(tmp_path / "b.safetensors")


def test_a_file_stands_in_a_list_of_models(sd1_model: tuple[Path, Path], tmp_path: Path) -> None:
    folder, file = sd1_model
    toml = tmp_path / "models.toml"
    entry = f'[[models]]\nname = "own"\nsource = "{file}"\nlike = "{folder}"\n'
    toml.write_text(entry)
    (found,) = find_models(read_settings(models=toml))
    assert (found.info.name, found.place) == ("own", file)
    toml.write_text(entry + '[models.quantization]\nbackend = "quanto"\noptions = {weights_dtype = "int8"}\n')
    with pytest.raises(SettingInvalid, match="models import"):
        find_models(read_settings(models=toml))
