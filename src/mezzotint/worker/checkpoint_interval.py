"""How many steps lie between two checkpoints of a run: as many as was set, or as measured costs say."""

from dataclasses import dataclass, field

from mezzotint.metrics import Metrics
from mezzotint.policy.device.checkpoint_interval import FIRST_STEPS, interval_steps
from mezzotint.worker.uptime import Uptime

NEWS = 0.2
"""Weight of the newest write in the running mean."""


@dataclass(slots=True, kw_only=True)
class CheckpointInterval:
    """every: steps; None: by what is measured. Told of writes on one thread, asked on another."""

    every: int | None
    uptime: Uptime = field(default_factory=Uptime)
    metrics: Metrics = field(default_factory=Metrics)
    write_s: float | None = None

    def wrote(self, spent_s: float) -> None:
        """A checkpoint was copied, encoded and stored in so long."""
        self.write_s = spent_s if self.write_s is None else (1 - NEWS) * self.write_s + NEWS * spent_s
        self.metrics.mtbf.set(self.uptime.mtbf_s)

    def steps(self, step_s: float) -> int:
        """For a run whose steps take so long now."""
        if self.every is not None:
            return self.every
        write_s = self.write_s
        if not write_s or step_s <= 0:
            return FIRST_STEPS
        steps = interval_steps(write_s, step_s, self.uptime.mtbf_s)
        self.metrics.checkpoint_steps.set(steps)
        return steps
