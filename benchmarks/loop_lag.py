"""How long requests hold the event loop: 10,000 fuzzed ones to every route, and the largest bodies that are taken.

Each callback of the loop is timed in CPU time of its thread, so that other processes do not count; a heartbeat on the
wall clock tells beside it what clients would see, other processes and the interpreter's lock included.

python benchmarks/loop_lag.py --out benchmarks/results/loop_lag.json
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from mezzotint.domain.claims import Role
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.gateway import create_app
from tests.fuzzing.asgi import Fuzzed, send
from tests.fuzzing.corpus import Corpus
from tests.fuzzing.gateway import routes_of, served
from tests.fuzzing.loop_lag import CLIENT, LoopLag, measured
from tests.unit.gateway.conftest import SECRET

BEAT_S = 0.005
WITHIN_S = 30.0
PATIENCE_S = 1.0
"""Some requests are accepted and would wait for a picture that nobody draws."""
STREAMS = 8


async def beat(late_s: list[float]) -> None:
    """Note how late each beat of the heart is, on the wall clock."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(BEAT_S)
        late_s.append(time.monotonic() - before - BEAT_S)


async def run(num: int, address: str | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        async with served(Path(folder), address) as service:
            app = create_app(service)
            routes = routes_of(app)
            token = service.issuer.issue(
                TenantId("fuzz"), Tier.FREE, datetime.now(UTC), timedelta(hours=3), role=Role.ADMIN
            )
            corpus = Corpus(routes, token, SECRET)
            await send(app, Fuzzed(label="first", method="GET", target="/healthz"), WITHIN_S)  # builds the routes
            with measured() as lag:
                many = await one_by_one(app, corpus.requests(num), lag, PATIENCE_S)
                largest = await one_by_one(app, corpus.large(), lag, WITHIN_S)
                together = await at_once(app, corpus.requests(STREAMS * 50), lag)
    return {
        "routes": len(routes),
        "fuzzed": many,
        "largest_bodies": largest,
        f"fuzzed_{STREAMS}_at_once": together,
        "hardware": {"cpu": cpu(), "cores": os.cpu_count(), "python": platform.python_version()},
        "load_average_at_end": os.getloadavg()[0],
        "database": "postgresql" if address else "sqlite",
    }


async def one_by_one(app: Any, requests: Any, lag: LoopLag, within_s: float) -> dict[str, Any]:
    lag.held_s.clear()
    late_s: list[float] = []
    heart = asyncio.create_task(beat(late_s))
    statuses: Counter[int] = Counter()
    failed: list[str] = []
    for request in requests:
        await asyncio.sleep(0)  # what it took to make the request is not the server's
        lag.label = request.label
        statuses[(await judged(app, request, within_s, failed))] += 1
        await asyncio.sleep(0)
        lag.label = CLIENT
    heart.cancel()
    return summary(lag, late_s, statuses, failed)


async def at_once(app: Any, requests: Any, lag: LoopLag) -> dict[str, Any]:
    """Several streams of requests together: whose callback held the loop is not told apart."""
    lag.held_s.clear()
    lag.label = "together"
    late_s: list[float] = []
    heart = asyncio.create_task(beat(late_s))
    statuses: Counter[int] = Counter()
    failed: list[str] = []

    async def stream() -> None:
        for request in requests:
            await asyncio.sleep(0)
            statuses[(await judged(app, request, PATIENCE_S, failed))] += 1

    await asyncio.gather(*(stream() for _ in range(STREAMS)))
    heart.cancel()
    return summary(lag, late_s, statuses, failed)


async def judged(app: Any, request: Fuzzed, within_s: float, failed: list[str]) -> int:
    answered = await send(app, request, within_s)
    if answered.status == 500:
        failed.append(f"{request.label}: {answered.error!r}"[:300])
    return answered.status


def summary(lag: LoopLag, late_s: list[float], statuses: Counter[int], failed: list[str]) -> dict[str, Any]:
    lag.held_s.pop(CLIENT, None)
    held = sorted(lag.held_s.values())
    slowest = sorted(lag.held_s.items(), key=lambda one: -one[1])[:12]
    late = sorted(late_s)
    return {
        "requests": statuses.total(),
        "statuses": {str(status): num for status, num in sorted(statuses.items())},
        "answers_of_500": len(failed),
        "failed": failed[:20],
        "held_ms_per_request": {"p50": ms(at(held, 0.5)), "p99": ms(at(held, 0.99)), "worst": ms(at(held, 1))},
        "heartbeat_late_ms": {"p50": ms(at(late, 0.5)), "p99": ms(at(late, 0.99)), "worst": ms(at(late, 1))},
        "slowest": {name: ms(seconds) for name, seconds in slowest},
    }


def at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--database", help="postgresql://...; default: SQLite")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    result = asyncio.run(run(given.requests, given.database))
    text = json.dumps(result, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")
