"""What a job's watchers hear."""

from dataclasses import dataclass

from mezzotint.domain.ids import JobId
from mezzotint.domain.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """The job's state changed; `job` is the row after the change."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """A sampler step ended, or the job waits for its model. preview: a `data:` URL of a small picture, where one could
    be made. loading: the model that is being brought into memory."""

    job: JobId
    step: int
    num_steps: int
    preview: str | None
    loading: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """The row is not what it was when somebody looked last; read it."""


JobEvent = Changed | Progressed | Stale
