"""A run under way, as the device's thread keeps it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mezzotint.domain.job import Job

if TYPE_CHECKING:
    from mezzotint.engine import Hub, Run
    from mezzotint.engine.upscaler import Upscaling


@dataclass(slots=True, kw_only=True)
class Going:
    """A run under way. stop: end it. finish: from its output to pictures. Instants are of `time.monotonic`. begun_step:
    of the checkpoint it went on from. num_bytes: what it keeps in memory. has_previews: none has failed so far.
    hub: that draws it; None for an upscale."""

    job: Job
    run: "Run | Upscaling"
    stop: Callable[[], None]
    finish: Callable[[Any], tuple[Any, ...]]
    started_at: float
    stepped_at: float
    begun_step: int = 0
    num_bytes: int = 0
    has_previews: bool = True
    hub: "Hub | None" = None
