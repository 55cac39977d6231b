"""`mezzotint rules add | test | list | date | remove`: hard rules in use."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mezzotint.actions.safety.rules import (
    RuleDraft,
    RuleRejected,
    RuleTrial,
    add_rule,
    date_rule,
    remove_rule,
    try_rule,
)
from mezzotint.config import read_settings
from mezzotint.domain.errors import ArgumentInvalid, NotKnown
from mezzotint.main.options import Data, print_table, report_errors, setting_option
from mezzotint.main.safety.arguments import Reason, describe_change, join_terms, parse_end, parse_terms
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.hard_rules import MAX_RULES, HardRule

app = typer.Typer(help="Hard rules that hold while servers run, beside the rules file.", no_args_is_help=True)
Category = Annotated[SafetyCategory, typer.Option(help="What a refusal by the rule is about.")]
AllOf = Annotated[
    list[str],
    typer.Option(help="Terms between commas, one of which a prompt must have; again: and one of these, too."),
]
NoneOf = Annotated[str, typer.Option(help="Terms between commas that make a prompt pass.")]
Expires = Annotated[str | None, typer.Option(help="When it lets go by itself: 24h, 7d or a date; default: never.")]
RulesFile = Annotated[Path | None, setting_option("prefilter_rules", "The operator's file of hard rules.", "--rules")]
Id = Annotated[str, typer.Argument(help="The rule's id.")]


@app.command()
def add(
    category: Category,
    all_of: AllOf,
    reason: Reason,
    *,
    none_of: NoneOf = "",
    expires: Expires = None,
    force: Annotated[
        bool, typer.Option("--force", metavar="", help="Even if it refuses harmless prompts of the golden set.")
    ] = False,
    rules: RulesFile = None,
    data: Data = None,
) -> None:
    """Put a rule into force; every server and worker of the database follows within seconds."""
    from mezzotint.main.safety.controls import with_controls

    with report_errors():
        change = describe_change(reason)
        draft = _draft(category, all_of, none_of, expires, change.at)
        settings = read_settings(data=data, prefilter_rules=rules)
        added = with_controls(
            settings, lambda controls: add_rule(controls, draft, change, is_forced=force), tries_rules=True
        )
        if isinstance(added, RuleRejected):
            raise _reject(added)
        rule, trial = added
        _print_trial(trial)
        typer.echo(f"{rule.id}  in force")


@app.command("test")
def try_out(
    category: Category,
    all_of: AllOf,
    *,
    none_of: NoneOf = "",
    show_prompts: Annotated[
        bool, typer.Option("--show-prompts", metavar="", help="Print some of the prompts; the audit tells of it.")
    ] = False,
    rules: RulesFile = None,
    data: Data = None,
) -> None:
    """Count what a rule would stop of the last 10,000 prompts and of the golden sets. Changes nothing."""
    from mezzotint.main.safety.controls import with_controls

    with report_errors():
        change = describe_change("a trial")
        draft = _draft(category, all_of, none_of, None, change.at)
        settings = read_settings(data=data, prefilter_rules=rules)
        tried = with_controls(
            settings, lambda controls: try_rule(controls, draft, change, shows_prompts=show_prompts), tries_rules=True
        )
        if isinstance(tried, RuleRejected):
            raise _reject(tried)
        _print_trial(tried)
        for prompt in tried.stopped_prompts:
            typer.echo(f"would stop: {prompt!r}")


@app.command("list")
def show(
    ended: Annotated[
        bool, typer.Option("--ended", metavar="", help="Also those that expired or were removed.")
    ] = False,
    data: Data = None,
) -> None:
    """The rules in use, newest first."""
    from mezzotint.main.safety.controls import with_controls

    with report_errors():
        now = datetime.now(UTC)
        found = with_controls(
            read_settings(data=data),
            lambda controls: controls.overrides.list_rules(MAX_RULES, with_ended=ended, now=now),
        )
        head = ("rule", "version", "category", "ends", "author", "terms", "reason")
        print_table(head, [_row(rule, now) for rule in found])


@app.command()
def date(
    id: Id, expires: Annotated[str, typer.Option(help="24h, 7d, a date, or never.")], reason: Reason, data: Data = None
) -> None:
    """Give a rule another end."""
    from mezzotint.main.safety.controls import with_controls

    with report_errors():
        change = describe_change(reason)
        end = None if expires == "never" else parse_end(expires, change.at)
        dated = with_controls(read_settings(data=data), lambda controls: date_rule(controls, id, end, change))
        if isinstance(dated, RuleRejected):
            raise _reject(dated)
        typer.echo(f"{id}  ends {_end(_require(dated, id), change.at)}")


@app.command()
def remove(id: Id, reason: Reason, data: Data = None) -> None:
    """Take a rule out of force."""
    from mezzotint.main.safety.controls import with_controls

    with report_errors():
        change = describe_change(reason)
        _require(with_controls(read_settings(data=data), lambda controls: remove_rule(controls, id, change)), id)
        typer.echo(f"{id}  removed")


def _draft(category: SafetyCategory, all_of: list[str], none_of: str, expires: str | None, now: datetime) -> RuleDraft:
    return RuleDraft(
        category=category,
        all_of=tuple(parse_terms(group) for group in all_of),
        none_of=parse_terms(none_of),
        expires_at=parse_end(expires, now),
    )


def _reject(rejected: RuleRejected) -> ArgumentInvalid:
    error = ArgumentInvalid(f"the rule was not added: {rejected.fault}")
    error.hint = rejected.hint
    return error


def _require(rule: HardRule | None, id: str) -> HardRule:
    if rule is None:
        raise NotKnown(f"no rule {id[:80]!r} is in force", "rules list")
    return rule


def _print_trial(trial: RuleTrial) -> None:
    rows = [
        ("recent prompts", trial.num_recent, trial.num_stopped, trial.num_newly_stopped),
        ("golden adversarial", trial.num_adversarial, "", trial.num_newly_caught),
        ("golden benign", trial.num_benign, "", trial.num_newly_refused),
    ]
    print_table(("set", "prompts", "stopped", "newly"), [tuple(map(str, row)) for row in rows])
    for text in trial.refused_benign:
        typer.echo(f"benign, newly refused: {text!r}")


def _row(rule: HardRule, now: datetime) -> tuple[str, ...]:
    terms = join_terms(rule.all_of) + (f" - {'|'.join(rule.none_of)}" if rule.none_of else "")
    return (rule.id, str(rule.version), rule.category, _end(rule, now), rule.author, terms, rule.reason)


def _end(rule: HardRule, now: datetime) -> str:
    if rule.removed_at is not None:
        return "removed"
    if rule.expires_at is None:
        return "never"
    return f"{rule.expires_at:%Y-%m-%d %H:%M}Z" + ("" if rule.is_in_force(now) else " (over)")
