"""`mezzotint inspect`: how a picture was drawn, as its file tells it."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mezzotint.domain.task import Task
from mezzotint.main.options import make_printable, report_errors

if TYPE_CHECKING:
    from mezzotint.media.metadata import FileMetadata

MAX_FILE_BYTES = 256 << 20
TITLES = {
    "prompt": "prompt",
    "negative_prompt": "negative",
    "model": "model",
    "seed": "seed",
    "num_steps": "steps",
    "guidance_scale": "guidance",
    "sampler": "sampler",
    "stop": "stop",
    "eta": "eta",
    "guidance_rescale": "rescale",
    "clip_skip": "clip skip",
    "image_guidance": "img cfg",
    "task": "task",
    "source": "source",
    "strength": "strength",
    "scale": "scale",
    "job": "job",
}


def inspect(
    file: Annotated[Path, typer.Argument(help="A PNG, JPEG, WebP or AVIF.")],
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Print the recipe as JSON.")] = False,
) -> None:
    """Print how a picture was drawn, from its file: one of this program, or of AUTOMATIC1111's web UI."""
    from mezzotint.domain.errors import ArgumentInvalid, RecipeMissing
    from mezzotint.media.metadata import read_metadata
    from mezzotint.media.metadata.recipe_json import format_recipe
    from mezzotint.media.uploads import Undecodable

    with report_errors():
        try:
            with file.open("rb") as opened:
                content = opened.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise ArgumentInvalid(f"{file} cannot be read: {error.strerror}") from error
        if len(content) > MAX_FILE_BYTES:
            raise ArgumentInvalid(f"{file} has more than {MAX_FILE_BYTES >> 20} MiB")
        try:
            found = read_metadata(content)
        except Undecodable as error:
            raise ArgumentInvalid(f"{file}: {error}") from error
        if found.recipe is None:
            others = f"; it has texts of another kind: {', '.join(found.others[:5])}" if found.others else ""
            raise RecipeMissing(f"{file} does not tell how it was drawn{others}")
        typer.echo(json.dumps(json.loads(format_recipe(found.recipe)), indent=2) if as_json else _describe(file, found))


def _describe(file: Path, found: "FileMetadata") -> str:
    from mezzotint.policy.admission.draw_again import type_recipe

    assert found.recipe is not None, "checked by the caller"
    values = asdict(found.recipe)
    lines = [f"{file}: {found.kind}, written by {found.origin}  {found.recipe.software or ''}".rstrip()]
    lines += [f"  {title:<9}{values[name]}" for name, title in TITLES.items() if values[name] not in (None, "")]
    if found.recipe.vae is not None:
        lines.append(f"  {'vae':<9}{found.recipe.vae.name}")
    if found.recipe.embeddings:
        names = ", ".join(one.name for one in found.recipe.embeddings)
        lines.append(f"  {'embedded':<9}{names}")
    if found.recipe.width is not None:
        lines.append(f"  {'size':<9}{found.recipe.width} x {found.recipe.height}")
    again = f"mezzotint imagine {shlex.quote(type_recipe(found.recipe))} --out again.png"
    if found.recipe.task is Task.EDIT:  # its words alone draw something else
        again = "open the file on the page, or send POST /v1/jobs the fields of --json with the picture as source"
    lines.append(f"  {'again':<9}{again}")
    return "\n".join(map(make_printable, lines))
