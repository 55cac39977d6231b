"""Describe a model folder: the facts that admission needs, from its JSON files and its card.

diffusers, which brings torch along, is asked only for what a model's `mezzotint.json` does not say.
"""

import json
import math
from pathlib import Path
from typing import Any

from mezzotint.domain.drawing.options import ETA_SCHEDULERS, DrawingOptions
from mezzotint.domain.drawing.sampler import ESTIMATING, find_sampler, list_samplers
from mezzotint.domain.errors import ModelCorrupt, ModelMissing, ModelUnsupported
from mezzotint.domain.model import MAX_SIDE_PX, ForecastPolicy, ModelInfo, Speed
from mezzotint.domain.task import Task
from mezzotint.engine.models.files import CARD, DENOISERS, is_present, read_card, read_config
from mezzotint.engine.models.integrity import read_json

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


def describe_model(folder: Path, name: str | None = None) -> ModelInfo:
    """The facts about the model in `folder` that admission needs. Raises: ModelMissing, ModelCorrupt."""
    try:
        return _describe(folder, name)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ModelCorrupt(f"the JSON files of {folder} hold what no model has: {reason}") from error


def _describe(folder: Path, name: str | None) -> ModelInfo:
    index = read_json(folder / "model_index.json", folder)
    scheduler = read_config(folder, index, "scheduler", "scheduler_config.json")
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
        weighs_words=bool(_list_weighing_encoders(index)),
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
    own = (read_config(folder, index, "scheduler", "scheduler_config.json") or {}).get("_class_name")
    named = {name: found.scheduler for name in samplers if (found := find_sampler(name)) is not None}
    heeding = [name for name, scheduler in [(None, own), *named.items()] if scheduler in ETA_SCHEDULERS]
    paths = [folder / part / "config.json" for part in _list_weighing_encoders(index)]
    configs = [read_json(path, folder) if path.exists() else {} for path in paths]  # none in a Python package
    num_layers = [int(config.get("num_hidden_layers") or card.get("max_clip_skip", 0)) for config in configs]
    return DrawingOptions(
        eta_samplers=tuple(heeding) if card["takes_eta"] else (),
        rescale_tasks=tuple(map(Task, card["rescale_tasks"])),
        max_clip_skip=min(num_layers, default=0),
        image_guidance=None if (scale := card.get("image_guidance")) is None else float(scale),
    )


def find_text_encoders(folder: Path) -> list[str]:
    """The text encoders of a model that weighs words; none of another. Raises: ModelMissing, ModelCorrupt."""
    return _list_weighing_encoders(read_json(folder / "model_index.json", folder))


def _list_weighing_encoders(index: dict[str, Any]) -> list[str]:
    known = WEIGHING.get(str(index["_class_name"]), frozenset())
    parts = [part for part in ("text_encoder", "text_encoder_2") if is_present(index, part)]
    return parts if {str(index[part][1]) for part in parts} <= known else []


def _pixels(folder: Path, index: dict[str, Any]) -> tuple[int, int, int]:
    """The side that the model draws best, the grid on which sides lie, and the largest that it has positions for."""
    part = next((part for part in DENOISERS if is_present(index, part)), None)
    if part is None:
        raise ModelCorrupt(f"{folder / 'model_index.json'} names no denoiser ({', '.join(DENOISERS)})")
    denoiser = read_json(folder / part / "config.json", folder)
    latent_px = 1  # pixels that one latent covers, per side
    movq = read_config(folder, index, "movq", "config.json")
    if (vae := read_config(folder, index, "vae", "config.json") or movq) is not None:
        blocks = vae.get("encoder_block_out_channels") or vae.get("block_out_channels") or vae.get("dim_mult")
        latent_px = int(2 ** (len(blocks or [0] * 4) - 1))
    # latents per side that the denoiser needs as one unit; FLUX declares patches of 1 and packs by two itself
    unit = int(2 ** (len(denoiser.get("block_out_channels", [0])) - 1)) if part == "unet" else 2
    unit = max(unit, latent_px) if movq is not None else unit  # Kandinsky rounds latents up to as many
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
    card = read_card(folder)
    if card.keys() >= READ_OFF_CLASSES:
        return card

    try:
        import diffusers
    except ImportError as error:
        untold = ", ".join(sorted(READ_OFF_CLASSES - card.keys()))
        told_by = f"`mezzotint models describe --model {folder}`, run where it is, writes them into {CARD}"
        raise ModelMissing(f"{folder}: {untold} are unknown without diffusers: {told_by}") from error

    from mezzotint.engine.early_stop import works_with_estimates
    from mezzotint.engine.request import find_guidance
    from mezzotint.engine.tasks import (
        find_image_guidance,
        find_unmet_need,
        rescale_tasks_of,
        takes_eta,
        takes_negative_prompt,
        tasks_of,
    )

    if control := next((part for part in CONTROLS if is_present(index, part)), None):
        raise ModelUnsupported(f"{index.get('_class_name')} needs a picture for its {control} in every call")
    pipeline: Any = getattr(diffusers, str(index.get("_class_name")), None)
    if pipeline is None:
        raise ModelCorrupt(f"this diffusers knows no pipeline {index.get('_class_name')!r}")
    if need := find_unmet_need(pipeline):
        raise ModelUnsupported(f"{folder} is a {pipeline.__name__}: {need}")
    unet = read_config(folder, index, "unet", "config.json") or {}
    tasks = tasks_of(pipeline, unet.get("in_channels"))
    if not tasks:
        raise ModelUnsupported(f"{folder} is a {pipeline.__name__}: no task here gives its denoiser what it reads")
    samplers = [part for part in index if part.endswith("scheduler") and is_present(index, part)]
    estimates = scheduler.get("_class_name") in ESTIMATING and works_with_estimates(scheduler)
    found = {
        "default_guidance": find_guidance(pipeline)[1],
        "tasks": tasks,
        "takes_negative_prompt": takes_negative_prompt(pipeline),
        "can_stop": samplers == ["scheduler"] and estimates,
        "takes_eta": samplers == ["scheduler"] and takes_eta(pipeline),
        "rescale_tasks": rescale_tasks_of(pipeline),
    }
    if (scale := find_image_guidance(pipeline)) is not None:
        found["image_guidance"] = scale
    return found | card


def write_card(folder: Path) -> bool:
    """Write what diffusers' classes tell into the card, which a gateway then reads. Returns whether it lacked any."""
    index = read_json(folder / "model_index.json", folder)
    scheduler = read_config(folder, index, "scheduler", "scheduler_config.json")
    known, card = read_card(folder), _complete_card(folder, index, scheduler or {})
    if card != known:
        (folder / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return card != known
