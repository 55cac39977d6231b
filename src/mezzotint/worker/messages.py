"""Messages between the worker and the device's thread: reports come from the thread, commands go to it."""

from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from typing import TYPE_CHECKING, Any

from mezzotint.domain.event import LoadProgress
from mezzotint.domain.ids import JobId
from mezzotint.domain.job import CutTexts, Job
from mezzotint.metrics import EngineCounts

if TYPE_CHECKING:  # the gateway's process starts in a second; torch is imported by the device's thread
    import numpy as np
    from numpy.typing import NDArray

    from mezzotint.engine import Snapshot


class PreemptReason(StrEnum):
    """The reason of a preemption: a drain, a Pro job that waits, memory, a lost device. A label of the metrics."""

    DRAIN = "drain"
    PREEMPTED = "preempted"
    MEMORY = "memory"
    DEVICE_LOST = "device_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsReady:
    """The models that are to be warm are loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheChanged:
    """A model was loaded or evicted, or a load failed. cold: models that are not in memory. loaded, load_s: the model
    that was just loaded, and its seconds; fingerprint: its engine's, in exact mode. evicted: the models that made room
    for it."""

    cold: frozenset[str]
    num_loaded: int
    loaded: str | None
    load_s: float
    evicted: tuple[str, ...]
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFailed:
    """The thread ended by an error; nothing more will come. at_work: the jobs that the device computed for last."""

    error: BaseException
    at_work: frozenset[JobId] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed:
    """A task of the worker for a job raised an unexpected error."""

    job: JobId
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """A sampler step ended. preview: [H, W, 3] uint8, where one was wanted and could be made."""

    job: JobId
    step: int
    num_steps: int
    preview: "NDArray[np.uint8] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCounted:
    """The engine's counts since the last such report."""

    counts: EngineCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointReady:
    """A checkpoint is due; its tensors are on the host. cost_s: the run's own share of passes so far."""

    job: JobId
    snapshot: "Snapshot"
    cost_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """The run is over: pictures, or the error. step: how far it got.

    begun_at: when the engine took the run, by `time.monotonic`. denoise_s, decode_s: shared with the other runs.
    cost_s: the run's own share, by rows, of the passes it took part in. cut_texts: what was read
    of those that were cut. fingerprint: of the engine that drew, in exact mode. num_passes, num_forecast: calls of the
    denoiser that were computed, and foretold, those before its checkpoint included.
    """

    job: JobId
    step: int
    pictures: tuple[Any, ...] = ()
    error: BaseException | None = None
    begun_at: float | None = None
    denoise_s: float | None = None
    decode_s: float | None = None
    cost_s: float = 0.0
    cut_texts: CutTexts = field(default_factory=CutTexts)
    fingerprint: str | None = None
    num_passes: int = 0
    num_forecast: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPreempted:
    """The run was preempted. snapshot: of its last step, None before the first."""

    job: JobId
    snapshot: "Snapshot | None"
    cost_s: float
    why: PreemptReason


Report = (
    ModelsReady
    | LoadProgress
    | CacheChanged
    | DeviceFailed
    | TaskFailed
    | StepDone
    | EngineCounted
    | CheckpointReady
    | RunEnded
    | RunPreempted
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start a job, from its checkpoint if it has one. source, mask: PNGs that its task begins with.
    sent_at: by `time.monotonic`."""

    job: Job
    resume: bytes | None
    source: bytes | None = None
    mask: bytes | None = None
    sent_at: float = field(default_factory=monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class Preempt:
    """End one run at its last step, with a snapshot."""

    job: JobId
    why: PreemptReason = PreemptReason.PREEMPTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown:
    """End every run at its last step, with snapshots, then end the thread."""


Command = Start | Cancel | Preempt | Shutdown
