"""Weights are read from the variant that suits, folders that hold nothing else included, and straight to the device."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from mezzotint.engine import Hub
from mezzotint.engine.models import files, load, read_ahead
from mezzotint.engine.models.catalog import Dtype, ModelEntry, Offload
from mezzotint.engine.models.variants import choose_variant, select_files
from tests.conformance.engine.zoo import unprompted

NAME = "diffusion_pytorch_model"


def component(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / f"{name}.safetensors").touch()
    return folder


def entry(**changes: Any) -> ModelEntry:
    return ModelEntry.model_validate({"name": "tiny", "source": "tiny"} | changes)


@pytest.mark.parametrize(
    ("names", "dtype", "variant", "read"),
    [
        ([NAME, f"{NAME}.fp16"], "float16", "fp16", [f"{NAME}.fp16"]),
        ([NAME, f"{NAME}.fp16"], "bfloat16", None, [NAME]),
        ([NAME, f"{NAME}.fp16"], "float32", None, [NAME]),
        ([NAME, f"{NAME}.fp16", f"{NAME}.bf16"], "bfloat16", "bf16", [f"{NAME}.bf16"]),
        ([f"{NAME}.fp16"], "float32", "fp16", [f"{NAME}.fp16"]),
        ([f"{NAME}.fp16"], "bfloat16", "fp16", [f"{NAME}.fp16"]),
        ([f"{NAME}.fp16", f"{NAME}.bf16"], "float32", "fp16", [f"{NAME}.fp16"]),
        (
            ["model.fp16-00001-of-00002", "model.fp16-00002-of-00002", "model-00001-of-00001"],
            "float16",
            "fp16",
            ["model.fp16-00001-of-00002", "model.fp16-00002-of-00002"],
        ),
        ([f"{NAME}.non_ema", NAME], "float16", None, [NAME]),
        ([], "float16", None, []),
    ],
)
def test_the_variant_of_the_dtype_is_read_or_the_only_one_there_is(
    tmp_path: Path, names: list[str], dtype: str, variant: str | None, read: list[str]
) -> None:
    folder = component(tmp_path / "unet", *names)
    plain = component(tmp_path / "vae", NAME)
    assert choose_variant([folder, plain], dtype) == variant
    assert [file.stem for file in select_files(folder, variant)] == read
    assert [file.stem for file in select_files(plain, variant)] == [NAME], "a component may lack it"


@pytest.fixture
def narrow(tmp_path: Path) -> Path:
    """A tiny pipeline whose files are float16 alone, and are called so."""
    unprompted.dit().to(torch.float16).save_pretrained(tmp_path, variant="fp16")
    assert not list(tmp_path.rglob(f"{NAME}.safetensors"))
    return tmp_path


def test_a_folder_of_variants_alone_is_loaded(narrow: Path) -> None:
    pipeline = load.load_pipeline(narrow, "cpu")
    assert pipeline.transformer.dtype is torch.float32, "a CPU computes in it"
    with safe_open(narrow / "transformer" / f"{NAME}.fp16.safetensors", framework="pt") as stored:
        for name, weight in pipeline.transformer.state_dict().items():
            if name in stored.keys():  # noqa: SIM118 - it is no dict
                assert torch.equal(weight, stored.get_tensor(name).float())
    assert files.num_bytes(narrow) == sum(file.stat().st_size for file in narrow.rglob("*.safetensors"))


def test_the_variant_is_read_in_the_place_of_plain_files_twice_its_size(narrow: Path) -> None:
    for file in narrow.rglob(f"{NAME}.fp16.safetensors"):
        shutil.copy(file, file.with_name(f"{NAME}.safetensors"))
    (narrow / "transformer" / f"{NAME}.safetensors").write_bytes(b"nobody reads this")
    pipeline = load.load_pipeline(narrow, "cpu", entry(dtype="float16"))
    assert pipeline.transformer.dtype is torch.float16


def test_weights_come_straight_to_a_device_without_hooks(narrow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load.load_pipeline(narrow, "cpu")
    monkeypatch.setattr(load, "_find_device_map", lambda *asked: "cpu")
    straight = load.load_pipeline(narrow, "cpu")
    assert straight.hf_device_map == "cpu"
    hub = Hub(straight)
    assert not hub.is_exclusive
    assert hub.fingerprint == Hub(plain).fingerprint


def test_weights_come_to_host_memory_first_where_the_loader_wants_it_so(narrow: Path) -> None:
    assert load._find_device_map(narrow, "cuda:1", Offload.NONE) == "cuda"
    assert load._find_device_map(narrow, "cuda:1", Offload.MODEL) is None
    assert load._find_device_map(narrow, "cpu", Offload.NONE) is None
    index = narrow / "model_index.json"
    index.write_text(index.read_text().replace("DiTPipeline", "KandinskyV22CombinedPipeline"))
    assert load._find_device_map(narrow, "cuda:1", Offload.NONE) is None, "made of connected pipelines"


def test_files_that_memory_cannot_keep_are_read_once(narrow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    monkeypatch.setattr(read_ahead, "host_bytes", lambda: files.num_bytes(narrow))
    read_ahead.read_ahead(files.weights_of(narrow), told.append)
    assert told == [1.0]
    monkeypatch.setattr(read_ahead, "host_bytes", lambda: 10 * files.num_bytes(narrow))
    read_ahead.read_ahead(files.weights_of(narrow), told.append)
    assert len(told) > 1


def test_the_dtype_of_variants_alone_decides_where_it_is_left_open(narrow: Path) -> None:
    from mezzotint.engine.models.dtypes import choose_dtype

    assert choose_dtype(narrow, Dtype.AUTO, "cuda:0", has_bfloat16=True) is torch.float16
