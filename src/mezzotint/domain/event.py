"""Events of a job, for those that watch it."""

from dataclasses import dataclass

from mezzotint.domain.ids import JobId
from mezzotint.domain.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """The job's state changed; `job` is the row after the change."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadProgress:
    """A model is being brought into memory. share: of its weights, that is read; at 1 it is being set up."""

    model: str
    share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """A sampler step ended, or the job waits for its model. preview: a `data:` URL of a small picture, where one could
    be made. loading: its model, while the job waits for it."""

    job: JobId
    step: int
    num_steps: int
    preview: str | None
    loading: LoadProgress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """The row is not what it was when somebody looked last; read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The job left its worker, and goes on from its last checkpoint on another one. reason: in words."""

    job: JobId
    reason: str


JobEvent = Changed | Progressed | Stale | Moved
