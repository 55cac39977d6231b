"""`mezzotint audit pictures | list`."""

import csv
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mezzotint.config import Settings, read_settings
from mezzotint.domain.errors import ArgumentInvalid, NotKnown
from mezzotint.domain.ids import AuditId, Sha256, TenantId
from mezzotint.domain.safety.picture_audit import AuditCriteria, AuditFinding, PictureAudit
from mezzotint.domain.safety.takedown import PictureSelection
from mezzotint.main.options import Data, print_table, report_errors
from mezzotint.main.takedown.arguments import name_author, parse_instant
from mezzotint.main.takedown.commands import OfTenant, Since, Until, Yes, print_takedowns
from mezzotint.policy.safety.categories import ANY, SafetyCategory
from mezzotint.policy.safety.takedown import MAX_NAMED

if TYPE_CHECKING:
    from mezzotint.actions.takedown.audit import AuditWork
    from mezzotint.actions.takedown.work import TakedownWork
    from mezzotint.store import Database, Store

app = typer.Typer(help="Judge pictures that were delivered again, by today's filters.", no_args_is_help=True)
HEAD = ("made", "tenant", "job", "found_in", "category", "before", "now", "score_before", "score", "png")
SCORES = ("score_before", "score")


class OutputFormat(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@app.command()
def pictures(
    *,
    since: Since = None,
    until: Until = None,
    tenant: OfTenant = None,
    category: Annotated[
        list[str] | None, typer.Option("--class", help="Only findings of this category; may be repeated.")
    ] = None,
    score_over: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Also list pictures that pass and have a higher score than this."),
    ] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with this audit, which was cut off.")] = None,
    format: Annotated[OutputFormat, typer.Option(help="How the findings are printed.")] = OutputFormat.TABLE,
    take_down: Annotated[
        bool, typer.Option("--take-down", metavar="", help="Take down what was found, once you agreed.")
    ] = False,
    yes: Yes = False,
    data: Data = None,
) -> None:
    """List the pictures of a time that today's filters would stop, by their pixels or their prompts."""
    with report_errors():
        now = datetime.now(UTC)
        criteria = AuditCriteria(
            since=parse_instant(since, now),
            until=parse_instant(until, now),
            tenant=None if tenant is None else TenantId(tenant),
            categories=tuple(category or ()),
            score_over=score_over,
        )
        check_criteria(criteria)

        async def work_on(audit_work: "AuditWork") -> None:
            audit = await find_audit(audit_work, resume, criteria)
            typer.echo(f"audit {audit.id}; if it is cut off: mezzotint audit pictures --resume {audit.id}", err=True)
            audit = await show_audit(audit_work, audit)
            async with aclosing(audit_work.audits.findings(audit.id)) as found:
                num_found = await print_findings(found, format)
            unread = f", {audit.num_unread} of them without a file that can be read" if audit.num_unread else ""
            typer.echo(f"{audit.num_seen} pictures judged{unread}; {num_found} found", err=True)
            if take_down and num_found:
                if not yes:
                    typer.confirm(f"Take down {num_found} pictures?", abort=True, err=True)
                await take_down_found(audit_work, audit)

        with_audits(read_settings(data=data), work_on)


@app.command("list")
def show_all(data: Data = None) -> None:
    """The audits: how far each is, and how much it found."""
    from mezzotint.main.with_database import with_database
    from mezzotint.store import PictureAudits

    with report_errors():

        async def work_on(database: "Database") -> list[tuple[PictureAudit, int]]:
            return await PictureAudits(database).newest(50)

        rows = [
            (one.id, one.phase, f"{one.created_at:%Y-%m-%d %H:%M}", str(one.num_seen), str(num_found))
            for one, num_found in with_database(read_settings(data=data), work_on)
        ]
        print_table(("audit", "phase", "made", "judged", "found"), rows)


def check_criteria(criteria: AuditCriteria) -> None:
    """Raises: ArgumentInvalid."""
    names = [ANY, *SafetyCategory]
    for name in criteria.categories:
        if name not in names:
            raise ArgumentInvalid(f"{name[:40]!r} is no class; there are {', '.join(names)}")
    if criteria.since and criteria.until and criteria.since >= criteria.until:
        raise ArgumentInvalid("the time ends before it begins")


async def find_audit(audit_work: "AuditWork", resume: str | None, criteria: AuditCriteria) -> PictureAudit:
    """The audit to go on with, or a new one. Raises: NotKnown, ArgumentInvalid, StorageUnavailable."""
    from mezzotint.actions.takedown.audit import begin_audit

    if resume is None:
        return await begin_audit(audit_work, criteria)
    if criteria != AuditCriteria():
        raise ArgumentInvalid("--resume goes on with what the audit was begun with; give no other conditions")
    audit = await audit_work.audits.get(AuditId(resume))
    if audit is None:
        raise NotKnown(f"there is no audit {resume[:80]!r}", "audit list")
    return audit


async def show_audit(audit_work: "AuditWork", audit: PictureAudit) -> PictureAudit:
    """Run the audit to its end behind a progress bar on standard error."""
    from mezzotint.actions.takedown.audit import run_audit, select_pictures
    from mezzotint.main.evals.finish import progress_bar

    left = await audit_work.work.takedowns.count_drawn(select_pictures(audit.criteria), audit.cursor, audit.last_seq)
    with progress_bar() as bar:
        task = bar.add_task("judging pictures", total=left + audit.num_seen, completed=audit.num_seen)
        return await run_audit(audit_work, audit, lambda number: bar.advance(task, number))


async def print_findings(found: AsyncIterator[AuditFinding], format: OutputFormat) -> int:
    """Print findings as they come; a table when all are there. JSON: one object a line. Returns how many."""
    rows: list[tuple[str, ...]] = []
    number = 0
    writer = csv.writer(sys.stdout)
    if format is OutputFormat.CSV:
        writer.writerow(HEAD)
    async for one in found:
        number += 1
        scores = [one.score_before, one.score]
        verdicts = (one.verdict_before, one.verdict_now)
        shown = ["" if score is None else f"{score:.3f}" for score in scores]
        row = (one.made_at.isoformat(), one.tenant, one.job, one.found_in, one.category, *verdicts, *shown, one.png)
        match format:
            case OutputFormat.TABLE:
                rows.append(row)
            case OutputFormat.JSON:
                typer.echo(json.dumps({**dict(zip(HEAD, row, strict=True)), **dict(zip(SCORES, scores, strict=True))}))
            case OutputFormat.CSV:
                writer.writerow(row)
    if format is OutputFormat.TABLE:
        print_table(HEAD, rows)
    return number


async def take_down_found(audit_work: "AuditWork", audit: PictureAudit) -> None:
    """Take down everything that the audit found, in takedowns of at most `MAX_NAMED` pictures."""
    from mezzotint.actions.takedown.begin import begin_takedown

    async def take(contents: list[Sha256]) -> None:
        taken = await begin_takedown(
            audit_work.work,
            PictureSelection(contents=tuple(dict.fromkeys(contents))),
            reason=f"found by audit {audit.id}",
            made_by=name_author(),
            within_s=float("inf"),
        )
        print_takedowns([taken])

    some: list[Sha256] = []
    async for one in audit_work.audits.findings(audit.id):
        some.append(one.png)
        if len(some) == MAX_NAMED:
            await take(some)
            some = []
    if some:
        await take(some)


def with_audits(settings: Settings, work: "Callable[[AuditWork], Coroutine[None, None, None]]") -> None:
    """Run a command's work on audits with the filters that the settings name.

    Raises: DatabaseMissing, StoreUnusable, SettingInvalid, RulesInvalid, ModelMissing, ModelCorrupt.
    """
    from mezzotint.actions.takedown.audit import AuditWork
    from mezzotint.main.takedown.wiring import build_blocklist_reader, with_takedowns
    from mezzotint.safety.image.loading import load_postfilter
    from mezzotint.safety.policy_file import load_policy

    image_filter = load_postfilter(load_policy(settings.safety_policy))

    async def work_on(store: "Store", takedowns: "TakedownWork") -> None:
        await build_blocklist_reader(store.takedowns, image_filter).refresh()
        await work(AuditWork(audits=store.picture_audits, work=takedowns, judge=image_filter.check))

    with_takedowns(settings, work_on)
