"""Draws docs/images/fair-queue.svg and prints the table of docs/explanation/fair-queue.md, both by simulation.

python docs/fair_queue_plot.py
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from pathlib import Path

from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.choose import choose_job
from mezzotint.policy.fair_queue.state import Express, Share
from mezzotint.sim.backlog import Backlog, Chooser
from mezzotint.sim.baselines import choose_first_come, choose_strict_priority
from mezzotint.sim.outcome import measure_service, measure_waits
from mezzotint.sim.rng import Rng
from mezzotint.sim.simulation import JobRecord, simulate
from mezzotint.sim.traffic import TWO_GPUS, free_rush, saturation

PICTURE = Path(__file__).parent / "images" / "fair-queue.svg"
QUEUES: dict[str, Chooser] = {
    "fair share": choose_job,
    "one line": choose_first_come,
    "strict priority": choose_strict_priority,
}
SEEDS = range(4)
END_S, BIN_S = 660.0, 15.0
COLOURS = {Tier.PRO: "#3b6fb6", Tier.PAID: "#e0912f", Tier.FREE: "#5a9e6f", "promoted": "#a8d0b0"}
WIDTH, HEIGHT, LEFT, TOP, GAP_X, GAP_Y = 380, 150, 60, 50, 70, 60


@dataclass(frozen=True)
class Panel:
    """A frame of the picture; y in 0..1 counts from below."""

    left: float
    top: float

    def x(self, at_s: float) -> float:
        return self.left + WIDTH * at_s / END_S

    def y(self, part: float) -> float:
        return self.top + HEIGHT * (1.0 - part)

    def frame(self, title: str, ticks: Sequence[tuple[float, str]]) -> list[str]:
        marks = [
            f'<text x="{self.left - 6}" y="{self.y(part) + 4:.1f}" text-anchor="end">{name}</text>'
            f'<path d="M{self.left} {self.y(part):.1f}h{WIDTH}" stroke="#ddd"/>'
            for part, name in ticks
        ]
        marks += [
            f'<text x="{self.x(minute * 60):.1f}" y="{self.top + HEIGHT + 16}" text-anchor="middle">{minute}</text>'
            for minute in range(0, 12, 2)
        ]
        return [f'<text x="{self.left}" y="{self.top - 10}" font-weight="600">{title}</text>', *marks]


def shares(panel: Panel, stories: Sequence[JobRecord], title: str) -> list[str]:
    """Stacked: what part of the machine's service each share got."""
    bins = [(i * BIN_S, measure_service(stories, i * BIN_S, (i + 1) * BIN_S)) for i in range(int(END_S / BIN_S))]
    full = TWO_GPUS.capacity * BIN_S
    base = [0.0] * len(bins)
    areas = []
    for name, of in (
        (Tier.PRO, (Tier.PRO, Express.OVERDUE_PRO)),
        (Tier.PAID, (Tier.PAID, Express.OVERDUE_PAID)),
        (Tier.FREE, (Tier.FREE,)),
        ("promoted", (Express.PROMOTED,)),
    ):
        top = [low + part_of(done, of) / full for low, (_, done) in zip(base, bins, strict=True)]
        edge = [
            f"{panel.x(at + BIN_S / 2):.1f} {panel.y(min(1.0, high)):.1f}"
            for (at, _), high in zip(bins, top, strict=True)
        ]
        floor = [
            f"{panel.x(at + BIN_S / 2):.1f} {panel.y(min(1.0, low)):.1f}"
            for (at, _), low in zip(bins, base, strict=True)
        ]
        areas.append(f'<path d="M{" L".join([*edge, *reversed(floor)])}Z" fill="{COLOURS[name]}"/>')
        base = top
    return [*panel.frame(title, [(0.0, "0"), (0.5, "50 %"), (1.0, "100 %")]), *areas]


def part_of(done: dict[Share, float], of: Sequence[Share]) -> float:
    return sum(done.get(share, 0.0) for share in of)


def delays(panel: Panel, stories: Sequence[JobRecord], title: str) -> list[str]:
    """Every job's wait, at its arrival; logarithmic from a tenth of a second to a thousand."""
    free_first = sorted(stories, key=lambda story: story.lane is not Tier.FREE)
    dots = [
        f'<circle cx="{panel.x(s.arrived_s):.1f}" cy="{panel.y(height(s.wait_s)):.1f}" r="1.6" '
        f'fill="{COLOURS[s.lane]}"/>'
        for s in free_first
    ]
    ticks = [
        (height(s), name) for s, name in ((0.1, "0.1 s"), (1, "1 s"), (10, "10 s"), (100, "100 s"), (1000, "1000 s"))
    ]
    return [*panel.frame(title, ticks), *dots]


def height(wait_s: float) -> float:
    return (log10(min(max(wait_s, 0.1), 1000.0)) + 1.0) / 4.0


def legend(y: float) -> list[str]:
    names = [(Tier.PRO, "Pro"), (Tier.PAID, "Paid"), (Tier.FREE, "Free"), ("promoted", "Free, promoted")]
    parts = []
    for i, (key, name) in enumerate(names):
        x = LEFT + i * 110
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{COLOURS[key]}"/>')
        parts.append(f'<text x="{x + 18}" y="{y + 10}">{name}</text>')
    return parts


def draw() -> str:
    parts: list[str] = []
    for column, name in enumerate(("fair share", "one line")):
        stories = simulate(free_rush(Rng(0)), TWO_GPUS, Backlog(chooser=QUEUES[name]))
        left = LEFT + column * (WIDTH + GAP_X)
        parts += shares(Panel(left, TOP), stories, f"{name}: part of the machine")
        parts += delays(Panel(left, TOP + HEIGHT + GAP_Y), stories, f"{name}: wait of each job")
    bottom = TOP + 2 * HEIGHT + GAP_Y + 34
    parts += legend(bottom)
    parts.append(f'<text x="{LEFT + 520}" y="{bottom + 10}">minutes; 500 free jobs arrive after the first</text>')
    width, full = LEFT + 2 * WIDTH + GAP_X + 30, bottom + 30
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {full}" font-family="sans-serif" font-size="12">'
    )
    return "\n".join([head, f'<rect width="{width}" height="{full}" fill="#fff"/>', *parts, "</svg>"]) + "\n"


def table() -> str:
    columns = ("queue", "Pro p50", "Pro p95", "Paid p95", "Free p95", "Free in its rush", "Free, all saturated")
    lines = ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for name, chooser in QUEUES.items():
        rush = [s for seed in SEEDS for s in simulate(free_rush(Rng(seed)), TWO_GPUS, Backlog(chooser=chooser))]
        full = simulate(saturation(Rng(0)), TWO_GPUS, Backlog(chooser=chooser))
        pro, paid, free = (measure_waits(rush, lane, from_s=60.0) for lane in (Tier.PRO, Tier.PAID, Tier.FREE))
        parts = [free_part(measure_service(rush, 70.0, 200.0)), free_part(measure_service(full, 60.0, 600.0))]
        seconds = [pro.p50_s, pro.p95_s, paid.p95_s, free.p95_s]
        lines.append(f"| {name} | " + " | ".join([f"{s:.1f} s" for s in seconds] + [f"{p:.0%}" for p in parts]) + " |")
    return "\n".join(lines)


def free_part(done: dict[Share, float]) -> float:
    return part_of(done, (Tier.FREE, Express.PROMOTED)) / sum(done.values())


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    sys.stdout.write(table() + "\n")
