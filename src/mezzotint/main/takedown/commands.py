"""`mezzotint takedown create | list | undo | secret`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from mezzotint.config import read_settings
from mezzotint.domain.errors import ArgumentInvalid, NotKnown
from mezzotint.domain.ids import TakedownId
from mezzotint.domain.safety.takedown import PictureSelection, Takedown, TakedownPlan
from mezzotint.main.options import Data, print_table, report_errors
from mezzotint.main.takedown.arguments import name_author, parse_instant
from mezzotint.policy.safety.takedown import SelectionInvalid, check_selection, read_picture_names

if TYPE_CHECKING:
    from mezzotint.actions.takedown.work import TakedownWork
    from mezzotint.store import Store

app = typer.Typer(help="Take pictures down for everybody, and bring them back in time.", no_args_is_help=True)
Pictures = Annotated[
    list[str] | None, typer.Argument(help="Addresses (/i/...), SHA-256 hashes of files, or ids of jobs.")
]
Since = Annotated[str | None, typer.Option(help="Made then or later: a date, or 24h or 7d ago.")]
Until = Annotated[str | None, typer.Option(help="Made before: as --since.")]
OfTenant = Annotated[str | None, typer.Option("--tenant", help="Whose pictures.")]
Categories = Annotated[
    list[str] | None, typer.Option("--category", help="What today's text filter finds in the prompt; may be repeated.")
]
Yes = Annotated[bool, typer.Option("--yes", metavar="", help="Do not ask.")]


@app.command()
def create(
    pictures: Pictures = None,
    *,
    reason: Annotated[str, typer.Option(help="Why; the audit keeps it.")] = "",
    near: Annotated[list[str] | None, typer.Option(help="A PDQ hash; copies of it go. May be repeated.")] = None,
    copies: Annotated[bool, typer.Option("--copies", metavar="", help="Pictures that look the same go too.")] = False,
    tenant: OfTenant = None,
    word: Annotated[list[str] | None, typer.Option(help="Stands in the prompt; may be repeated.")] = None,
    category: Categories = None,
    since: Since = None,
    until: Until = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", metavar="", help="Only count what it would take.")] = False,
    yes: Yes = False,
    data: Data = None,
) -> None:
    """Take down the pictures that meet every condition, and everything with the same bytes.

    Killed half-way, it goes on when it is run again, or by itself while a server runs.
    """
    from mezzotint.actions.takedown.begin import begin_takedown
    from mezzotint.actions.takedown.select import name_copies, plan_takedown
    from mezzotint.main.takedown.wiring import with_takedowns

    with report_errors():
        now = datetime.now(UTC)
        if not (reason or dry_run):
            raise ArgumentInvalid("a takedown takes --reason, which the audit keeps")
        selection = read_selection(
            pictures or [],
            near=tuple(one.lower() for one in near or ()),
            tenant=tenant,
            words=tuple(word or ()),
            categories=tuple(category or ()),
            since=parse_instant(since, now),
            until=parse_instant(until, now),
        )

        async def work_on(store: "Store", work: "TakedownWork") -> None:
            wanted = await name_copies(work, selection) if copies else selection
            plan = (await plan_takedown(work, wanted)).plan
            print_plan(plan)
            if dry_run:
                return
            if not yes:
                typer.confirm("Take them down?", abort=True, err=True)
            with show_progress() as show:
                taken = await begin_takedown(
                    work, wanted, reason=reason, made_by=name_author(), within_s=float("inf"), on_step=show
                )
            print_takedowns([taken])

        with_takedowns(read_settings(data=data), work_on)


@app.command("list")
def show_all(
    data: Data = None, limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the newest first.")] = 50
) -> None:
    """The takedowns: their phase, what they took, and until when they can be undone."""
    from mezzotint.main.takedown.wiring import with_takedowns

    with report_errors():

        async def work_on(store: "Store", work: "TakedownWork") -> list[tuple[int, Takedown]]:
            return await work.takedowns.page(limit)

        print_takedowns([one for _, one in with_takedowns(read_settings(data=data), work_on)])


@app.command()
def undo(
    id: Annotated[str, typer.Argument(help="Of the takedown.")],
    reason: Annotated[str, typer.Option(help="Why; the audit keeps it.")],
    data: Data = None,
) -> None:
    """Bring back everything that a takedown took, and let its pictures in again."""
    from mezzotint.actions.takedown.begin import UndoRefusal, undo_takedown
    from mezzotint.main.takedown.wiring import with_takedowns

    with report_errors():

        async def work_on(store: "Store", work: "TakedownWork") -> Takedown:
            takedown = await work.takedowns.get(TakedownId(id))
            if takedown is None:
                raise NotKnown(f"there is no takedown {id[:80]!r}", "takedown list")
            with show_progress() as show:
                outcome = await undo_takedown(
                    work, takedown, undone_by=name_author(), reason=reason, within_s=float("inf"), on_step=show
                )
            if isinstance(outcome, UndoRefusal):
                early = f"takedown {id} is {takedown.phase}: undo it when it is done"
                late = f"takedown {id} could be undone until {takedown.ends_at:%Y-%m-%d %H:%M} UTC"
                raise ArgumentInvalid(early if outcome is UndoRefusal.UNDER_WAY else late)
            return outcome

        print_takedowns([with_takedowns(read_settings(data=data), work_on)])


@app.command()
def secret(data: Data = None) -> None:
    """Print the key with which the receiver of MEZZOTINT_PURGE_URL checks signatures."""
    from mezzotint.gateway import Issuer
    from mezzotint.gateway.cache_purge import purge_secret
    from mezzotint.main.data_folder import load_secret

    with report_errors():
        typer.echo(purge_secret(Issuer(load_secret(read_settings(data=data), make=False)).derive))


def read_selection(pictures: list[str], **conditions: Any) -> PictureSelection:
    """conditions: of the selection, beside the pictures that it names. Raises: ArgumentInvalid."""
    try:
        contents, jobs = read_picture_names(pictures)
        selection = PictureSelection(contents=contents, jobs=jobs, **conditions)
        check_selection(selection)
    except SelectionInvalid as error:
        raise ArgumentInvalid(str(error)) from error
    return selection


@contextmanager
def show_progress() -> Iterator[Callable[[Takedown], None]]:
    """A line on standard error that tells how far a takedown is; none where that is no terminal."""
    with Console(stderr=True).status("") as status:
        yield lambda one: status.update(
            f"{one.phase}: {one.num_seen} looked at, {one.num_pictures} pictures and {one.num_uploads} uploads, "
            f"{one.num_moved} in quarantine"
        )


def print_plan(plan: TakedownPlan) -> None:
    tenants = sorted(plan.pictures_of.keys() | plan.uploads_of.keys())
    rows = [(one, str(plan.pictures_of.get(one, 0)), str(plan.uploads_of.get(one, 0))) for one in tenants]
    print_table(("tenant", "pictures", "uploads"), rows)
    jobs = f"; {plan.num_open_jobs} jobs that have not ended are cancelled" if plan.num_open_jobs else ""
    typer.echo(f"{plan.num_pictures} pictures and {plan.num_uploads} uploads, {plan.num_bytes} bytes{jobs}")


def print_takedowns(takedowns: list[Takedown]) -> None:
    rows = [
        (
            one.id,
            one.phase,
            str(one.num_pictures),
            str(one.num_uploads),
            f"{one.created_at:%Y-%m-%d %H:%M}",
            f"{one.ends_at:%Y-%m-%d %H:%M}",
            one.made_by,
            one.failure or one.reason,
        )
        for one in takedowns
    ]
    print_table(("takedown", "phase", "pictures", "uploads", "made", "undo until", "by", "why"), rows)
