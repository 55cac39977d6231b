"""Walks over nested arguments and outputs: dicts, lists, tuples and diffusers' output classes as trees."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from diffusers.utils import BaseOutput


def leaves(value: Any) -> Iterator[Any]:
    """The leaves from left to right; a container is any dict (output classes are dicts), list or tuple."""
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in leaves(value) if isinstance(leaf, torch.Tensor))


def rebuild(like: Any, items: list[Any]) -> Any:
    """A container of the type of `like` (its keys, if it has keys) holding `items`."""
    if isinstance(like, BaseOutput):
        return type(like)(**dict(zip(like, items, strict=True)))
    if isinstance(like, dict):
        return type(like)(zip(like, items, strict=True))
    if isinstance(like, tuple) and hasattr(like, "_fields"):
        return type(like)(*items)
    return type(like)(items)


def map_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same structure with `change` applied to every leaf."""
    if isinstance(value, dict):
        return rebuild(value, [map_leaves(item, change) for item in value.values()])
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        return rebuild(value, [map_leaves(item, change) for item in value])
    return change(value)
