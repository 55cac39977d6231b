"""Audit the fair queue over random worlds, and time its decision.

    python benchmarks/fairness.py [--decisions 1000000] [--seed 1] [--out benchmarks/results/fairness.json]

Every decision is checked, for every pair of lanes and of tenants that wait, against the bounds of
docs/explanation/fair-queue.md. Exits with 1 when one is broken.
"""

import argparse
import json
import platform
import sys
from datetime import timedelta
from pathlib import Path
from statistics import median
from time import perf_counter

from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.choose import choose_job
from mezzotint.sim.backlog import Backlog, QueuedJob
from mezzotint.sim.fuzz import EPOCH, QueueFuzzer, Report
from mezzotint.sim.rng import Rng

DECISIONS_A_WORLD = 1000


def audit(num_decisions: int, seed: int) -> Report:
    total, world = Report(), 0
    while total.num_decisions < num_decisions:
        total.merge(
            QueueFuzzer(seed * 1_000_000 + world).run(min(DECISIONS_A_WORLD, num_decisions - total.num_decisions))
        )
        world += 1
        if world % 100 == 0:
            print(f"{total.num_decisions} decisions, {total.num_violations} violations", flush=True)
    return total


def time_of_a_decision(num_jobs: int, num_tenants: int) -> float:
    """Microseconds of `choose` alone, the median of decisions that follow each other."""
    rng, now, backlog = Rng(1), EPOCH, Backlog()
    for i in range(num_jobs):
        now = EPOCH + timedelta(seconds=i / 100)
        lane, tenant = rng.choice(tuple(Tier)), TenantId(f"t{rng.below(num_tenants)}")
        cost = rng.uniform(0.1, 3.0)
        backlog.add(QueuedJob(id=JobId(f"j{i}"), seq=i, lane=lane, tenant=tenant, cost=cost, created_at=now), now)
    now += timedelta(seconds=40)
    times = []
    for _ in range(50):
        queue = backlog.read(now, lambda ticket: rng.choice((0.0, 0.5, 1.0)))
        before = perf_counter()
        for _ in range(20):
            choose_job(queue, now)
        times.append((perf_counter() - before) / 20)
        backlog.take(now, lambda ticket: 0.0)
    return median(times) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    before = perf_counter()
    report = audit(asked.decisions, asked.seed)
    result = {
        "decisions": report.num_decisions,
        "by express": report.num_by_express,
        "idle though something waited": report.num_idle,
        "pairs checked": report.num_checks,
        "violations": report.num_violations,
        "largest drift over bound": {name: round(worst, 4) for name, worst in sorted(report.worst.items())},
        "seconds": round(perf_counter() - before, 1),
        "decision, us": {
            "100 jobs of 10 tenants": round(time_of_a_decision(100, 10), 1),
            "20000 jobs of 5000 tenants": round(time_of_a_decision(20_000, 5000), 1),
        },
        "hardware": f"{platform.machine()}, Python {platform.python_version()}",
    }
    print(json.dumps(result, indent=2))
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if report.num_violations or report.num_idle else 0)


if __name__ == "__main__":
    main()
