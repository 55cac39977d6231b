"""What the worker tells the device's thread."""

from dataclasses import dataclass, field
from time import monotonic

from mezzotint.domain.ids import JobId
from mezzotint.domain.job import Job
from mezzotint.worker.reports import Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Start a job, from its checkpoint if it has one. source, mask: PNGs that its task begins with.
    ordered_at: by `time.monotonic`."""

    job: Job
    resume: bytes | None
    source: bytes | None = None
    mask: bytes | None = None
    ordered_at: float = field(default_factory=monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """Put one run aside at its last step."""

    job: JobId
    why: Why = Why.PREEMPTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """Put every run aside at its last step and end the thread."""


Order = Draw | Cancel | Aside | Park
