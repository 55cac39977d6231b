"""Files of styles, as strangers give them: what cannot be used is named before anything is loaded."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mezzotint.domain.errors import StyleInvalid
from mezzotint.engine.models.files import locate
from mezzotint.engine.models.structure import build_empty_pipeline
from mezzotint.engine.models.styles import check_style_file, check_style_fits, check_style_values, locate_style
from tests.conformance.engine.zoo.xl import sdxl
from tests.styles import Factors, make_factors, write_style

STARTER = locate("starter")
MAX_BYTES = 8 << 20


@pytest.fixture(scope="module")
def factors() -> Factors:
    return make_factors(build_empty_pipeline(STARTER).unet)


@pytest.mark.parametrize("format", ["diffusers", "peft", "denoiser alone", "peft folder", "kohya"])
def test_a_style_of_the_model_passes_in_every_format(tmp_path: Path, factors: Factors, format: str) -> None:
    path = write_style(tmp_path / "ink.safetensors", factors, format)
    check_style_file(path, MAX_BYTES)
    check_style_values(path)
    check_style_fits(path, STARTER)


def write_header(path: Path, header: bytes, claimed: int | None = None) -> None:
    path.write_bytes((len(header) if claimed is None else claimed).to_bytes(8, "little") + header)


def some(**more: Any) -> dict[str, torch.Tensor]:
    return {"unet.a.lora_A.weight": torch.ones(1, 1), **more}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: write_header(path, b"{}", 2**60), "not a safetensors file, or is cut off"),
        (lambda path: write_header(path, json.dumps({"a": 1}).encode()), "damaged header"),
        (lambda path: path.write_bytes(b"x"), "not a safetensors file"),
        (lambda path: save_file({"a.weight": torch.ones(1)}, path), "holds no LoRA"),
        (lambda path: save_file(some(**{"unet.a.dora_scale": torch.ones(1)}), path), "DoRA"),
        (lambda path: save_file({"lora_unet_a.hada_w1_a": torch.ones(1)}, path), "LoHa"),
        (lambda path: save_file(some(b=torch.ones(MAX_BYTES)), path), "style_max_mb allows 8"),
        (lambda path: None, "is missing"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_without_reading_a_tensor(tmp_path: Path, make: Any, said: str) -> None:
    path = tmp_path / "ink.safetensors"
    make(path)
    with pytest.raises(StyleInvalid, match=said):
        check_style_file(path, MAX_BYTES)


def test_a_pickle_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "ink.pt").write_bytes(b"x")
    with pytest.raises(StyleInvalid, match="convert it"):
        check_style_file(tmp_path / "ink.pt", MAX_BYTES)


def test_numbers_that_are_none_are_found(tmp_path: Path, factors: Factors) -> None:
    name = next(iter(factors))
    factors = factors | {name: (factors[name][0], factors[name][1] * float("nan"))}
    with pytest.raises(StyleInvalid, match=f"NaN or infinity in unet.{name}"):
        check_style_values(write_style(tmp_path / "ink.safetensors", factors))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda factors: make_factors(sdxl().unet), "does not fit"),
        (lambda factors: {name: (down[:, :5], up) for name, (down, up) in factors.items()}, "size mismatch"),
        (lambda factors: {f"nowhere.{name}": both for name, both in factors.items()}, "does not fit"),
        (
            lambda factors: factors | {"nowhere.to_q": (torch.ones(4, 8), torch.ones(8, 4))},
            r"2 of .*such as unet.nowhere.to_q.lora.down.weight, unet.nowhere.to_q.lora.up.weight$",
        ),
    ],
)
def test_a_style_of_another_model_is_named(
    tmp_path: Path, factors: Factors, change: Any, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StyleInvalid, match=said):
        check_style_fits(write_style(tmp_path / "ink.safetensors", change(factors)), STARTER)
    assert "size mismatch" not in "".join(capfd.readouterr()), "the message says it once"


def test_a_style_that_lacks_half_of_a_pair_is_named(tmp_path: Path, factors: Factors) -> None:
    path = write_style(tmp_path / "ink.safetensors", factors, "peft")
    tensors = load_file(path)
    missing = sorted(tensors)[0]
    del tensors[missing]
    save_file(tensors, path)
    with pytest.raises(StyleInvalid, match=f"lacks 1 tensors, such as {missing}$"):
        check_style_fits(path, STARTER)


def test_integers_are_no_style(tmp_path: Path, factors: Factors) -> None:
    path = write_style(tmp_path / "ink.safetensors", factors)
    name = next(iter(tensors := load_file(path)))
    save_file(tensors | {name: tensors[name].to(torch.int32)}, path)
    with pytest.raises(StyleInvalid, match=f"int32 in {name}"):
        check_style_values(path)


def test_a_style_is_found_as_a_file_a_folder_or_by_its_name(tmp_path: Path, factors: Factors) -> None:
    path = write_style(tmp_path / "ink.safetensors", factors)
    assert locate_style(str(path)) == path
    assert locate_style(str(tmp_path)) == path
    assert locate_style("woodcut").exists()
    for source, said in (("./no.safetensors", "there is no file"), ("ink", "there is no file")):
        with pytest.raises(StyleInvalid, match=said):
            locate_style(source)
    write_style(tmp_path / "oil.safetensors", factors)
    with pytest.raises(StyleInvalid, match="2 safetensors files"):
        locate_style(str(tmp_path))
