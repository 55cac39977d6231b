"""`mezzotint jobs dead | retry`."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from mezzotint.actions.finish import BackingServices
from mezzotint.config import Settings, read_settings
from mezzotint.domain.errors import NotKnown
from mezzotint.domain.ids import JobId
from mezzotint.domain.job import Job
from mezzotint.main.options import Data, print_table, report_errors
from mezzotint.main.with_database import with_database

if TYPE_CHECKING:
    from mezzotint.store import Database

app = typer.Typer(help="Jobs that failed for good, and another chance for them.", no_args_is_help=True)
T = TypeVar("T")


@app.command()
def dead(
    data: Data = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the latest first.")] = 50,
) -> None:
    """The dead letters: jobs that failed, with the reason."""
    with report_errors():
        found = _with_backing(read_settings(data=data), lambda backing: backing.jobs.list_failed(limit))
        print_table(("job", "tenant", "lane", "failed", "code", "why"), [_row(job) for job in found])


@app.command()
def retry(
    job: Annotated[list[str], typer.Argument(help="Ids of dead letters.")],
    data: Data = None,
) -> None:
    """Put dead letters back into the queue, as if new; a server that runs takes them up."""
    from mezzotint.actions.requeue import retry_failed

    with report_errors():
        for id in job:

            async def work(backing: BackingServices, id: str = id) -> bool:
                return await retry_failed(backing, JobId(id), datetime.now(UTC))

            if not _with_backing(read_settings(data=data), work):
                raise NotKnown(f"there is no dead letter {id[:80]!r}", "jobs dead")
            typer.echo(f"{id}  queued")


def _row(job: Job) -> tuple[str, ...]:
    error, at = job.error, job.finished_at
    return (
        job.id,
        job.tenant,
        job.lane,
        f"{at:%Y-%m-%d %H:%M:%S}" if at else "",
        error.code if error else "",
        error.message if error else "",
    )


def _with_backing(settings: Settings, work: Callable[[BackingServices], Coroutine[None, None, T]]) -> T:
    from mezzotint.main.stores import open_backing
    from mezzotint.metrics import Metrics
    from mezzotint.store import Store

    async def work_on_backing(database: "Database") -> T:
        return await work(open_backing(settings, Store(database), Metrics()))

    return with_database(settings, work_on_backing)
