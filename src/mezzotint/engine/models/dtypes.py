"""The data type that a model computes in: from the list or a flag, else by its files, its family and the device."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open

from mezzotint.engine.models.catalog import Dtype
from mezzotint.engine.models.files import DENOISERS
from mezzotint.engine.models.integrity import read_json
from mezzotint.engine.models.variants import select_files

STORED = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}


def choose_dtype(
    folder: Path, wanted: Dtype, device: str, *, has_bfloat16: bool, checkpoint: Path | None = None
) -> torch.dtype:
    """The dtype of a model's denoiser and encoders. has_bfloat16: whether the device computes in it natively.
    checkpoint: the single file that holds the denoiser instead of the folder.

    On a GPU a model keeps the half precision that its files have: one that was trained in bfloat16 overflows in
    float16. Of files in float32, transformers take bfloat16 (their activations are large) and UNets float16 (finer).
    """
    if wanted is not Dtype.AUTO:
        dtype: torch.dtype = getattr(torch, wanted)
        return dtype
    if device == "cpu":
        return torch.float32
    part = next((part for part in DENOISERS if (folder / part).is_dir()), None)
    weights = [] if part is None else select_files(folder / part, None) if checkpoint is None else [checkpoint]
    stored = stored_dtype(weights)
    if stored is None or stored is torch.float32:
        stored = torch.float16 if part == "unet" else torch.bfloat16
    return stored if has_bfloat16 or stored is torch.float16 else torch.float16


def choose_dtypes(folder: Path, dtype: torch.dtype) -> dict[str, torch.dtype]:
    """Component -> dtype. A VAE whose config says that it overflows in float16 is float32."""
    dtypes = {"default": dtype}
    config = folder / "vae" / "config.json"
    if dtype is torch.float16 and config.exists() and read_json(config, folder).get("force_upcast") is True:
        dtypes["vae"] = torch.float32
    return dtypes


def stored_dtype(weights: Sequence[Path]) -> torch.dtype | None:
    """The dtype of most weights in files, by their headers; None for any other, such as quantised ones."""
    counted: Counter[str] = Counter()
    for file in weights:
        with safe_open(file, framework="np") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no dict
                tensor = opened.get_slice(name)
                counted[tensor.get_dtype()] += math.prod(tensor.get_shape())
    return STORED.get(counted.most_common(1)[0][0]) if counted else None
