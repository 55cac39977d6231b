"""The dtype of a model by its files, its family and the device."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mezzotint.engine.models import files, load
from mezzotint.engine.models.catalog import Dtype, ModelEntry
from mezzotint.engine.models.dtypes import choose_dtype, choose_dtypes


def model(folder: Path, part: str, stored: torch.dtype, *, force_upcast: bool | None = None) -> Path:
    """A folder with one denoiser, most of whose weights are in `stored` and the rest in float32."""
    (folder / part).mkdir()
    weights = {"large": torch.zeros(64, dtype=stored), "norm": torch.zeros(8)}
    save_file(weights, folder / part / "diffusion_pytorch_model.safetensors")
    save_file({"large": torch.zeros(999, dtype=torch.float16)}, folder / part / "model.fp16.safetensors")
    (folder / "vae").mkdir()
    config = {} if force_upcast is None else {"force_upcast": force_upcast}
    (folder / "vae" / "config.json").write_text(json.dumps(config))
    return folder


F32, F16, BF16, F8 = torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn


@pytest.mark.parametrize(
    ("part", "stored", "has_bfloat16", "chosen"),
    [
        ("unet", F32, True, F16),
        ("unet", F16, True, F16),
        ("unet", BF16, True, BF16),
        ("transformer", F32, True, BF16),
        ("transformer", F16, True, F16),
        ("transformer", BF16, True, BF16),
        ("transformer", F8, True, BF16),
        ("prior", F32, True, BF16),
        ("transformer", BF16, False, F16),
        ("transformer", F32, False, F16),
    ],
)
def test_a_gpu_computes_in_what_suits_the_files_and_the_family(
    tmp_path: Path, part: str, stored: torch.dtype, has_bfloat16: bool, chosen: torch.dtype
) -> None:
    folder = model(tmp_path, part, stored)
    assert choose_dtype(folder, Dtype.AUTO, "cuda:0", has_bfloat16=has_bfloat16) is chosen
    assert choose_dtype(folder, Dtype.AUTO, "cpu", has_bfloat16=has_bfloat16) is F32
    assert choose_dtype(folder, Dtype.FLOAT32, "cuda:0", has_bfloat16=has_bfloat16) is F32


@pytest.mark.parametrize(
    ("force_upcast", "dtype", "vae"), [(True, F16, F32), (True, BF16, None), (False, F16, None), (None, F16, None)]
)
def test_a_vae_that_overflows_in_float16_is_float32(
    tmp_path: Path, force_upcast: bool | None, dtype: torch.dtype, vae: torch.dtype | None
) -> None:
    dtypes = choose_dtypes(model(tmp_path, "unet", F32, force_upcast=force_upcast), dtype)
    assert dtypes == {"default": dtype} | ({} if vae is None else {"vae": vae})


def test_the_starter_is_loaded_with_a_float32_vae_where_its_config_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "mezzotint.engine.models.dtypes.choose_dtypes", lambda folder, dtype: {"default": dtype, "vae": F32}
    )
    entry = ModelEntry(name="starter", source="starter", dtype=Dtype.FLOAT16)
    pipeline = load.load_pipeline(files.locate("starter"), "cpu", entry)
    assert (pipeline.unet.dtype, pipeline.text_encoder.dtype, pipeline.vae.dtype) == (F16, F16, F32)
