"""Plots as inline SVG: a report is one file that needs neither a script nor the network."""

from html import escape

from mezzotint.evals.result import Bars, Curve, Figure

BAR_PX, LABEL_PX, PLOT_PX, VALUE_PX = 20, 230, 380, 170
SIDE_PX, MARGIN_PX = 260, 46
MAX_BARS = 40


def draw_bars(plot: Bars, accepted: Bars | None = None) -> str:
    """Horizontal bars from 0 to 1 with their intervals; a tick stands where the accepted run was."""
    bars = list(plot.bars.items())[:MAX_BARS]
    width, height = LABEL_PX + PLOT_PX + VALUE_PX, len(bars) * BAR_PX + 24
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = LABEL_PX + share * PLOT_PX
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{height - 20}"/>')
        parts.append(f'<text class="axis" x="{x:.1f}" y="{height - 6}" text-anchor="middle">{share:.0%}</text>')
    before = accepted.bars if accepted else {}
    for number, (label, figure) in enumerate(bars):
        parts.append(_draw_bar(label, figure, before.get(label), number * BAR_PX))
    return _svg(width, height, plot.title, parts)


def _draw_bar(label: str, figure: Figure, before: Figure | None, top: int) -> str:
    middle = top + BAR_PX / 2
    parts = [f'<text x="{LABEL_PX - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(label[:34])}</text>']
    if figure.value is not None:
        length = figure.value * PLOT_PX
        parts.append(f'<rect class="bar" x="{LABEL_PX}" y="{top + 3}" width="{length:.1f}" height="{BAR_PX - 6}"/>')
    if figure.low is not None and figure.high is not None:
        low, high = (LABEL_PX + end * PLOT_PX for end in (figure.low, figure.high))
        parts.append(f'<line class="interval" x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}"/>')
    if before is not None and before.value is not None:
        x = LABEL_PX + before.value * PLOT_PX
        parts.append(f'<line class="before" x1="{x:.1f}" y1="{top + 1}" x2="{x:.1f}" y2="{top + BAR_PX - 1}"/>')
    share = "-" if figure.value is None else f"{figure.value:.1%}"
    parts.append(f'<text x="{LABEL_PX + PLOT_PX + 10}" y="{middle + 4:.1f}">{share} of {figure.num}</text>')
    return "".join(parts)


def draw_curve(plot: Curve) -> str:
    """A line in a square; both axes start at 0 and end at 1, or at the largest value."""
    ends = (1.0 if plot.is_unit else max(point[axis] for point in plot.points) or 1.0 for axis in (0, 1))
    x_end, y_end = ends
    path = " ".join(
        f"{MARGIN_PX + x / x_end * SIDE_PX:.1f},{10 + SIDE_PX - y / y_end * SIDE_PX:.1f}" for x, y in plot.points
    )
    bottom, turned = 10 + SIDE_PX, f"translate(14 {10 + SIDE_PX / 2}) rotate(-90)"
    parts = [
        f'<rect class="frame" x="{MARGIN_PX}" y="10" width="{SIDE_PX}" height="{SIDE_PX}"/>',
        f'<polyline class="curve" points="{path}"/>',
        f'<text class="axis" x="{MARGIN_PX}" y="{bottom + 14}">0</text>',
        f'<text class="axis" x="{MARGIN_PX + SIDE_PX}" y="{bottom + 14}" text-anchor="end">{x_end:g}</text>',
        f'<text class="axis" x="{MARGIN_PX - 6}" y="20" text-anchor="end">{y_end:g}</text>',
        f'<text x="{MARGIN_PX + SIDE_PX / 2}" y="{bottom + 28}" text-anchor="middle">{escape(plot.x_label)}</text>',
        f'<text transform="{turned}" text-anchor="middle">{escape(plot.y_label)}</text>',
    ]
    return _svg(MARGIN_PX + SIDE_PX + 20, bottom + 36, plot.title, parts)


def _svg(width: float, height: float, title: str, parts: list[str]) -> str:
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}"'
    return f'<svg {size} role="img" aria-label="{escape(title, quote=True)}">{"".join(parts)}</svg>'
