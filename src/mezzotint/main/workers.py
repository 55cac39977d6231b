"""`mezzotint workers list | drain | resume`."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from mezzotint.config import read_settings
from mezzotint.domain.errors import NotKnown
from mezzotint.domain.ids import WorkerId
from mezzotint.main.options import Data, print_table, report_errors
from mezzotint.main.with_database import with_database

if TYPE_CHECKING:
    from mezzotint.store import Database, Workers

app = typer.Typer(help="Who draws here, and who is to take no more jobs.", no_args_is_help=True)
T = TypeVar("T")
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Workers, as `list` names them.")]
Everybody = Annotated[bool, typer.Option("--all", help="Every worker, also those that start later.")]


@app.command("list")
def list_(data: Data = None) -> None:
    """The workers heard of in the last two minutes."""
    with report_errors():
        found = _run(data, lambda workers: workers.all(datetime.now(UTC)))
        rows = [
            (one.id, f"{one.seen_at:%Y-%m-%d %H:%M:%S}", str(one.num_running), "yes" if one.is_drained else "no")
            for one in found
        ]
        print_table(("worker", "seen", "runs", "drained"), rows)


@app.command()
def drain(id: Ids = None, everybody: Everybody = False, data: Data = None) -> None:
    """Let workers put their runs aside with checkpoints and take no more, within a second or two."""
    _tell(data, id or [], everybody=everybody, is_drained=True)


@app.command()
def resume(id: Ids = None, everybody: Everybody = False, data: Data = None) -> None:
    """Let drained workers take jobs again."""
    _tell(data, id or [], everybody=everybody, is_drained=False)


def _tell(data: Data, ids: list[str], *, everybody: bool, is_drained: bool) -> None:
    if bool(ids) == everybody:
        raise typer.BadParameter("name workers, or say --all")
    with report_errors():
        if everybody:
            _run(data, lambda workers: workers.drain_all(is_drained=is_drained))
        for id in ids:

            async def work(workers: "Workers", id: str = id) -> bool:
                return await workers.drain(WorkerId(id), datetime.now(UTC), is_drained=is_drained)

            if not _run(data, work):
                raise NotKnown(f"there is no worker {id!r}")
        for id in ids or ["all workers"]:
            typer.echo(f"{id}  {'drained' if is_drained else 'takes jobs'}")


def _run(data: Data, work: "Callable[[Workers], Coroutine[None, None, T]]") -> T:
    from mezzotint.store import Workers

    async def on(database: "Database") -> T:
        return await work(Workers(database))

    return with_database(read_settings(data=data), on)
