"""Workers of a pool under a load that rises and falls, by simulation: 1 -> 4 -> 1, each change with its reason.

    python benchmarks/fleet_scaling.py [--out benchmarks/results/fleet_scaling.json]
        [--plot docs/images/fleet-scaling.svg]

Forty minutes of pro, paid and free jobs, which keep half a worker busy, then 2.8 workers for ten minutes, then a third
of one. The decisions are those of production; speeds are assumed (`sim/traffic.py`), a start takes a minute. Beside it
the same jobs on one worker and on four that stay.
"""

import argparse
import json
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mezzotint.domain.fleet.pool import Fleet, Pool
from mezzotint.domain.tier import Tier
from mezzotint.sim.backlog import Backlog
from mezzotint.sim.fleet import FleetHistory, FleetSimulation, PoolMachine
from mezzotint.sim.outcome import measure_waits
from mezzotint.sim.rng import Rng
from mezzotint.sim.simulation import JobArrival
from mezzotint.sim.traffic import FREE, PAID, PRO, TWO_GPUS, Crowd, arrive_steadily

MACHINE = PoolMachine(speeds=TWO_GPUS.speeds, start_s=60.0)
PHASES = ((0.0, 600.0, 0.5), (600.0, 1200.0, 2.8), (1200.0, 2400.0, 0.33))
"""From, until (seconds), load (workers)."""
PARTS: Sequence[tuple[Crowd, float]] = ((PRO, 0.3), (PAID, 0.3), (FREE, 0.4))
END_S = 2400.0


def draw_arrivals(seed: int) -> list[JobArrival]:
    rng, arrivals = Rng(seed), []
    for from_s, until_s, load in PHASES:
        for crowd, part in PARTS:
            rate = load * part * max(MACHINE.speeds) / (sum(crowd.cost) / 2)
            arrivals += list(arrive_steadily(replace(crowd, rate=rate), from_s, until_s, rng))
    return arrivals


def simulate(min_workers: int, max_workers: int) -> FleetHistory:
    fleet = Fleet(pools=(Pool(name="pool", min_workers=min_workers, max_workers=max_workers),))
    simulation = FleetSimulation(fleet=fleet, machines={"pool": MACHINE}, backlog=Backlog())
    return simulation.run(draw_arrivals(seed=1), until_s=END_S)


def list_changes(history: FleetHistory) -> list[dict[str, Any]]:
    return [
        {"at, s": round(moment.at_s), "from": one.before, "to": one.desired, "cause": one.reason.cause,
         "reason": one.reason.sentence}
        for moment in history.moments for one in moment.decisions if one.desired != one.before
    ]  # fmt: skip


def summarise(history: FleetHistory) -> dict[str, Any]:
    waits = {lane: measure_waits(history.records, lane) for lane in Tier}
    return {
        "jobs": len(history.records),
        "p95 wait, s": {lane.value: round(found.p95_s, 1) for lane, found in waits.items()},
        "worker hours": round(sum(history.worker_s.values()) / 3600, 2),
    }


def draw_plot(history: FleetHistory) -> str:
    """Wanted and ready workers, and the seconds of work that wait."""
    width, height, left, top = 720, 150, 60, 40
    most_s = max(moment.work_s for moment in history.moments) or 1.0

    def path(values: Sequence[tuple[float, float]], *, is_step: bool) -> str:
        points, last = [], None
        for at_s, part in values:
            x, y = left + width * at_s / END_S, top + height * (1.0 - part)
            if is_step and last is not None:
                points.append(f"{x:.1f} {last:.1f}")
            points.append(f"{x:.1f} {y:.1f}")
            last = y
        return "M" + " L".join(points)

    seen = [moment for moment in history.moments if moment.at_s <= END_S]
    wanted = path([(one.at_s, one.decisions[0].desired / 4.5) for one in seen], is_step=True)
    ready = path([(one.at_s, one.num_ready["pool"] / 4.5) for one in seen], is_step=True)
    waits = path([(one.at_s, one.work_s / most_s) for one in seen], is_step=False)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 70} {top + height + 70}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{left + width + 70}" height="{top + height + 70}" fill="#fff"/>',
    ]
    for number in range(5):
        y = top + height * (1.0 - number / 4.5)
        parts.append(f'<path d="M{left} {y:.1f}h{width}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{number}</text>')
    for minute in range(0, 41, 5):
        x = left + width * minute * 60 / END_S
        parts.append(f'<text x="{x:.1f}" y="{top + height + 18}" text-anchor="middle">{minute}</text>')
    parts += [
        f'<path d="{waits}" fill="none" stroke="#e0912f"/>',
        f'<path d="{ready}" fill="none" stroke="#5a9e6f" stroke-width="3"/>',
        f'<path d="{wanted}" fill="none" stroke="#3b6fb6" stroke-width="1.5" stroke-dasharray="5 3"/>',
        f'<text x="{left + width + 6}" y="{top + 4}">{most_s:.0f} s</text>',
    ]
    legend = (("#3b6fb6", "workers wanted"), ("#5a9e6f", "workers ready"), ("#e0912f", "work that waits (right)"))
    for i, (colour, name) in enumerate(legend):
        x, y = left + i * 150, top + height + 40
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="{y + 10}">{name}</text>')
    parts.append(f'<text x="{left + 560}" y="{top + height + 50}">minutes</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    scaled = simulate(1, 4)
    result = {
        "1 to 4 by load": summarise(scaled) | {"changes": list_changes(scaled)},
        "1 that stays": summarise(simulate(1, 1)),
        "4 that stay": summarise(simulate(4, 4)),
        "start, s": MACHINE.start_s,
        "hardware": f"simulated; {platform.machine()}, Python {platform.python_version()}",
    }
    text = json.dumps(result, indent=2) + "\n"
    print(text)
    if asked.out:
        asked.out.write_text(text, encoding="utf-8")
    if asked.plot:
        asked.plot.write_text(draw_plot(scaled), encoding="utf-8")


if __name__ == "__main__":
    main()
