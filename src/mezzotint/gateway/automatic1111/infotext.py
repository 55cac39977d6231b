"""The text `parameters` of a picture, as AUTOMATIC1111's web UI writes and reads it."""

import json
import re

from mezzotint.domain.job import Job

KEYWORD = "parameters"
NEGATIVE = "Negative prompt:"
PAIR = re.compile(r'\s*(\w[\w \-/]{0,60}):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
MIN_PAIRS = 3
"""A last line with fewer belongs to the prompt."""
MAX_LINE = 8192
"""Characters of the last line that are read."""


def format_infotext(job: Job) -> str:
    one = job.parameters
    pairs = {
        "Steps": str(one.num_steps),
        "Sampler": one.sampler,
        "CFG scale": f"{one.guidance_scale:g}",
        "Seed": str(one.seed),
        "Size": f"{one.width}x{one.height}",
        "Model": job.model,
        "Denoising strength": None if one.strength is None else f"{one.strength:g}",
    }
    lines = [one.prompt, f"{NEGATIVE} {one.negative_prompt}"] if one.negative_prompt else [one.prompt]
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


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(letter in value for letter in ',\n:"') else value


def _unquote(value: str) -> str:
    try:
        read = json.loads(value) if value.startswith('"') else value
    except ValueError:
        return value
    return read if isinstance(read, str) else value
