"""Jobs in a line, on a clock that counts the process's CPU time and jumps over idleness."""

import time
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    id: int
    arrives_at: float
    prompt: str
    steps: int
    seed: int

    def request(self) -> dict[str, Any]:
        return {
            "prompt": self.prompt,
            "num_inference_steps": self.steps,
            "guidance_scale": 3.5,
            "generator": torch.Generator().manual_seed(self.seed),
            "output_type": "np",
        }


class Line:
    """pictures: by job. latencies: seconds from arrival to picture. ended_at: when the last one was finished.
    num_passes, num_forecast: denoiser calls that took a pass and that were foretold, where the way tells."""

    def __init__(self, work: list[Job]) -> None:
        self.pictures: dict[int, Any] = {}
        self.latencies: list[float] = []
        self.ended_at = 0.0
        self.num_passes = self.num_forecast = 0
        self._work = work
        self._num_taken = 0
        self._skipped = 0.0
        self._origin = time.process_time()

    @property
    def num_going(self) -> int:
        return self._num_taken - len(self.latencies)

    @property
    def is_over(self) -> bool:
        return len(self.latencies) == len(self._work)

    def now(self) -> float:
        return time.process_time() - self._origin + self._skipped

    def take(self, *, is_idle: bool) -> Job | None:
        """The next job if it has arrived. is_idle: wait for it if it has not."""
        if self._num_taken == len(self._work):
            return None
        job = self._work[self._num_taken]
        if is_idle:
            self._skipped += max(0.0, job.arrives_at - self.now())
        if job.arrives_at > self.now():
            return None
        self._num_taken += 1
        return job

    def finish(self, job: Job, picture: Any) -> None:
        self.ended_at = self.now()
        self.latencies.append(self.ended_at - job.arrives_at)
        self.pictures[job.id] = picture
