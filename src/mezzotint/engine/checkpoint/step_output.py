"""The use that a pipeline makes of the output of its sampler's step, read from its source.

Several samplers return, beside the next latents, their estimate of the end result. A checkpoint would be twice as large
with it, and nearly all pipelines take `[0]` or `.prev_sample` and never see it. Where every `step` call in a pipeline's
modules does so, only the latents need to be kept; where one does not, or the source is not there, everything is.
"""

import ast
import functools
import inspect
import sys
from typing import Any

from diffusers import DiffusionPipeline


def takes_only_latents(pipeline: Any) -> bool:
    """Say whether the pipeline, and each pipeline nested in it, uses nothing of a step's output but the latents."""
    nested = [value for value in vars(pipeline).values() if isinstance(value, DiffusionPipeline)]
    modules = {
        cls.__module__
        for cls in type(pipeline).__mro__
        if issubclass(cls, DiffusionPipeline) and cls is not DiffusionPipeline
    }
    return all(_module_takes_only_latents(name) for name in modules) and all(map(takes_only_latents, nested))


@functools.cache
def _module_takes_only_latents(name: str) -> bool:
    try:
        tree = ast.parse(inspect.getsource(sys.modules[name]))
    except (OSError, TypeError, KeyError, SyntaxError):
        return False
    steps: set[int] = set()
    narrowed: set[int] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="step")):
                steps.add(id(node))
            case ast.Attribute(value=value, attr="prev_sample"):
                narrowed.add(id(value))
            case ast.Subscript(value=value, slice=ast.Constant(value=0)):
                narrowed.add(id(value))
    return bool(steps) and steps <= narrowed
