"""Steps between two checkpoints of a run: a fixed number, or one that follows from measured costs."""

from dataclasses import dataclass, field

from mezzotint.metrics import Metrics
from mezzotint.policy.device.checkpoint_interval import FIRST_STEPS, bound_steps, interval_steps
from mezzotint.worker.checkpoints.uptime import Uptime

WEIGHT_OF_NEWEST = 0.2
"""Weight of the newest write in the running mean."""


@dataclass(slots=True, kw_only=True)
class CheckpointInterval:
    """every: steps; None: computed from measured costs. Writes are recorded on one thread and read on another."""

    every: int | None
    uptime: Uptime = field(default_factory=Uptime)
    metrics: Metrics = field(default_factory=Metrics)
    write_s: float | None = None

    def record_write(self, spent_s: float) -> None:
        """spent_s: seconds to copy, encode and store a checkpoint."""
        self.write_s = (
            spent_s if self.write_s is None else (1 - WEIGHT_OF_NEWEST) * self.write_s + WEIGHT_OF_NEWEST * spent_s
        )
        self.metrics.mtbf.set(self.uptime.mtbf_s)

    def choose_steps(self, step_s: float) -> int:
        """step_s: seconds that a step of the run takes now."""
        if self.every is not None:
            return self.every
        write_s = self.write_s
        if not write_s or step_s <= 0:
            return FIRST_STEPS
        steps = interval_steps(write_s, step_s, self.uptime.mtbf_s, bound_steps(write_s, step_s))
        self.metrics.checkpoint_steps.set(steps)
        return steps
