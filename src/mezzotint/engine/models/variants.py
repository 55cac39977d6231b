"""Variants of weights: files such as `model.fp16.safetensors` beside plain ones, or in their place."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

NARROW = {"float16": "fp16", "bfloat16": "bf16"}
"""dtype -> the variant that is stored in it."""


def select_files(component: Path, variant: str | None) -> list[Path]:
    """The safetensors files of a component that are read: those of the variant where it has them, else plain ones, else
    those of any other variant."""
    found = _by_variant(component)
    names = [variant, None, *sorted(name for name in found if name is not None)]
    return next((sorted(found[name]) for name in names if name in found), [])


def choose_variant(components: Sequence[Path], dtype: str) -> str | None:
    """The variant to load a model by: that of its dtype, or one that takes the place of plain files; None: plain ones.

    Half the bytes are read where a variant is stored in what is computed in.
    """
    found = [set(_by_variant(component)) for component in components]
    if NARROW.get(dtype) is not None and any(NARROW[dtype] in names for names in found):
        return NARROW[dtype]
    variants = [names for names in found if names and None not in names]
    known = sorted({name for names in variants for name in names if name is not None}, reverse=True)
    return next((name for name in known if all(name in names for names in variants)), None)


def _by_variant(component: Path) -> dict[str | None, list[Path]]:
    found: dict[str | None, list[Path]] = defaultdict(list)
    for file in component.glob("*.safetensors"):
        _, _, name = file.stem.partition(".")
        found[name.split("-")[0] or None].append(file)  # shards have numbers behind it
    return dict(found)
