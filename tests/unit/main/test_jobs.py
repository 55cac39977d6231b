"""`mezzotint jobs`, beside no server."""

import asyncio
from dataclasses import replace
from pathlib import Path

from typer.testing import CliRunner

from mezzotint.domain.ids import WorkerId
from mezzotint.domain.job import Job, JobError, JobState
from mezzotint.main.commands import app
from mezzotint.store import Database, Jobs, WorkerOffer
from tests.making import NOW, make_ending, make_job


async def dead_letter(data: Path) -> Job:
    database = Database(data / "mezzotint.db")
    database.migrate()
    jobs, job = Jobs(database), make_job()
    await jobs.add(job)
    (taken,) = await jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    assert taken.lease is not None
    error = JobError(code="run_failed", message="The run failed.", hint="Try again.")
    await jobs.finish(job.id, taken.lease, replace(make_ending(job, JobState.FAILED), error=error))
    await database.close()
    return job


def test_dead_letters_are_listed_with_their_reason_and_retried_once(tmp_path: Path) -> None:
    job = asyncio.run(dead_letter(tmp_path))
    run = CliRunner().invoke
    listed = run(app, ["jobs", "dead", "--data", str(tmp_path)])
    assert listed.exit_code == 0
    assert f"{job.id}  ada" in listed.stdout
    assert "run_failed  The run failed." in listed.stdout
    assert run(app, ["jobs", "retry", job.id, "--data", str(tmp_path)]).stdout == f"{job.id}  queued\n"
    assert job.id not in run(app, ["jobs", "dead", "--data", str(tmp_path)]).stdout
    assert run(app, ["jobs", "retry", job.id, "--data", str(tmp_path)]).exit_code == 1
