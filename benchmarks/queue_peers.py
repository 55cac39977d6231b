"""Enqueue and claim throughput, the share of the lowest lane, and what a deep queue costs: ours and two peers'.

One PostgreSQL, started here with its defaults, so every commit waits for the disk. Each queue gets a database of its
own and is driven through its Python interface by `WORKERS` tasks of one process: enqueue, claim and finish, each by 1
and by 10. The rounds are interleaved and a ratio is taken within its round. A peer's priority stands for the lane.

Enqueue and finish are on the disk when they return, for all three. So is a claim of the peers; ours does not wait for
the disk: a claim lost with the server is a job that waits again.
Ours finishes ten by ten calls at once, as a worker does; pgqueuer has a call for ten.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import procrastinate
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.queries import Queries
from procrastinate.jobs import Status

from benchmarks.serve import hardware, spread
from mezzotint.actions.claim import claim
from mezzotint.actions.finish import BackingServices, finish
from mezzotint.actions.maintain import Maintenance
from mezzotint.domain.ids import JobId, WorkerId
from mezzotint.domain.job import Ending, JobState, Timings
from mezzotint.domain.tier import Tier
from mezzotint.store import Database, EventBus, Jobs, Objects, WorkerOffer
from tests.making import make_job
from tests.servers import running_postgres

WORKERS = 4
BATCHES = (1, 10)
NUM_TENANTS = 10_000
LEASE_S = 4.0


class Queue(Protocol):
    """What is measured. Claimed jobs are the queue's own; `lane_of` tells a claimed job's lane."""

    async def open(self, url: str, folder: Path) -> None: ...
    async def add(self, lane: Tier, count: int) -> None: ...
    async def take(self, count: int) -> list[Any]: ...
    async def end(self, taken: list[Any]) -> None: ...
    def lane_of(self, job: Any) -> Tier: ...
    async def close(self) -> None: ...


class Mezzotint:
    async def open(self, url: str, folder: Path) -> None:
        self._database = Database(url)
        self._database.migrate()
        self.backing = BackingServices(jobs=Jobs(self._database), objects=Objects(folder), bus=EventBus())
        self._num_added = 0

    async def add(self, lane: Tier, count: int) -> None:
        tenants = [f"tenant{(self._num_added + i) % NUM_TENANTS}" for i in range(count)]
        self._num_added += count
        ids = [JobId(f"job_{uuid.uuid4().hex[:24]}") for _ in tenants]
        await self.backing.jobs.add(*[make_job(tier=lane, tenant=t, id=i) for t, i in zip(tenants, ids, strict=True)])

    async def take(self, count: int) -> list[Any]:
        return await claim(self.backing, WorkerOffer(worker=WorkerId("w")), datetime.now(UTC), 60.0, count)

    async def end(self, taken: list[Any]) -> None:
        async with asyncio.TaskGroup() as group:
            for job in taken:
                ending = Ending(state=JobState.SUCCEEDED, at=datetime.now(UTC), timings=Timings(queue_s=0.0), step=30)
                group.create_task(finish(self.backing, job, job.lease, ending))

    def lane_of(self, job: Any) -> Tier:
        lane: Tier = job.tier
        return lane

    async def close(self) -> None:
        await self._database.close()


class PgQueuer:
    async def open(self, url: str, folder: Path) -> None:
        self._pool = await asyncpg.create_pool(url, min_size=WORKERS, max_size=WORKERS)
        self._queries = Queries(AsyncpgPoolDriver(self._pool))
        await self._queries.install()
        self._me = uuid.uuid4()

    async def add(self, lane: Tier, count: int) -> None:
        await self._queries.enqueue(["draw"] * count, [b"a red apple"] * count, [int(lane is Tier.PRO)] * count)

    async def take(self, count: int) -> list[Any]:
        work = {"draw": EntrypointExecutionParameter(concurrency_limit=0)}
        return await self._queries.dequeue(count, work, self._me, None, timedelta(seconds=60))

    async def end(self, taken: list[Any]) -> None:
        await self._queries.log_jobs([(job, "successful", None) for job in taken])

    def lane_of(self, job: Any) -> Tier:
        return Tier.PRO if job.priority else Tier.FREE

    async def close(self) -> None:
        await self._pool.close()


class Procrastinate:
    async def open(self, url: str, folder: Path) -> None:
        self._app = procrastinate.App(
            connector=procrastinate.PsycopgConnector(conninfo=url, min_size=WORKERS, max_size=WORKERS)
        )
        await self._app.open_async()
        await self._app.schema_manager.apply_schema_async()
        self._me = await self._app.job_manager.register_worker()

    async def add(self, lane: Tier, count: int) -> None:
        task = self._app.configure_task("draw", priority=int(lane is Tier.PRO))
        await task.batch_defer_async(*[{"prompt": "a red apple"}] * count)

    async def take(self, count: int) -> list[Any]:
        found = [await self._app.job_manager.fetch_job(None, self._me) for _ in range(count)]
        return [job for job in found if job is not None]

    async def end(self, taken: list[Any]) -> None:
        for job in taken:
            await self._app.job_manager.finish_job(job, Status.SUCCEEDED, delete_job=True)

    def lane_of(self, job: Any) -> Tier:
        return Tier.PRO if job.priority else Tier.FREE

    async def close(self) -> None:
        await self._app.close_async()


QUEUES: dict[str, Callable[[], Queue]] = {"mezzotint": Mezzotint, "pgqueuer": PgQueuer, "procrastinate": Procrastinate}


async def timed(work: Callable[[], Awaitable[None]]) -> float:
    """Seconds for `WORKERS` tasks that do the same work."""
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(_once(work))
    return time.perf_counter() - begun


async def _once(work: Callable[[], Awaitable[None]]) -> None:
    await work()


async def throughput(queue: Queue, batch: int, num_jobs: int) -> dict[str, float]:
    """Jobs a second, put in and then taken out."""
    rounds = num_jobs // WORKERS // batch
    held: asyncio.Queue[list[Any]] = asyncio.Queue()

    async def fill() -> None:
        for _ in range(rounds):
            await queue.add(Tier.PRO, batch)

    async def take() -> None:
        for _ in range(rounds):
            held.put_nowait(await queue.take(batch))

    async def end() -> None:
        while not held.empty():
            await queue.end(held.get_nowait())

    total = rounds * WORKERS * batch
    enqueue_s, claim_s = await timed(fill), await timed(take)
    num_held = sum(map(len, held._queue))  # type: ignore[attr-defined]
    end_s = await timed(end)
    while taken := await queue.take(1):  # what a lost race left
        await queue.end(taken)
    return {
        f"enqueue_by_{batch}": total / enqueue_s,
        f"claim_by_{batch}": num_held / claim_s,
        f"finish_by_{batch}": num_held / end_s,
    }


async def wait_ms(queue: Queue, number: int = 100) -> dict[str, float]:
    """Milliseconds from an enqueue to the claim that a waiting worker makes of it, one job at a time."""
    spent = []
    for _ in range(number):
        begun = time.perf_counter()
        await queue.add(Tier.PRO, 1)
        taken = await queue.take(1)
        spent.append(1e3 * (time.perf_counter() - begun))
        await queue.end(taken)
    spent.sort()
    return {"p50": statistics.median(spent), "p99": spent[int(0.99 * number)]}


HOLDER = """
import asyncio, sys
from datetime import UTC, datetime
from mezzotint.domain.ids import WorkerId
from mezzotint.store import Database, Jobs, WorkerOffer

async def hold():
    jobs = Jobs(Database(sys.argv[1]))
    (job,) = await jobs.claim(WorkerOffer(worker=WorkerId("killed")), datetime.now(UTC), float(sys.argv[2]))
    print(job.id, flush=True)
    while True:
        await asyncio.sleep(float(sys.argv[2]) / 3)
        await jobs.renew({job.id: job.lease}, {}, datetime.now(UTC) + timedelta(seconds=float(sys.argv[2])))

from datetime import timedelta
asyncio.run(hold())
"""


async def after_kill_s(url: str, folder: Path, number: int = 3) -> list[float]:
    """Seconds from `kill -9` of a process that holds a job to that job's next lease, with leases of `LEASE_S`."""
    queue, spent = Mezzotint(), []
    await queue.open(url, folder)
    for _ in range(number):
        await queue.add(Tier.PRO, 1)
        holder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLDER, url, str(LEASE_S), stdout=asyncio.subprocess.PIPE
        )
        assert holder.stdout is not None
        held = (await holder.stdout.readline()).decode().strip()
        holder.kill()
        begun = time.perf_counter()
        await holder.wait()
        offer = WorkerOffer(worker=WorkerId("w"), suspects=True)  # a job whose worker ended runs alone
        while not (taken := await claim(queue.backing, offer, datetime.now(UTC), 60.0, 1)):
            await Maintenance(backing=queue.backing, max_attempts=5, now=lambda: datetime.now(UTC)).run()
            await asyncio.sleep(0.05)
        assert [job.id for job in taken] == [held]
        spent.append(round(time.perf_counter() - begun, 2))
        await queue.end(taken)
    await queue.close()
    return spent


async def free_share(queue: Queue, count: int) -> float:
    """Of the first half of what is claimed while both lanes have `count` jobs waiting, the part that is Free's."""
    await queue.add(Tier.FREE, count)
    await queue.add(Tier.PRO, count)
    lanes = []
    while taken := await queue.take(1):
        lanes += [queue.lane_of(job) for job in taken]
        await queue.end(taken)
    return lanes[:count].count(Tier.FREE) / count


async def claim_ms(queue: Queue, samples: int = 30) -> float:
    spent = []
    for _ in range(samples):
        begun = time.perf_counter()
        taken = await queue.take(1)
        spent.append(1e3 * (time.perf_counter() - begun))
        assert len(taken) == 1
        await queue.end(taken)
    return statistics.median(spent)


async def depth(queue: Queue, deep: int) -> dict[str, float]:
    """Milliseconds of one claim with 100 jobs and with `deep` jobs of `NUM_TENANTS` tenants waiting."""
    await queue.add(Tier.FREE, 100)
    shallow_ms = await claim_ms(queue)
    for _ in range(deep // 1000):
        await queue.add(Tier.FREE, 1000)
    deep_ms = await claim_ms(queue)
    return {"claim_ms_at_100": shallow_ms, f"claim_ms_at_{deep}": deep_ms, "times": deep_ms / shallow_ms}


async def measure(args: argparse.Namespace) -> dict[str, Any]:
    with running_postgres(settings=()) as server, tempfile.TemporaryDirectory() as folder:
        queues = {name: make() for name, make in QUEUES.items()}
        for queue in queues.values():
            await queue.open(server.database(), Path(folder))
            await throughput(queue, 10, 40)
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in queues}
        for _ in range(args.rounds):
            for name, queue in queues.items():
                found: dict[str, float] = {}
                for batch in BATCHES:
                    found |= await throughput(queue, batch, args.jobs)
                rows[name].append(found)
        waits = {name: await wait_ms(queue) for name, queue in queues.items()}
        shares = {name: await free_share(queue, 100) for name, queue in queues.items()}
        depths = {name: await depth(queue, args.deep) for name, queue in queues.items()}
        kills = await after_kill_s(server.database(), Path(folder))
        for queue in queues.values():
            await queue.close()
    kinds = list(rows["mezzotint"][0])

    def over(kind: str, peer: str) -> dict[str, float]:
        return spread([mine[kind] / its[kind] for mine, its in zip(rows["mezzotint"], rows[peer], strict=True)])

    peers = [name for name in queues if name != "mezzotint"]
    return {
        "jobs_per_s": {name: {kind: spread([row[kind] for row in rows[name]]) for kind in kinds} for name in queues},
        "mezzotint_over": {peer: {kind: over(kind, peer) for kind in kinds} for peer in peers},
        "enqueue_to_claim_ms": waits,
        "from_kill_to_running_elsewhere_s": {"lease_s": LEASE_S, "seconds": kills},
        "free_share_while_pro_waits": shares,
        "deep_queue": depths,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200, help="of each kind of throughput, a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--deep", type=int, default=100_000)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    versions = {"asyncpg": asyncpg.__version__, "procrastinate": procrastinate.__version__}
    result = {"hardware": hardware(), "workers": WORKERS, **versions, **asyncio.run(measure(args))}
    text = json.dumps(result, indent=2)
    print(text)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
