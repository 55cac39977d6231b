"""Measure the text filter on labelled prompts: what it stops, what it refuses by mistake, by every property known.

The prompts run through the filter object that the gateway asks. A prompt's text never enters a result: its id does.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mezzotint.evals.prompts import MAX_SHOWN_PROBLEMS, PromptRow, PromptSet
from mezzotint.evals.result import Bars, Curve, EvalResult, Figure, Suite, Table, now
from mezzotint.evals.statistics import clustered_share_interval, roc_curve, threshold_at

FIXED_RATES = (0.01, 0.02, 0.05)
"""Shares of harmless prompts refused at which catch rates are compared."""
GROUPS = ("category", "source", "language", "obfuscation", "pattern", "scope")
MAX_LISTED = 200
MAX_POINTS = 200


@dataclass(frozen=True, slots=True)
class Screening:
    """The filter's answer to a prompt. score: higher is worse; a rule that matched scores above every classifier."""

    is_stopped: bool
    score: float


Screen = Callable[[str], Screening]


@dataclass(frozen=True, slots=True)
class ScreenedPrompt:
    set_name: str
    prompt: PromptRow
    screening: Screening


@dataclass(slots=True)
class _Report:
    figures: dict[str, Figure] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    bars: list[Bars] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def measure_safety(
    screen: Screen,
    golden: Sequence[PromptSet],
    extra: Sequence[PromptSet] = (),
    *,
    inputs: Mapping[str, str],
    reference: str | None = None,
    on_prompt: Callable[[], None] = lambda: None,
) -> EvalResult:
    """Screen every prompt. reference: the extra set whose harmless rows fix the false-positive rates of the extra
    sets; default: those of all of them."""
    report = _Report()
    for sets, name in ((golden, "golden"), (extra, "extra")):
        screened = []
        for one in sets:
            for prompt in one.prompts:
                screened.append(ScreenedPrompt(one.name, prompt, screen(prompt.text)))
                on_prompt()
        if screened:
            _add_sets(report, screened, name, reference if name == "extra" else None)
    for one in (*golden, *extra):
        if one.problems:
            shown = "; ".join(one.problems[:MAX_SHOWN_PROBLEMS])
            report.notes.append(f"{one.name}: {len(one.problems)} rows cannot be used and were left out ({shown})")
    return EvalResult(
        suite=Suite.SAFETY,
        created_at=now(),
        inputs=inputs,
        figures=report.figures,
        tables=tuple(report.tables),
        bars=tuple(report.bars),
        curves=tuple(report.curves),
        notes=tuple(report.notes),
    )


def _add_sets(report: _Report, screened: Sequence[ScreenedPrompt], name: str, reference: str | None) -> None:
    for set_name, rows in _group_by(screened, lambda row: row.set_name).items():
        for kind, chosen in _split(rows).items():
            if chosen:
                report.figures[f"{set_name}.{kind}"] = _count_stopped(chosen)
    unsafe, safe = _split(screened)["stopped"], _split(screened)["refused"]
    judged_by = [row for row in safe if reference in (None, row.set_name)]
    scores = [row.screening.score for row in judged_by]
    thresholds = {rate: threshold_at(scores, rate) for rate in FIXED_RATES if scores}
    for group in GROUPS:
        report.tables.extend(_make_tables(f"{group}, {name} sets", group, unsafe, safe, thresholds))
    clear = [row for row in unsafe if row.prompt.scope == "clear"]
    if clear and len(clear) < len(unsafe):
        report.figures[f"{name}.clear.stopped"] = _count_stopped(clear)
        _add_fixed_rates(report, f"{name}.clear", clear, thresholds)
        for group in ("category", "source"):
            report.tables.extend(
                _make_tables(f"{group}, clear prompts of the {name} sets", group, clear, (), thresholds)
            )
    _add_fixed_rates(report, name, unsafe, thresholds)
    if unsafe and judged_by:
        _add_curve(report, name, judged_by, unsafe)
    shares = _shares(unsafe, lambda row: row.prompt.category)
    report.bars.append(Bars(title=f"Stopped by category, {name} sets", bars=shares))
    report.tables.extend(_list_wrong(name, unsafe, safe))


def _add_fixed_rates(
    report: _Report, name: str, unsafe: Sequence[ScreenedPrompt], thresholds: Mapping[float, float]
) -> None:
    for rate, threshold in thresholds.items():
        if unsafe:
            report.figures[f"{name}.stopped_at_{rate:.0%}"] = _count_reaching(unsafe, threshold)


def _split(rows: Sequence[ScreenedPrompt]) -> dict[str, list[ScreenedPrompt]]:
    return {
        "stopped": [row for row in rows if not row.prompt.is_safe],
        "refused": [row for row in rows if row.prompt.is_safe],
    }


def _group_by(rows: Sequence[ScreenedPrompt], key: Callable[[ScreenedPrompt], str]) -> dict[str, list[ScreenedPrompt]]:
    groups: defaultdict[str, list[ScreenedPrompt]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))


def _shares(rows: Sequence[ScreenedPrompt], key: Callable[[ScreenedPrompt], str]) -> dict[str, Figure]:
    return {name: _count_stopped(members) for name, members in _group_by(rows, key).items()}


def _count_stopped(rows: Sequence[ScreenedPrompt]) -> Figure:
    return _count(rows, [row.screening.is_stopped for row in rows])


def _count_reaching(rows: Sequence[ScreenedPrompt], threshold: float) -> Figure:
    return _count(rows, [row.screening.score >= threshold for row in rows])


def _count(rows: Sequence[ScreenedPrompt], is_hit: Sequence[bool]) -> Figure:
    """The share of hits. Disguises of one prompt go together, so that the interval is of as many prompts as were
    written.
    """
    hits: defaultdict[str, int] = defaultdict(int)
    sizes: defaultdict[str, int] = defaultdict(int)
    for row, hit in zip(rows, is_hit, strict=True):
        hits[row.prompt.base] += hit
        sizes[row.prompt.base] += 1
    if not rows:
        return Figure.share(0, 0)
    interval = clustered_share_interval(list(hits.values()), list(sizes.values()))
    return Figure.of(sum(is_hit) / len(rows), interval, num=len(rows), unit="share")


def _make_tables(
    title: str,
    group: str,
    unsafe: Sequence[ScreenedPrompt],
    safe: Sequence[ScreenedPrompt],
    thresholds: Mapping[float, float],
) -> Iterator[Table]:
    """Make a table of unsafe and one of harmless prompts, where the property tells any of them apart."""

    def key(row: ScreenedPrompt) -> str:
        return str(getattr(row.prompt, group))

    at_rates = tuple(f"at {rate:.0%} refused" for rate in thresholds)
    for what, rows, head in (("Stopped", unsafe, at_rates), ("Refused by mistake", safe, ())):
        groups = _group_by(rows, key)
        if len(groups) < 2:
            continue
        lines: list[tuple[str | int | Figure, ...]] = []
        for label, members in groups.items():
            at = [_count_reaching(members, threshold) for threshold in thresholds.values()] if head else []
            lines.append((label, len(members), _count_stopped(members), *at))
        yield Table(title=f"{what} by {title}", head=(group, "prompts", "as shipped", *head), rows=tuple(lines))


def _add_curve(report: _Report, name: str, safe: Sequence[ScreenedPrompt], unsafe: Sequence[ScreenedPrompt]) -> None:
    curve = roc_curve([row.screening.score for row in safe], [row.screening.score for row in unsafe])
    pairs = list(zip(map(float, curve.false_positives), map(float, curve.true_positives), strict=True))
    points = (*pairs[:: len(pairs) // MAX_POINTS + 1], pairs[-1])
    title = f"ROC of the {name} sets, area {curve.area:.3f}"
    report.curves.append(
        Curve(title=title, x_label="harmless prompts refused", y_label="unsafe prompts stopped", points=points)
    )
    report.figures[f"{name}.roc_area"] = Figure(value=curve.area, num=len(safe) + len(unsafe))


def _list_wrong(name: str, unsafe: Sequence[ScreenedPrompt], safe: Sequence[ScreenedPrompt]) -> Iterator[Table]:
    missed = [row for row in unsafe if not row.screening.is_stopped]
    refused = [row for row in safe if row.screening.is_stopped]
    for title, rows in (("Not stopped", missed), ("Refused by mistake", refused)):
        if rows:
            lines = tuple((row.prompt.id, row.prompt.category, row.prompt.language) for row in rows[:MAX_LISTED])
            shown = f", the first {MAX_LISTED}" if len(rows) > MAX_LISTED else ""
            yield Table(
                title=f"{title}: {len(rows)}, {name} sets{shown}", head=("id", "category", "language"), rows=lines
            )
