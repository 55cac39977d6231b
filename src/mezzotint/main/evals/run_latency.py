"""Run the evaluation of latency: each stage by the code that serves."""

import asyncio
import os
import platform
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from mezzotint.config import Settings
from mezzotint.domain.ids import JobId, OwnerId, TenantId, WorkerId
from mezzotint.domain.job import Job, JobState
from mezzotint.domain.tier import Tier
from mezzotint.evals.latency import measure_latency, time_calls
from mezzotint.evals.prompts import read_golden
from mezzotint.evals.result import EvalResult
from mezzotint.main.evals.draw import DrawChoices, draw_pictures, plan_pictures
from mezzotint.main.evals.run_safety import open_screen
from mezzotint.media import encode
from mezzotint.safety.image.loading import load_postfilter
from mezzotint.safety.policy_file import load_policy
from mezzotint.store import Database, Jobs, WorkerOffer

LEASE_S = 30.0


def run_latency(settings: Settings, num_runs: int) -> EvalResult:
    """Raises: StartError, RunFailed."""
    screen, _ = open_screen(settings)
    texts = [prompt.text for name in ("adversarial", "benign") for prompt in read_golden(name, num_runs // 2).prompts]
    screen(texts[0])
    stages = {"text_filter": time_calls(partial(screen, text) for text in texts)}
    with TemporaryDirectory() as folder:
        stages |= asyncio.run(_time_queue(settings, Path(folder), num_runs))
    finished: list[float] = []
    choices = DrawChoices(limit=1, on_step=lambda: finished.append(perf_counter()))
    drawn = draw_pictures(settings, choices)
    picture = drawn.pictures[0].picture
    stages["step"] = [after - before for before, after in pairwise(finished)]
    image_filter = load_postfilter(load_policy(settings.safety_policy))
    image_filter.check(picture)
    stages["image_filter"] = time_calls(partial(image_filter.check, picture) for _ in range(num_runs))
    stages["encode"] = time_calls(partial(encode, picture) for _ in range(num_runs))
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs"
    return measure_latency(stages, inputs={**drawn.inputs, "machine": machine})


async def _time_queue(settings: Settings, folder: Path, num_runs: int) -> dict[str, list[float]]:
    """Accept a job and claim it, on a new SQLite database: each is a commit on the disk of temporary files."""
    database = Database(folder / "latency.db")
    times: dict[str, list[float]] = {"enqueue": [], "claim": []}
    try:
        database.migrate()
        jobs, offer = Jobs(database), WorkerOffer(worker=WorkerId("latency"))
        model, (parameters,) = plan_pictures(settings, DrawChoices(limit=1))
        for number in range(num_runs):
            job = Job(
                id=JobId(f"job_{number:024x}"),
                tenant=TenantId("latency"),
                owner=OwnerId(""),
                tier=Tier.PRO,
                state=JobState.QUEUED,
                raw_prompt=parameters.prompt,
                parameters=parameters,
                model=model.info.name,
                created_at=datetime.now(UTC),
            )
            started_at = perf_counter()
            await jobs.add(job)
            added_at = perf_counter()
            await jobs.claim(offer, datetime.now(UTC), LEASE_S)
            times["claim"].append(perf_counter() - added_at)
            times["enqueue"].append(added_at - started_at)
    finally:
        await database.close()
    return times
