"""The gateway under load: latency with a long history, the most submits a second, the memory of idle streams.

    python benchmarks/gateway.py [--out benchmarks/results/gateway.json] [--pictures 100000] [--seconds 20]

The gateway is a process of its own, the real application over a real database, without a worker: what is measured is
the gateway alone. In turn with it is measured `mezzotint serve` as it is on one machine, which draws the while with the
starter model in the same process (`sqlite_drawing`, `postgresql_drawing`); it rests while the other has its turn. The
load comes at fixed times whether or not answers came (open loop), and latency counts from the time at which a request
was due. SQLite as shipped (synchronous=FULL); PostgreSQL with its default durability, from a wheel.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from gateway_load import OPERATOR, RATE, SECRET, Endpoint, Times, Wire, flood, latency, merge, steady

sys.path.insert(0, str(Path(__file__).parents[1]))

USES_CLASSIFIER = os.environ.get("MEZZOTINT_TEXT_CLASSIFIER") != "false"
"""Of the text filter: with false the rules alone, which is what servers without the trained heads did."""
STREAMS = 2000
SLICES = 2
"""Turns of each of the two that are compared, so that what else the machine does falls on both."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gateway.json")
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--serve", nargs=2, metavar=("DATABASE", "PORT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve[0], int(arguments.serve[1]))
        return
    from tests.servers import running_postgres

    result: dict[str, Any] = {"hardware": hardware(), "requests_per_s": RATE, "pictures": arguments.pictures}
    with tempfile.TemporaryDirectory() as folder:
        pair = [f"sqlite:///{Path(folder) / name}.db" for name in ("alone", "drawing")]
        result["sqlite"], result["sqlite_drawing"] = asyncio.run(measure(*pair, arguments))
    with running_postgres(settings=()) as postgres:
        pair = [postgres.database(), postgres.database()]
        result["postgresql"], result["postgresql_drawing"] = asyncio.run(measure(*pair, arguments))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


async def measure(address: str, other: str, arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """A gateway alone on one database, and `mezzotint serve` with its worker on another, in turns."""
    jobs = [await fill(one, arguments.pictures) for one in (address, other)]
    with alone(address) as (process, port), drawing(other) as drawing_port:
        endpoints = [Endpoint(port=number, jobs=ids) for number, ids in zip((port, drawing_port), jobs, strict=True)]
        for endpoint in endpoints:
            await until_ready(endpoint)
            await steady(endpoint, 3)  # the first requests compile statements and open connections
        print(f"{address.partition(':')[0]}: filled, open", file=sys.stderr, flush=True)
        took: list[Times] = [defaultdict(list), defaultdict(list)]
        drawn, drew_s = 0, 0.0
        for _ in range(SLICES):
            await rest(endpoints[1])
            merge(took[0], await steady(endpoints[0], arguments.seconds / SLICES))
            await draw(endpoints[1])
            begun, begun_at = time.monotonic(), datetime.now(UTC)
            merge(took[1], await steady(endpoints[1], arguments.seconds / SLICES))
            drawn, drew_s = drawn + await num_drawn(other, begun_at), drew_s + time.monotonic() - begun
        submits = [0.0, await flood(endpoints[1], arguments.seconds / 2)]
        await rest(endpoints[1])
        submits[0] = await flood(endpoints[0], arguments.seconds / 2)
        found = [{"latency_ms": latency(times), "submits_per_s": one} for times, one in zip(took, submits, strict=True)]
        found[1]["pictures_per_s"] = round(drawn / drew_s, 2)
        print(json.dumps(found), file=sys.stderr, flush=True)
        found[0]["idle_streams"] = await idle(endpoints[0], process.pid)
        return found[0], found[1]


@contextmanager
def alone(address: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The gateway in a process of its own, without a worker."""
    port = free_port()
    with subprocess.Popen([sys.executable, __file__, "--serve", address, str(port)]) as process:
        try:
            yield process, port
        finally:
            process.terminate()


@contextmanager
def drawing(address: str) -> Iterator[int]:
    """`mezzotint serve` as one starts it on one machine: it draws with the starter model in the same process."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).with_name("mezzotint")), "serve", "--port", str(port), "--data", folder]
        command += ["--database", address, "--device", "cpu"]
        known = {"MEZZOTINT_TOKEN_SECRET": SECRET.decode(), "MEZZOTINT_RATE_SCALE": "10"}
        with subprocess.Popen(command, env={**os.environ, **known}, stdout=subprocess.DEVNULL) as process:
            try:
                yield port
            finally:
                process.terminate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def rest(endpoint: Endpoint) -> None:
    """Let the worker put its runs aside, and take no more."""
    await tell(endpoint, is_drained=True, until=lambda num_running: num_running == 0)


async def draw(endpoint: Endpoint) -> None:
    """Let the worker draw what was submitted so far; return once it does."""
    await tell(endpoint, is_drained=False, until=lambda num_running: num_running > 0)


async def tell(endpoint: Endpoint, *, is_drained: bool, until: Callable[[int], bool]) -> None:
    wire = await Wire.open(endpoint.port)
    body = json.dumps({"is_drained": is_drained}).encode()
    workers = (await wire.ask(endpoint.request("PATCH", "/v1/admin/workers", OPERATOR, body)))[1]
    give_up = time.monotonic() + 60
    while not until(sum(one["num_running"] for one in json.loads(workers)["workers"])):
        if time.monotonic() > give_up:
            raise SystemExit(f"the worker does not hear: {workers!r}")
        await asyncio.sleep(0.1)
        workers = (await wire.ask(endpoint.request("GET", "/v1/admin/workers", OPERATOR)))[1]
    wire.writer.close()


async def num_drawn(address: str, since: datetime) -> int:
    from mezzotint.store import Database, Jobs

    database = Database(address)
    number = await Jobs(database).num_ended_since(since)
    await database.close()
    return number


async def idle(endpoint: Endpoint, pid: int) -> dict[str, float]:
    """What open event streams of waiting jobs cost while nothing happens."""
    wire = await Wire.open(endpoint.port)
    waiting = [json.loads((await wire.ask(endpoint.submit("watcher")))[1])["id"] for _ in range(100)]
    server = psutil.Process(pid)
    before = server.memory_info().rss
    wires = []
    for number in range(STREAMS):
        wires.append(await Wire.open(endpoint.port))
        wires[-1].writer.write(endpoint.request("GET", f"/v1/jobs/{waiting[number % len(waiting)]}/events", "watcher"))
        await wires[-1].reader.readuntil(b"event: queued")
    after = server.memory_info().rss
    began, cpu = time.monotonic(), sum(server.cpu_times()[:2])
    await asyncio.sleep(10)
    busy = (sum(server.cpu_times()[:2]) - cpu) / (time.monotonic() - began)
    for one in wires:
        one.writer.close()
    return {
        "streams": STREAMS,
        "mib": round((after - before) / 2**20, 1),
        "kib_each": round((after - before) / 1024 / STREAMS, 1),
        "cpu_share_of_one_core": round(busy, 3),
    }


async def until_ready(endpoint: Endpoint) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with suppress(OSError, asyncio.IncompleteReadError):
            wire = await Wire.open(endpoint.port)
            _, body = await wire.ask(endpoint.request("GET", "/healthz", OPERATOR))
            wire.writer.close()
            if json.loads(body)["status"] == "ok":
                return
        await asyncio.sleep(0.1)
    raise SystemExit("the gateway did not open its port")


async def fill(address: str, num_pictures: int) -> list[str]:
    """Ada's history: one picture goes through the store as it does in life, the others are copies of its rows."""
    from sqlalchemy import insert, select

    from mezzotint.domain.ids import WorkerId
    from mezzotint.store import Database, Jobs
    from mezzotint.store.schema import images, jobs
    from tests.making import make_ending, make_image, make_job

    database = Database(address)
    await asyncio.to_thread(database.migrate)
    store = Jobs(database)
    job = make_job(tenant="ada")
    await store.add(job)
    taken = await claim_one(store, WorkerId("benchmark"))
    await store.finish(job.id, taken.lease, make_ending(job, images=(make_image(job),)))
    ids = [f"job_{number:024x}" for number in range(10**6, 10**6 + num_pictures - 1)]
    async with database.write() as connection:
        pattern = dict((await connection.execute(select(jobs).where(jobs.c.id == job.id))).mappings().one())
        picture = dict((await connection.execute(select(images).where(images.c.job == job.id))).mappings().one())
        del pattern["seq"], picture["seq"]
        for start in range(0, len(ids), 2000):
            some = ids[start : start + 2000]
            prompts = [f"picture {start + n} of a red apple" for n in range(len(some))]
            rows = [{**pattern, "id": id, "raw_prompt": prompt} for id, prompt in zip(some, prompts, strict=True)]
            await connection.execute(insert(jobs), rows)
            names = [f"{start + n:064x}" for n in range(len(some))]
            rows = [{**picture, "job": id, "png": name, "webp": name} for id, name in zip(some, names, strict=True)]
            await connection.execute(insert(images), rows)
    await database.close()
    return ids[:: max(1, len(ids) // 1000)]


async def claim_one(store: Any, worker: Any) -> Any:
    from mezzotint.store import WorkerOffer
    from tests.making import NOW

    (taken,) = await store.claim(WorkerOffer(worker=worker), NOW, 30)
    return taken


def serve(address: str, port: int) -> None:
    """The gateway as `mezzotint serve` wires it, but for the worker."""
    import uvicorn

    from mezzotint.actions.finish import BackingServices
    from mezzotint.actions.safety.overrides import OverridesFollower
    from mezzotint.actions.screen import TextScreen
    from mezzotint.gateway import Issuer, create_app
    from mezzotint.gateway.rate_limits import RateLimits
    from mezzotint.gateway.wiring import Filters, build_service, utc_now
    from mezzotint.main.safety.controls import build_controls
    from mezzotint.main.served_models import freeze_collector
    from mezzotint.safety.image.postfilter import PostFilter
    from mezzotint.safety.policy_file import load_policy
    from mezzotint.safety.text.load import load_text_filter
    from mezzotint.store import Database, EventBus, Objects, Store
    from tests.making import make_model

    database, issuer, bus = Database(address), Issuer(SECRET), EventBus()
    store = Store(database)
    with tempfile.TemporaryDirectory() as folder:
        backing = BackingServices(jobs=store.jobs, objects=Objects(Path(folder)), bus=bus)
        follower = OverridesFollower(overrides=store.overrides, now=utc_now)
        text_filter = load_text_filter(
            rules=None, policy=None, uses_classifier=USES_CLASSIFIER, overrides=follower.read_current
        )
        text_filter.wait_until_loaded()
        service = build_service(
            store,
            backing,
            issuer=issuer,
            models=[make_model()],
            filters=Filters(
                screen=TextScreen(judge=text_filter.judge),
                image_filter=PostFilter([], load_policy()),
                safety=build_controls(store, follower, text_filter),
            ),
        )
        service = replace(service, rate_limits=RateLimits(scale=10))
        freeze_collector()
        uvicorn.run(create_app(service), port=port, log_config=None, access_log=False, timeout_graceful_shutdown=1)


def hardware() -> dict[str, Any]:
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_average_at_start": os.getloadavg()[0],
    }


if __name__ == "__main__":
    main()
