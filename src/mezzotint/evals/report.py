"""The report of evaluations: one HTML page with its plots inside."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from mezzotint.evals.gates import GateOutcome, GateVerdict
from mezzotint.evals.plots import draw_bars, draw_curve
from mezzotint.evals.result import EvalResult, Figure, Table

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #66707f; --line: #d5dae1; --bar: #4c7fb8; --paper: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --soft: #9aa4b2; --line: #3a424e; --bar: #6b9bd1; --paper: #14181e }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line) }
h3 { font-size: 1rem } table { border-collapse: collapse; margin: .5rem 0 1.5rem; font-size: .9rem }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
td.number { font-variant-numeric: tabular-nums } small, .note { color: var(--soft) }
.passed { color: #1a7f45 } .failed { color: #c2332b; font-weight: 600 } .withheld { color: #96690a }
svg { max-width: 100%; height: auto } svg text { font-size: 12px; fill: var(--ink) } svg .axis { fill: var(--soft) }
.bar { fill: var(--bar) } .grid, .frame { stroke: var(--line); fill: none } .interval { stroke: var(--ink) }
.before { stroke: #c2332b; stroke-width: 2 } .curve { fill: none; stroke: var(--bar); stroke-width: 2 }
details { margin: .5rem 0 }
"""
MAX_OPEN_ROWS = 14


@dataclass(frozen=True, slots=True)
class JudgedResult:
    """A result with its gates' verdicts and the accepted run that it is shown beside."""

    result: EvalResult
    verdicts: Sequence[GateVerdict]
    accepted: EvalResult | None = None

    @property
    def has_failed(self) -> bool:
        return any(verdict.outcome is GateOutcome.FAILED for verdict in self.verdicts)


def write_report(judged: Sequence[JudgedResult], title: str) -> str:
    """The page of one evaluation or of several."""
    failed = [one.result.suite for one in judged if one.has_failed]
    outcome = f'<p class="failed">Failed: {", ".join(failed)}</p>' if failed else '<p class="passed">No gate failed</p>'
    body = "".join(_write_suite(one) for one in judged)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><h1>{escape(title)}</h1>{outcome}{body}</html>\n"
    )


def format_figure(figure: Figure) -> str:
    """The figure with its interval, as text."""
    if figure.value is None:
        return "-"
    value = _format(figure.value, figure.unit)
    if figure.low is None or figure.high is None:
        return value
    return f"{value} ({_format(figure.low, figure.unit)} to {_format(figure.high, figure.unit)})"


def _format(value: float, unit: str) -> str:
    if unit == "share":
        return f"{value:.1%}"
    return f"{value:.3g} {unit}".rstrip()


def _write_suite(one: JudgedResult) -> str:
    result = one.result
    inputs = "; ".join(f"{name} {value}" for name, value in result.inputs.items())
    parts = [
        f"<h2>{escape(result.suite.capitalize())}</h2>",
        f"<p><small>{result.created_at:%Y-%m-%d %H:%M} UTC. {escape(inputs)}</small></p>",
        _write_gates(one.verdicts),
        _write_figures(result, one.accepted),
    ]
    parts += [f'<p class="note">{escape(note)}</p>' for note in result.notes]
    before = {bars.title: bars for bars in one.accepted.bars} if one.accepted else {}
    for bars in result.bars:
        if bars.bars:
            legend = "; red: the accepted run" if bars.title in before else ""
            parts.append(f"<h3>{escape(bars.title)}</h3><p><small>lines: 95 % intervals{legend}</small></p>")
            parts.append(draw_bars(bars, before.get(bars.title)))
    parts += [f"<h3>{escape(curve.title)}</h3>{draw_curve(curve)}" for curve in result.curves]
    parts += [_write_table(table) for table in result.tables]
    return "".join(parts)


def _write_gates(verdicts: Sequence[GateVerdict]) -> str:
    rows = "".join(
        f"<tr><td>{escape(one.figure)}</td><td>{escape(one.gate.describe())}</td>"
        f'<td class="{one.outcome}">{one.outcome}</td><td>{escape(one.reason)}</td></tr>'
        for one in verdicts
    )
    head = "<tr><th>gate</th><th>bound</th><th>outcome</th><th>why</th></tr>"
    return f"<table>{head}{rows}</table>" if rows else '<p class="note">No gate is set for this evaluation.</p>'


def _write_figures(result: EvalResult, accepted: EvalResult | None) -> str:
    before = accepted.figures if accepted else {}
    when = f"accepted {accepted.created_at:%Y-%m-%d}" if accepted else "accepted run: none"
    rows = []
    for name, figure in result.figures.items():
        old = format_figure(before[name]) if name in before else "-"
        num = str(figure.num) if figure.num else ""
        rows.append(
            f'<tr><td>{escape(name)}</td><td class="number">{format_figure(figure)}</td><td>{num}</td>'
            f'<td class="number">{old}</td></tr>'
        )
    head = f"<tr><th>figure</th><th>this run (95 % interval)</th><th>of</th><th>{when}</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _write_table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.head)
    rows = ""
    for row in table.rows:
        cells = (
            f'<td class="number">{format_figure(cell)}</td>'
            if isinstance(cell, Figure)
            else f"<td>{escape(str(cell))}</td>"
            for cell in row
        )
        rows += f"<tr>{''.join(cells)}</tr>"
    is_open = " open" if len(table.rows) <= MAX_OPEN_ROWS else ""
    return (
        f"<details{is_open}><summary><b>{escape(table.title)}</b> <small>{len(table.rows)} rows</small></summary>"
        f"<table><tr>{head}</tr>{rows}</table></details>"
    )
