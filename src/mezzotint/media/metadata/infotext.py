"""The text `parameters` of a picture, as AUTOMATIC1111's web UI writes and reads it."""

import json
import re
from collections.abc import Mapping

from mezzotint.domain.drawing.named_weights import NamedWeights
from mezzotint.domain.drawing.recipe import Recipe
from mezzotint.domain.drawing.sampler import find_sampler, split_schedule
from mezzotint.domain.ids import Sha256
from mezzotint.domain.refusal import Refusal
from mezzotint.domain.style import StyleChoice
from mezzotint.domain.task import Task
from mezzotint.media.metadata.recipe_json import LONE_SURROGATE, MAX_EMBEDDINGS
from mezzotint.policy.admission.lora_tags import take_tags, write_tags

KEYWORD = "parameters"
NEGATIVE = "Negative prompt:"
PAIR = re.compile(r'\s*(\w[\w \-/]{0,60}):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
CUT = 10
"""Characters of a hash that are written."""
CUT_BY_WEB_UI = 12
"""The web UI writes so many of an embedding's and a LoRA's hash, without the file's header."""
MIN_PAIRS = 3
"""A last line with fewer belongs to the prompt."""
MAX_LINE = 8192
"""Characters of the last line that are read."""


def format_infotext(recipe: Recipe) -> str:
    """The prompt, the negative prompt if there is one, and a line of pairs."""
    sampler, schedule = split_schedule(recipe.sampler or "")  # apart, as the web UI has them since its version 1.9
    pairs = {
        "Steps": _write(recipe.num_steps),
        "Sampler": sampler or None,
        "Schedule type": schedule or None,
        "CFG scale": _write(recipe.guidance_scale),
        "Seed": _write(recipe.seed),
        "Size": None if recipe.width is None else f"{recipe.width}x{recipe.height}",
        "Model": recipe.model,
        "Speed": recipe.speed,
        "Denoising strength": _write(recipe.strength),
        "Clip skip": _write(recipe.clip_skip),
        "Eta DDIM": _write(recipe.eta),
        "CFG Rescale": _write(recipe.guidance_rescale),
        "Image CFG scale": _write(recipe.image_guidance),
        "Task": recipe.task.value if recipe.task is Task.EDIT else None,  # which no other pair tells
        "VAE hash": None if recipe.vae is None else recipe.vae.sha256[:CUT] or None,
        "VAE": None if recipe.vae is None else recipe.vae.name,
        "TI hashes": ", ".join(f"{one.name}: {one.sha256[:CUT]}" for one in recipe.embeddings) or None,
        "Lora hashes": ", ".join(f"{style.name}: {style.sha256[:12]}" for style in recipe.styles) or None,
    }
    lines = [f"{recipe.prompt}{write_tags(recipe.styles)}"]
    if recipe.negative_prompt:
        lines.append(f"{NEGATIVE} {recipe.negative_prompt}")
    lines.append(", ".join(f"{name}: {_quote(value)}" for name, value in pairs.items() if value is not None))
    return "\n".join(lines)


def parse_infotext(text: str) -> dict[str, str]:
    """The text's parts by their names; prompts are `Prompt` and `Negative prompt`, a size is `Size-1` and `Size-2`."""
    if not text.strip():
        return {}
    lines = text.strip().split("\n")
    pairs = PAIR.findall(lines[-1][:MAX_LINE])
    if len(pairs) < MIN_PAIRS:
        pairs = []
    else:
        lines.pop()
    begin = next((number for number, line in enumerate(lines) if line.strip().startswith(NEGATIVE)), len(lines))
    negative = "\n".join(lines[begin:]).strip().removeprefix(NEGATIVE)
    found = {"Prompt": "\n".join(lines[:begin]).strip(), "Negative prompt": negative.strip()}
    for name, value in pairs:
        size = re.fullmatch(r"(\d+)x(\d+)", value)
        found |= {f"{name}-1": size[1], f"{name}-2": size[2]} if size else {name: _unquote(value)}
    return found


def to_recipe(pairs: Mapping[str, str]) -> Recipe | None:
    """The recipe that a text of the web UI tells; None where it tells no more than words. Numbers that are none, and
    what has no counterpart here, are left out."""
    if not {"Steps", "Seed"} & pairs.keys():
        return None
    sampler, schedule = pairs.get("Sampler", ""), pairs.get("Schedule type", "")
    known = find_sampler(f"{sampler} {schedule}") or find_sampler(sampler)
    taken = take_tags(pairs.get("Prompt", ""))
    prompt, styles = (pairs.get("Prompt", ""), ()) if isinstance(taken, Refusal) else taken
    vae = pairs.get("VAE", "").removesuffix(".safetensors")
    embeddings = (one.rpartition(": ") for one in pairs.get("TI hashes", "").split(", ")[:MAX_EMBEDDINGS])
    return Recipe(
        prompt=" ".join(prompt.split()) if styles else prompt,
        styles=tuple(
            StyleChoice(name=style.name, weight=1.0 if style.weight is None else style.weight, sha256=Sha256(""))
            for style in styles
        ),
        negative_prompt=pairs.get("Negative prompt", ""),
        model=pairs.get("Model") or None,
        seed=_read_integer(pairs.get("Seed", "")),
        num_steps=_read_integer(pairs.get("Steps", "")),
        guidance_scale=_read_decimal(pairs.get("CFG scale", "")),
        width=_read_integer(pairs.get("Size-1", "")),
        height=_read_integer(pairs.get("Size-2", "")),
        sampler=known.name if known else sampler or None,
        vae=NamedWeights(name=vae, sha256=_read_hash(pairs.get("VAE hash", ""))) if vae else None,
        embeddings=tuple(NamedWeights(name=name, sha256=_read_hash(told)) for name, colon, told in embeddings if colon),
        speed=pairs.get("Speed") or None,
        strength=_read_decimal(pairs.get("Denoising strength", "")),
        clip_skip=_read_integer(pairs.get("Clip skip", "")),
        eta=_read_decimal(pairs.get("Eta DDIM", "")),
        guidance_rescale=_read_decimal(pairs.get("CFG Rescale", "")),
        image_guidance=_read_decimal(pairs.get("Image CFG scale", "")),
        task=Task.EDIT if pairs.get("Task") == Task.EDIT or "Image CFG scale" in pairs else Task.GENERATE,
        software=pairs.get("Version") or None,
    )


def _read_hash(text: str) -> Sha256:
    """The web UI's own hashes of embeddings are of something else than their files, and shorter: those are left out."""
    return Sha256(text if re.fullmatch("[0-9a-f]{10,64}", text) and len(text) != CUT_BY_WEB_UI else "")


def _write(number: float | None) -> str | None:
    return None if number is None else f"{number:g}" if isinstance(number, float) else str(number)


def _read_integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,20}", text, re.ASCII) else None


def _read_decimal(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,6}(\.\d{1,12})?", text, re.ASCII) else None


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(letter in value for letter in ',\n:"') else value


def _unquote(value: str) -> str:
    try:
        read = json.loads(value) if value.startswith('"') else value
    except ValueError:
        return value
    return read if isinstance(read, str) and not LONE_SURROGATE.search(read) else value
