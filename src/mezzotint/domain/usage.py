"""A tenant's use of a month."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthlyUsage:
    """month: such as `2026-01`, UTC. num_jobs: that ended after a worker had begun them. num_steps: sampler steps.

    gpu_s: charged GPU-seconds. waived_s: of jobs that failed, which nobody is charged for.
    """

    month: str
    num_jobs: int = 0
    num_images: int = 0
    num_steps: int = 0
    gpu_s: float = 0.0
    waived_s: float = 0.0
