"""`mezzotint workers list | drain | resume`."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from mezzotint.config import read_settings
from mezzotint.domain.errors import NotKnown
from mezzotint.domain.ids import WorkerId
from mezzotint.domain.tier import Tier
from mezzotint.main.options import Data, print_table, report_errors
from mezzotint.main.with_database import with_database

if TYPE_CHECKING:
    from mezzotint.store import Database, WorkerLabels

app = typer.Typer(help="Who draws here, and who is to take no more jobs.", no_args_is_help=True)
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Workers, as `list` names them.")]
Everybody = Annotated[bool, typer.Option("--all", metavar="", help="Every worker, also those that start later.")]

Ends = Annotated[bool, typer.Option("--end", metavar="", help="Let their processes end, too, once that is done.")]


@app.command("list")
def list_(data: Data = None) -> None:
    """The workers heard of in the last two minutes."""
    from mezzotint.store import Workers

    with report_errors():
        found = with_database(read_settings(data=data), lambda database: Workers(database).all(datetime.now(UTC)))
        rows = [
            (
                one.id,
                f"{one.seen_at:%Y-%m-%d %H:%M:%S}",
                one.labels.pool or "-",
                one.labels.region or "-",
                one.labels.version or "-",
                f"{one.num_running}/{one.labels.max_runs}",
                describe_limits(one.labels),
                one.health,
                one.state,
            )
            for one in found
        ]
        print_table(("worker", "seen", "pool", "region", "version", "runs", "takes", "health", "state"), rows)


def describe_limits(labels: "WorkerLabels") -> str:
    """The jobs that a worker takes, in few words."""
    parts = []
    if len(labels.lanes) < len(Tier):
        parts.append("/".join(sorted(labels.lanes)))
    if labels.tenants is not None:
        parts.append("of " + ", ".join(sorted(labels.tenants)))
    if labels.models is not None:
        parts.append("by " + ", ".join(sorted(labels.models)))
    return " ".join(parts) or "all"


@app.command()
def drain(id: Ids = None, everybody: Everybody = False, ends: Ends = False, data: Data = None) -> None:
    """Let workers put their runs aside with checkpoints and take no more, within a second or two."""
    if ends and everybody:
        raise typer.BadParameter("--end is for named workers")
    _set_drained(data, id or [], everybody=everybody, is_drained=True, ends=ends)


@app.command()
def resume(id: Ids = None, everybody: Everybody = False, data: Data = None) -> None:
    """Let drained workers take jobs again."""
    _set_drained(data, id or [], everybody=everybody, is_drained=False)


def _set_drained(data: Data, ids: list[str], *, everybody: bool, is_drained: bool, ends: bool = False) -> None:
    from mezzotint.actions.drain import set_drained
    from mezzotint.store import EventBus, Workers

    if bool(ids) == everybody:
        raise typer.BadParameter("name workers, or say --all")

    async def work(database: "Database") -> list[WorkerId]:
        named = None if everybody else [WorkerId(id) for id in ids]
        now = datetime.now(UTC)
        return await set_drained(Workers(database), EventBus(), named, now, is_drained=is_drained, ends=ends)

    with report_errors():
        unknown = with_database(read_settings(data=data), work)
        for id in ids or ["all workers"]:
            if id not in unknown:
                typer.echo(f"{id}  {'drained' if is_drained else 'takes jobs'}")
        if unknown:
            raise NotKnown(f"there is no worker {', '.join(map(repr, unknown))}", "workers list")
