"""A recipe as JSON: the server's own record in a picture's file (docs/reference/picture-metadata.md).

`schema` names the version. A reader takes the fields that it knows and leaves out others, so that a later version may
add fields; a change of a field's meaning makes a new version.
"""

import json
import re
from dataclasses import asdict, fields
from typing import Any

from mezzotint.domain.drawing.named_weights import NamedWeights
from mezzotint.domain.drawing.recipe import Recipe
from mezzotint.domain.ids import Sha256
from mezzotint.domain.style import MAX_STYLES, StyleChoice
from mezzotint.domain.task import Task

SCHEMA = "mezzotint.recipe/1"
FAMILY = "mezzotint.recipe/"
MAX_CHARACTERS = 64 * 1024
MAX_NUMBER = 2**64
MAX_EMBEDDINGS = 100
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character: JSON can spell it, UTF-8 cannot."""
KINDS: dict[Any, type | tuple[type, ...]] = {
    str: str,
    str | None: str,
    int | None: int,
    float | None: (int, float),
}
"""Kinds of JSON values, by a field's type."""


def format_recipe(recipe: Recipe) -> str:
    """Write one line of JSON; fields without a value are left out."""
    values = {name: value for name, value in asdict(recipe).items() if value not in (None, "", ())}
    return json.dumps({"schema": SCHEMA, **values}, ensure_ascii=False)


def parse_recipe(text: str) -> Recipe | None:
    """The recipe of a text from outside; None where it is none. A field with a value of another kind is left out."""
    if len(text) > MAX_CHARACTERS:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not str(found.get("schema", "")).startswith(FAMILY):
        return None
    values: dict[str, Any] = {}
    values |= {one.name: found[one.name] for one in fields(Recipe) if _has_kind(found.get(one.name), one.type)}
    if "prompt" not in values:
        return None
    task, styles = found.get("task"), _read_styles(found.get("styles"))
    vae, embeddings = _read_weights([found.get("vae")]), _read_weights(found.get("embeddings"))
    values |= {"vae": next(iter(vae), None), "embeddings": embeddings}
    return Recipe(**values, styles=styles, task=Task(task) if task in list(Task) else Task.GENERATE)


def _read_styles(found: Any) -> tuple[StyleChoice, ...]:
    kinds: dict[str, Any] = {"name": str, "weight": float | None, "sha256": str}
    read = []
    for one in found[:MAX_STYLES] if isinstance(found, list) else ():
        if isinstance(one, dict) and all(_has_kind(one.get(name), kind) for name, kind in kinds.items()):
            read.append(StyleChoice(name=one["name"], weight=float(one["weight"]), sha256=Sha256(one["sha256"])))
    return tuple(read)


def _read_weights(found: Any) -> tuple[NamedWeights, ...]:
    read = []
    for one in found[:MAX_EMBEDDINGS] if isinstance(found, list) else ():
        if isinstance(one, dict) and all(_has_kind(one.get(name), str) for name in ("name", "sha256")):
            read.append(NamedWeights(name=one["name"], sha256=Sha256(one["sha256"])))
    return tuple(read)


def _has_kind(value: Any, kind: Any) -> bool:
    wanted = KINDS.get(kind)
    if wanted is None or not isinstance(value, wanted) or isinstance(value, bool):
        return False
    if isinstance(value, str) and LONE_SURROGATE.search(value):
        return False
    return not isinstance(value, int | float) or abs(value) <= MAX_NUMBER  # which no NaN is
