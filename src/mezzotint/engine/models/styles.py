"""Style files (LoRA) on disk: found, looked at as a stranger's, compared with the model that they are to fit, loaded.

Formats are those that diffusers' own loaders take (diffusers, PEFT, kohya, AUTOMATIC1111), and what PEFT's and
diffusers' `save` functions write of a denoiser alone.
"""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from mezzotint.domain.errors import ModelCorrupt, ModelMissing, StyleInvalid
from mezzotint.engine.models.integrity import check_weights, read_json
from mezzotint.engine.models.structure import build_empty_pipeline

BUILT_IN_STYLE = "woodcut"
HUB_NAME = "pytorch_lora_weights.safetensors"
"""The file that diffusers' `save_lora_weights` writes, and looks for in a hub repository."""
PEFT_PREFIX = "base_model.model."
PREFIXES = ("unet.", "transformer.", "transformer_2.", "text_encoder.", "text_encoder_2.", "text_encoder_3.")
FACTOR = re.compile(r"\.lora(?:_linear_layer)?\.(down|up)\.")
UNSUPPORTED_KEYS = {"dora_scale": "DoRA", "hada_": "LoHa", "lora_mid": "LoCon with a middle", "oft_": "OFT"}
"""Parts of names -> the kind of adapter that diffusers would drop in part, or not load."""
NAMED = 3
"""Tensors that a message names at most."""
TRIED = "style"
"""The adapter name under which a style is loaded to see whether it fits."""


def locate_style(source: str, revision: str | None = None) -> Path:
    """The file of the built-in style, of a path, or of a hub id (`owner/name` or `owner/name/FILE.safetensors`).

    Raises: StyleInvalid.
    """
    if source == BUILT_IN_STYLE:
        return Path(str(files("mezzotint"))) / "styles" / f"{BUILT_IN_STYLE}.safetensors"
    path = Path(source).expanduser()
    if path.is_dir():
        found = sorted(path.glob("*.safetensors"))
        if len(found) != 1:
            raise StyleInvalid(f"{path} holds {len(found)} safetensors files: name the one that is meant")
        return found[0]
    if path.exists() or source.startswith((".", "/", "~")) or source.count("/") not in {1, 2}:
        if not path.exists():
            raise StyleInvalid(f"there is no file {source!r}, and it is not a hub id (owner/name)")
        return path
    from huggingface_hub import hf_hub_download

    owner, name, *rest = source.split("/")
    try:
        return Path(hf_hub_download(f"{owner}/{name}", rest[0] if rest else HUB_NAME, revision=revision))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StyleInvalid(f"the hub style {source!r} could not be had: {reason}") from error


def check_style_file(path: Path, max_bytes: int) -> None:
    """Look at a style's file without reading a tensor, and without torch. Raises: StyleInvalid."""
    if path.suffix != ".safetensors":
        raise StyleInvalid(f"{path} is not a safetensors file; a pickle may run code when it is read: convert it first")
    try:
        check_weights(path)
        num_bytes = path.stat().st_size
    except (ModelMissing, ModelCorrupt) as error:
        raise StyleInvalid(str(error)) from error
    if num_bytes > max_bytes:
        raise StyleInvalid(f"{path} has {num_bytes >> 20} MiB; style_max_mb allows {max_bytes >> 20}")
    names = _read_header(path)
    for part, kind in UNSUPPORTED_KEYS.items():
        if found := next((name for name in names if part in name), None):
            raise StyleInvalid(f"{path} is a {kind} adapter ({found}), which is not a plain LoRA")
    if not any("lora" in name for name in names):
        raise StyleInvalid(f"{path} holds no LoRA: no tensor's name has `lora` in it, such as {_name_some(names)}")


def check_style_values(path: Path) -> None:
    """Read every tensor, one after the other. Raises: StyleInvalid for integers, NaN and infinity."""
    import torch
    from safetensors import safe_open

    with safe_open(path, framework="pt") as opened:
        for name in opened.keys():  # noqa: SIM118 - it is no mapping
            tensor = opened.get_tensor(name)
            if not (tensor.is_floating_point() or name.endswith("alpha")):
                kind = str(tensor.dtype).removeprefix("torch.")
                raise StyleInvalid(f"{path} holds numbers of the type {kind} in {name}, not floating point")
            if tensor.is_floating_point() and not torch.isfinite(tensor.float()).all():
                raise StyleInvalid(f"{path} holds NaN or infinity in {name}")


def check_style_fits(path: Path, folder: Path) -> None:
    """Load a style into a model without weights. Raises: StyleInvalid unless every tensor has its place there."""
    import torch
    from diffusers.utils import logging

    pipeline = build_empty_pipeline(folder)
    kind = type(pipeline).__name__
    if not hasattr(pipeline, "load_lora_weights"):
        raise StyleInvalid(f"{path} fits no {kind}: diffusers loads no styles for it")
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)  # diffusers would log every tensor of a style that does not fit
    try:
        expected = _list_converted(pipeline, path)
        load_style(pipeline, path, TRIED)
    except Exception as error:  # whatever a converter raises at names and shapes of another model
        reason = (str(error).strip() or type(error).__name__).splitlines()
        told = next((line.strip() for line in reason if "size mismatch" in line), reason[0])
        told = told.replace(f".{TRIED}.", ".")[:300]
        raise StyleInvalid(f"{path} does not fit {folder.name} ({kind}): {told}") from error
    finally:
        logging.set_verbosity(verbosity)
    placed = [
        f"{part}.{key}".replace(f".{TRIED}.", ".")
        for part, module in pipeline.components.items()
        if isinstance(module, torch.nn.Module)
        for key, _ in module.named_parameters()
        if key.endswith(f".{TRIED}.weight")
    ]
    if len(placed) > len(expected):
        given = set(map(_rename_factor, expected))
        lacking = [name for name in placed if name not in given]
        raise StyleInvalid(f"{path} is not whole: it lacks {len(lacking)} tensors, such as {_name_some(lacking)}")
    if len(placed) < len(expected):
        strange = [name for name in expected if _rename_factor(name) not in set(placed)]
        raise StyleInvalid(
            f"{path} does not fit {folder.name} ({kind}): {len(strange)} of {len(expected)} tensors have no place "
            f"there, such as {_name_some(strange)}"
        )


def load_style(pipeline: Any, path: Path, name: str) -> None:
    """Load a style into the modules of a pipeline, under a name. Raises whatever diffusers does."""
    import warnings

    with warnings.catch_warnings(action="ignore"):
        source = _read_for_diffusers(pipeline, path)
        pipeline.load_lora_weights(source, adapter_name=name, use_safetensors=True, local_files_only=True)


def _read_for_diffusers(pipeline: Any, path: Path) -> Any:
    """The path, or the tensors under the names that diffusers reads where they are of a denoiser alone."""
    names = _read_header(path)
    is_peft = all(name.startswith(PEFT_PREFIX) for name in names)
    denoiser = getattr(pipeline, _denoiser_of(pipeline), None)
    children = () if denoiser is None else tuple(f"{child}." for child, _ in denoiser.named_children())
    if not (is_peft or all(name.startswith(children) for name in names)):
        return str(path)
    from safetensors.torch import load_file

    scale = _read_peft_scale(path) if is_peft else 1.0
    tensors = {}
    for name, tensor in load_file(path).items():
        renamed = name.removeprefix(PEFT_PREFIX)
        own = renamed if renamed.startswith(PREFIXES) else f"{_denoiser_of(pipeline)}.{renamed}"
        tensors[own] = tensor * scale if ".lora_B." in own else tensor
    return tensors


def _read_peft_scale(path: Path) -> float:
    """Read PEFT's factor: `lora_alpha / r` of the configuration beside the file; 1 where there is none."""
    config = path.with_name("adapter_config.json")
    if not config.exists():
        return 1.0
    found = read_json(config, None)
    rank, alpha = found.get("r"), found.get("lora_alpha")
    if not isinstance(rank, int) or not isinstance(alpha, int | float) or rank < 1:
        raise ValueError(f"{config} has no r and lora_alpha")
    if found.get("use_dora") or found.get("rank_pattern") or found.get("alpha_pattern"):
        raise ValueError(f"{config} asks for DoRA or ranks of its own for some layers")
    return alpha / rank**0.5 if found.get("use_rslora") else alpha / rank


def _denoiser_of(pipeline: Any) -> str:
    return "unet" if getattr(pipeline, "unet", None) is not None else "transformer"


def _list_converted(pipeline: Any, path: Path) -> list[str]:
    """The names of a style's tensors, as diffusers' converter gives them."""
    from diffusers.loaders import StableDiffusionXLLoraLoaderMixin

    more = {"unet_config": pipeline.unet.config} if isinstance(pipeline, StableDiffusionXLLoraLoaderMixin) else {}
    source = _read_for_diffusers(pipeline, path)
    found = pipeline.lora_state_dict(source, use_safetensors=True, local_files_only=True, **more)
    converted = found[0] if isinstance(found, tuple) else found
    return [name for name in converted if "lora" in name and not name.endswith("alpha")]


def _rename_factor(name: str) -> str:
    """The name by which PEFT keeps a factor: diffusers has called them `lora.down` and `lora.up`, too."""
    return FACTOR.sub(lambda found: f".lora_{'A' if found[1] == 'down' else 'B'}.", name)


def _read_header(path: Path) -> list[str]:
    """The names of a file's tensors. The file has passed `check_weights`."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return [name for name in header if name != "__metadata__"]


def _name_some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (" ..." if len(names) > NAMED else "")
