"""`mezzotint tighten` and `mezzotint safety audit | dial | give-back | refusals`."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from mezzotint.actions.safety.dial import TighteningRequest, end_tightening
from mezzotint.actions.safety.dial import tighten as tighten_thresholds
from mezzotint.config import read_settings
from mezzotint.domain.errors import ArgumentInvalid, NotKnown
from mezzotint.main.options import Data, print_table, report_errors
from mezzotint.main.safety.arguments import Reason, describe_change, parse_category, parse_duration, parse_share

app = typer.Typer(help="The safety policy in use: its audit, the dial, refusals.", no_args_is_help=True)
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many, the latest first.")]


def tighten(
    by: Annotated[str, typer.Option(help="Share taken from the thresholds: 10%, or 0.1.")],
    lasts: Annotated[str, typer.Option("--for", help="After which it gives back by itself: 30m, 24h or 7d.")],
    reason: Reason,
    category: Annotated[str, typer.Option(help="One category, or all.")] = "all",
    data: Data = None,
) -> None:
    """Make thresholds of text and pictures stricter for a time; every server and worker follows within seconds."""
    from mezzotint.main.safety.controls import with_controls

    with report_errors():
        change = describe_change(reason)
        request = TighteningRequest(category=parse_category(category), by=parse_share(by), lasts=parse_duration(lasts))
        made = with_controls(read_settings(data=data), lambda controls: tighten_thresholds(controls, request, change))
        if isinstance(made, str):
            error = ArgumentInvalid("the thresholds were not tightened")
            error.hint = made
            raise error
        typer.echo(f"{made.id}  {made.category or 'all'}  by {made.by:.0%} until {made.ends_at:%Y-%m-%d %H:%M}Z")


@app.command()
def dial(data: Data = None) -> None:
    """The tightenings in force, and what thresholds are multiplied by at the moment."""
    from mezzotint.main.safety.controls import with_controls

    with report_errors():
        now = datetime.now(UTC)
        found = with_controls(read_settings(data=data), lambda controls: controls.overrides.in_force(now))
        rows = [
            (one.id, one.category or "all", f"{one.by:.0%}", f"{one.ends_at:%Y-%m-%d %H:%M}Z", one.author, one.reason)
            for one in found.tightenings
        ]
        print_table(("tightening", "category", "by", "ends", "author", "reason"), rows)
        print_table(
            ("category", "factor"),
            [(name, f"{factor:.3g}") for name, factor in found.threshold_factors(now).items()],
        )


@app.command("give-back")
def give_back(
    id: Annotated[str, typer.Argument(help="The tightening's id.")], reason: Reason, data: Data = None
) -> None:
    """End a tightening before its time."""
    from mezzotint.main.safety.controls import with_controls

    with report_errors():
        change = describe_change(reason)
        ended = with_controls(read_settings(data=data), lambda controls: end_tightening(controls, id, change))
        if ended is None:
            raise NotKnown(f"no tightening {id[:80]!r} is in force", "safety dial")
        typer.echo(f"{id}  given back")


@app.command()
def audit(limit: Limit = 50, data: Data = None) -> None:
    """List the changes of rules, thresholds and appeals: by whom, when, from what to what, and why."""
    from mezzotint.main.safety.controls import with_controls

    with report_errors():
        page = with_controls(read_settings(data=data), lambda controls: controls.audit.page(limit))
        rows = [
            (
                f"{entry.change.at:%Y-%m-%d %H:%M:%S}",
                entry.change.author,
                entry.action,
                entry.subject,
                _compact(entry.before),
                _compact(entry.after),
                entry.change.reason,
            )
            for _, entry in page
        ]
        print_table(("at", "author", "action", "subject", "before", "after", "reason"), rows)


@app.command()
def refusals(limit: Limit = 50, data: Data = None) -> None:
    """The latest refusals of prompts: what each rests on. The text is there only with MEZZOTINT_REFUSAL_PROMPTS."""
    from mezzotint.main.safety.controls import with_controls

    with report_errors():
        page = with_controls(read_settings(data=data), lambda controls: controls.refusals.page(limit))
        rows = [
            (
                f"{one.created_at:%Y-%m-%d %H:%M:%S}",
                one.id,
                one.tenant,
                one.evidence.category,
                one.evidence.rule,
                _compact(one.evidence.scores),
                one.text_hash[:16],
                json.dumps(one.prompt[:80], ensure_ascii=False) if one.prompt else "",
            )
            for _, one in page
        ]
        print_table(("at", "refusal", "tenant", "category", "rule", "scores", "hash", "prompt"), rows)


def _compact(fields: object) -> str:
    return "" if fields is None else json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
