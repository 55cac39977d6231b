"""A recipe as JSON: the server's own record in a picture's file (docs/reference/picture-metadata.md).

`schema` names the version. A reader takes the fields that it knows and leaves out others, so that a later version may
add fields; a change of a field's meaning makes a new version.
"""

import json
import re
from collections.abc import Mapping
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

WEIGHTS: dict[str, Any] = {"name": str, "sha256": str}
"""Fields of an object that names weights, with their kinds."""


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
    styles = [
        StyleChoice(name=one["name"], weight=float(one["weight"]), sha256=Sha256(one["sha256"]))
        for one in _select_whole(found.get("styles"), {**WEIGHTS, "weight": float | None}, MAX_STYLES)
    ]
    vae, embeddings = (
        [NamedWeights(name=one["name"], sha256=Sha256(one["sha256"])) for one in _select_whole(listed, WEIGHTS, most)]
        for listed, most in (([found.get("vae")], 1), (found.get("embeddings"), MAX_EMBEDDINGS))
    )
    task = found.get("task")
    values |= {"vae": next(iter(vae), None), "embeddings": tuple(embeddings), "styles": tuple(styles)}
    return Recipe(**values, task=Task(task) if task in list(Task) else Task.GENERATE)


def _select_whole(found: Any, kinds: Mapping[str, Any], most: int) -> list[dict[str, Any]]:
    """The objects of a list, up to so many, that have all fields in their kinds."""
    return [
        one
        for one in (found[:most] if isinstance(found, list) else ())
        if isinstance(one, dict) and all(_has_kind(one.get(name), kind) for name, kind in kinds.items())
    ]


def _has_kind(value: Any, kind: Any) -> bool:
    wanted = KINDS.get(kind)
    if wanted is None or not isinstance(value, wanted) or isinstance(value, bool):
        return False
    if isinstance(value, str) and LONE_SURROGATE.search(value):
        return False
    return not isinstance(value, int | float) or abs(value) <= MAX_NUMBER  # which no NaN is
