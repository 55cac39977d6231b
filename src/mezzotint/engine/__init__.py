"""The step engine: any diffusers pipeline, batched across runs at different steps, metered, interrupted and resumed.

Its names load torch only when they are used: `mezzotint.engine.models.files` checks a model's files without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mezzotint.engine.batching.plan import Parked
    from mezzotint.engine.checkpoint.snapshot import Snapshot
    from mezzotint.engine.embeddings import EmbeddingCache
    from mezzotint.engine.errors import RunCancelled
    from mezzotint.engine.forecasting.settings import ForecastSettings
    from mezzotint.engine.hub import Hub
    from mezzotint.engine.preview import PreviewMap
    from mezzotint.engine.request import call_kwargs
    from mezzotint.engine.run import Run
    from mezzotint.engine.selftest import Capabilities, self_test
    from mezzotint.engine.tasks import Assignment, Tasks

__all__ = [
    "Assignment",
    "Capabilities",
    "EmbeddingCache",
    "ForecastSettings",
    "Hub",
    "Parked",
    "PreviewMap",
    "Run",
    "RunCancelled",
    "Snapshot",
    "Tasks",
    "call_kwargs",
    "self_test",
]

_HOMES = {
    "EmbeddingCache": "embeddings",
    "Capabilities": "selftest",
    "self_test": "selftest",
    "ForecastSettings": "forecasting.settings",
    "Hub": "hub",
    "Parked": "batching.plan",
    "PreviewMap": "preview",
    "Run": "run",
    "RunCancelled": "errors",
    "Snapshot": "checkpoint.snapshot",
    "Assignment": "tasks",
    "Tasks": "tasks",
    "call_kwargs": "request",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
