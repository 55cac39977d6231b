"""Small styles (LoRA), written in every format that people have."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

RANK = 4
ALPHA = 8.0
LAYERS = ("to_q", "to_k", "to_v", "to_out.0")
SGM = {
    "down_blocks_1_attentions_0": "input_blocks_3_1",
    "mid_block_attentions_0": "middle_block_1",
    "up_blocks_0_attentions_0": "output_blocks_0_1",
    "up_blocks_0_attentions_1": "output_blocks_1_1",
}
"""Blocks of the zoo's SDXL -> their names in Stability's own code, which AUTOMATIC1111 and kohya use."""
Factors = dict[str, tuple[Tensor, Tensor]]
"""Layer -> (down [rank, in], up [out, rank])."""


def make_factors(unet: Any, seed: int = 0, size: float = 0.2) -> Factors:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (
            size * torch.randn(RANK, layer.in_features, generator=generator),
            size * torch.randn(layer.out_features, RANK, generator=generator),
        )
        for name, layer in unet.named_modules()
        if name.endswith(LAYERS)
    }


def write_style(path: Path, factors: Factors, format: str = "diffusers") -> Path:
    """Of the formats `peft folder`, `kohya` and `automatic1111` the scale is ALPHA / RANK, of the others 1."""
    tensors: dict[str, Tensor] = {}
    for name, (down, up) in factors.items():
        match format:
            case "diffusers":
                tensors |= {f"unet.{name}.lora.down.weight": down, f"unet.{name}.lora.up.weight": up}
            case "peft":
                tensors |= {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}
            case "denoiser alone":
                tensors |= {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
            case "peft folder":
                whole = f"base_model.model.{name}"
                tensors |= {f"{whole}.lora_A.weight": down, f"{whole}.lora_B.weight": up}
            case "kohya" | "automatic1111":
                whole = name.replace(".", "_")
                for block, sgm in SGM.items() if format == "automatic1111" else ():
                    whole = whole.replace(block, sgm)
                whole = f"lora_unet_{whole}"
                tensors |= {f"{whole}.lora_down.weight": down, f"{whole}.lora_up.weight": up}
                tensors[f"{whole}.alpha"] = torch.tensor(ALPHA)
    if format == "peft folder":
        path.with_name("adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": ALPHA}))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path
