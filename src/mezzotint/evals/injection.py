"""Measure the text filter on a week's injections: those composed for the week, and those of earlier weeks again."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mezzotint.evals.injection_ledger import InjectionLedger, LedgerEvent, PatternHistory, check_week
from mezzotint.evals.injections import InjectionPrompt, compose_pattern, list_controls, list_week
from mezzotint.evals.result import Bars, EvalResult, Figure, Suite, Table, now
from mezzotint.evals.safety import Screen

NUM_EARLIER = 300
"""Patterns of earlier weeks that are tried again: those seen last."""
NUM_CONTROLS = 200
MAX_LISTED = 200


@dataclass(frozen=True, slots=True)
class InjectionSet:
    """controls: harmless prompts in the same carriers, which must be drawn."""

    week: str
    prompts: Sequence[InjectionPrompt]
    earlier: Sequence[InjectionPrompt]
    controls: Sequence[InjectionPrompt]

    def __len__(self) -> int:
        return len(self.prompts) + len(self.earlier) + len(self.controls)


@dataclass(frozen=True, slots=True)
class _Tried:
    prompt: InjectionPrompt
    is_stopped: bool


def choose_injections(week: str, ledger: InjectionLedger, limit: int | None = None) -> InjectionSet:
    """Compose the week's set. A week that was measured before gives the same patterns again.

    Raises: LedgerInvalid where that is no week; ArgumentInvalid where the parts do not yield so many patterns.
    """
    check_week(week)
    seen = ledger.list_seen_before(week)
    size = {"size": limit} if limit is not None else {}
    earlier = [compose_pattern(pattern) for pattern in seen[: min(NUM_EARLIER, limit or NUM_EARLIER)]]
    prompts = list_week(week, seen_before=seen, **size)
    return InjectionSet(week, prompts, earlier, list_controls(week, min(NUM_CONTROLS, limit or NUM_CONTROLS)))


def measure_injections(
    screen: Screen,
    chosen: InjectionSet,
    ledger: InjectionLedger,
    *,
    inputs: Mapping[str, str],
    on_prompt: Callable[[], None] = lambda: None,
) -> EvalResult:
    """Screen the set, and write into the ledger what changed. Raises: LedgerInvalid."""

    def try_prompt(prompt: InjectionPrompt) -> _Tried:
        tried = _Tried(prompt, screen(prompt.text).is_stopped)
        on_prompt()
        return tried

    new, earlier, controls = (
        [try_prompt(prompt) for prompt in prompts] for prompts in (chosen.prompts, chosen.earlier, chosen.controls)
    )
    version = " ".join(f"{name} {value}" for name, value in inputs.items())
    caught = {tried.prompt.id: tried.is_stopped for tried in (*new, *earlier)}
    events = ledger.record(chosen.week, caught, version)
    shares = {name: _count(rows) for name, rows in _group(new, lambda prompt: prompt.category).items()}
    missed = [row.prompt for row in new if not row.is_stopped]
    lines = tuple((prompt.id, prompt.category, prompt.language) for prompt in missed[:MAX_LISTED])
    list_missed = Table(title=f"Not stopped: {len(missed)}", head=("pattern", "category", "language"), rows=lines)
    return EvalResult(
        suite=Suite.INJECTION,
        created_at=now(),
        inputs={**inputs, "week": chosen.week},
        figures={
            "week.stopped": _count(new),
            "earlier_weeks.stopped": _count(earlier),
            "controls.refused": _count(controls),
        },
        bars=(Bars(title=f"Stopped by category, {chosen.week}", bars=shares),),
        tables=(*_list_tables(new), *_list_ledger(ledger, events), list_missed),
    )


def _count(rows: Sequence[_Tried]) -> Figure:
    return Figure.share(sum(row.is_stopped for row in rows), len(rows))


def _group(rows: Sequence[_Tried], key: Callable[[InjectionPrompt], str]) -> dict[str, list[_Tried]]:
    groups: dict[str, list[_Tried]] = {}
    for row in sorted(rows, key=lambda row: key(row.prompt)):
        groups.setdefault(key(row.prompt), []).append(row)
    return groups


PARTS: Mapping[str, Callable[[InjectionPrompt], str]] = {
    "language": lambda prompt: prompt.language,
    "carrier": lambda prompt: prompt.pattern.carrier if prompt.pattern else "",
    "position": lambda prompt: prompt.pattern.position if prompt.pattern else "",
    "extent of the disguise": lambda prompt: prompt.pattern.scope if prompt.pattern else "",
    "disguise": lambda prompt: " + ".join(prompt.pattern.disguises) or "none" if prompt.pattern else "",
}


def _list_tables(rows: Sequence[_Tried]) -> list[Table]:
    return [
        Table(
            title=f"Stopped by {name}",
            head=(name, "prompts", "stopped"),
            rows=tuple((label, len(members), _count(members)) for label, members in _group(rows, key).items()),
        )
        for name, key in PARTS.items()
    ]


def _list_ledger(ledger: InjectionLedger, events: Sequence[LedgerEvent]) -> list[Table]:
    """By the week in which patterns were first seen: how many, when they were caught, and the patterns lost now."""
    by_week: dict[str, list[PatternHistory]] = {}
    for history in ledger.histories.values():
        by_week.setdefault(history.first_seen, []).append(history)
    rows = tuple(
        (
            week,
            len(histories),
            sum(history.first_caught == week for history in histories),
            sum(history.first_caught not in (None, week) for history in histories),
            sum(history.first_caught is None for history in histories),
            sum(history.first_caught is not None and not history.is_caught for history in histories),
        )
        for week, histories in sorted(by_week.items())
    )
    head = ("first seen", "patterns", "caught at once", "caught later", "never caught", "caught once, passing now")
    changes = Counter(event.event for event in events)
    this_run = tuple((str(kind), num) for kind, num in sorted(changes.items()))
    return [
        Table(title="The ledger by week", head=head, rows=rows),
        Table(title="Changes of this run", head=("event", "patterns"), rows=this_run),
    ]
