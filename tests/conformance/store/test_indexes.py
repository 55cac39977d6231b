"""The queries of a claim find their rows by index: proved by what the database says it would do."""

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, text

from mezzotint.domain.ids import OF_TENANT, TenantId, WorkerId
from mezzotint.domain.job import JobError, JobState
from mezzotint.domain.tier import Tier
from mezzotint.store import Database, Images, Jobs, Ledger, Regions, WorkerOffer, read_pressure
from mezzotint.store import jobs as jobs_module
from mezzotint.store.bulk_write import Statement, postgres_query, sqlite_query
from mezzotint.store.events import changes
from mezzotint.store.queue import claim, enqueue, finish, settle, transitions
from mezzotint.store.queue import flows as queue_flows
from mezzotint.store.queue.candidates import OfferShape, candidates_query
from mezzotint.store.rows import row_of
from mezzotint.store.schema import flows, images, ledger
from mezzotint.store.schema import jobs as rows
from tests.making import NOW, make_ending, make_image, make_job

pytestmark = pytest.mark.anyio
OFFER = WorkerOffer(worker=WorkerId("w"))
OF_REGION = WorkerOffer(worker=WorkerId("w"), region="eu", places=frozenset((lane, "eu") for lane in Tier))
EARLIER = NOW - timedelta(days=1)
ERROR = JobError(code="c", message="m", hint="h")
SCAN = re.compile(r"(Seq|Bitmap Heap) Scan on (jobs|flows|ledger|images)|SCAN (jobs|flows|ledger|images)$")
"""A table read from its first row to its last, or all that fits before the first of it is known."""
READS = ("SELECT", "WITH", "UPDATE")


@pytest.fixture
async def full(database: Database) -> Database:
    """Many ended jobs, and some that wait, of many tenants."""
    ended = [{**row_of(make_job(tenant=f"t{n}")), "state": JobState.SUCCEEDED, "waits_in": None} for n in range(3000)]
    waiting = [row_of(make_job(tenant=f"t{n}", tier=list(Tier)[n % 3])) for n in range(600)]
    async with database.write() as connection:
        await connection.execute(insert(rows), [*ended, *waiting])
        flow = {"is_at_burst": False, "start_tag": 0.0, "backlogged_at": NOW, "usage_at": NOW, "usage_s": 0.0}
        flow |= {"num_queued": 1, "num_running": 0}
        lanes = [(list(Tier)[n % 3], TenantId(f"t{n}"), n < 600) for n in range(6000)]
        await connection.execute(
            insert(flows),
            [
                {"lane": lane, "waits_in": lane if waits else None, "tenant": name, **flow}
                for lane, name, waits in lanes
            ],
        )
        line = {"month": "2026-01", "lane": "free", "kind": "charged", "gpu_s": 1.0, "steps": 30, "at": NOW}
        lines = [{"job": row["id"], "tenant": row["tenant"], **line} for row in ended]
        await connection.execute(insert(ledger), lines)
        await connection.execute(text("ANALYZE"))
    return database


@contextmanager
def told_to(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """The statements that the database is given meanwhile, with their parameters."""
    told: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        told.append((statement, parameters))

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    yield told
    event.remove(engine, "before_cursor_execute", note)


async def live(jobs: Jobs) -> None:
    """Claims, renews and ends a job."""
    (job,) = await jobs.claim(OFFER, NOW, 30)
    assert job.lease is not None
    assert await jobs.renew({job.id: job.lease}, {}, NOW) == {job.id}
    await jobs.finish(job.id, job.lease, make_ending(job))


HOT: dict[str, Callable[[Database], Awaitable[object]]] = {
    "is a Pro job waiting": lambda on: Jobs(on).is_waiting(Tier.PRO, frozenset({"m"})),
    "tries that come due": lambda on: Jobs(on).come_due(NOW),
    "leases that ended": lambda on: Jobs(on).running(expired_at=NOW),
    "jobs that waited too long": lambda on: Jobs(on).expire(Tier.FREE, EARLIER, ERROR, NOW),
    "waits by lane": lambda on: Jobs(on).wait_times(EARLIER, NOW),
    "pressure": lambda on: read_pressure(on, NOW),
    "place in line": lambda on: Jobs(on).position(make_job(id="job_none")),
    "open jobs of a tenant": lambda on: Jobs(on).open_of(TenantId("t7")),
    "what a tenant used": lambda on: Ledger(on).usage(TenantId("t7"), "2026-01"),
    "jobs that ended lately": lambda on: Jobs(on).num_ended_since(NOW),
    "dead letters": lambda on: Jobs(on).list_failed(10),
    "a claim of one region": lambda on: Jobs(on).claim(OF_REGION, NOW, 30),
    "what waits in a region": lambda on: Regions(on).read(frozenset({"eu"}), None, NOW),
    "a job's life": lambda on: live(Jobs(on)),
}


@pytest.mark.parametrize("what", HOT)
async def test_hot_queries_find_their_rows_by_index(full: Database, what: str) -> None:
    await assert_by_index(full, HOT[what])


async def test_plans_made_while_tables_are_small_do_not_read_all_of_them_later(database: Database) -> None:
    """A plan is kept, and the tables grow."""
    await Jobs(database).add(make_job())
    plans = await assert_by_index(database, lambda on: live(Jobs(on)))
    assert not [line for line in plans if "jobs_in_state" in line]  # all that run, to find one


async def assert_by_index(full: Database, work: Callable[[Database], Awaitable[object]]) -> list[str]:
    """Returns the plans' lines."""
    with told_to(full) as told:
        await work(full)
    asked = [(sql, parameters) for sql, parameters in told if sql.lstrip().startswith(READS)]
    assert asked
    explain = "EXPLAIN" if full.is_postgres else "EXPLAIN QUERY PLAN"
    plans: list[str] = []
    async with full.read() as connection:
        for sql, parameters in asked:
            lines = await connection.exec_driver_sql(f"{explain} {sql}", parameters)
            plan = [str(line[-1]) for line in lines]
            assert not [line for line in plan if SCAN.search(line)], (sql, plan)
            plans += plan
    return plans


async def test_open_jobs_are_found_among_many_that_ended(database: Database) -> None:
    mine = make_job(tenant="acme", owner="usr_bob")
    ended = {"state": JobState.SUCCEEDED, "waits_in": None}
    async with database.write() as connection:
        await connection.execute(insert(rows), [row_of(mine)])
        many = [{**row_of(make_job(tenant="acme", owner="usr_bob")), **ended} for _ in range(3000)]
        await connection.execute(insert(rows), many)
        await connection.execute(text("ANALYZE"))
    open_states = (JobState.QUEUED, JobState.RUNNING)

    async def look(on: Database) -> None:
        for owners in (frozenset({mine.owner, OF_TENANT}), None):
            assert [job.id for _, job in await Jobs(on).of_tenant(mine.tenant, 20, None, owners, open_states)] == [
                mine.id
            ]
        assert await Jobs(on).of_tenant(mine.tenant, 20, None, frozenset({OF_TENANT}), open_states) == []

    plans = "\n".join(await assert_by_index(database, look))
    assert plans.count("jobs_of_tenant_in_state") >= 6
    assert "jobs_of_owner" not in plans


async def test_my_things_are_found_by_index_among_many_of_colleagues(database: Database) -> None:
    """The rows of colleagues are newer than mine, so that a list that walks over them would read them all."""
    mine, hers = make_job(tenant="acme", owner="usr_bob"), make_job(tenant="acme", owner="usr_ada")
    picture = {name: getattr(make_image(mine), name) for name in ("png", "webp", "seed", "width", "height")}
    of = [(mine, 3), (hers, 20_000)]
    async with database.write() as connection:
        await connection.execute(insert(rows), [row_of(mine), row_of(hers)])
        await connection.execute(insert(rows), [row_of(make_job(tenant="acme", owner="usr_ada")) for _ in range(3000)])
        drawn = [
            {**picture, "job": job.id, "tenant": job.tenant, "owner": job.owner, "position": n, "created_at": NOW}
            for job, number in of
            for n in range(number)
        ]
        await connection.execute(insert(images), drawn)
        await connection.execute(text("ANALYZE"))
    owners = frozenset({mine.owner, OF_TENANT})

    async def look(on: Database) -> None:
        for words in ((), ("apple",), ("nowhere",)):
            found = await Images(on).of_tenant(mine.tenant, 24, None, words, owners)
            assert {entry.owner for entry in found} == ({mine.owner} if words != ("nowhere",) else set())
        assert [job.id for _, job in await Jobs(on).of_tenant(mine.tenant, 20, None, owners)] == [mine.id]

    plans = "\n".join(await assert_by_index(database, look))
    assert plans.count("images_of_owner") >= 6
    assert plans.count("jobs_of_owner") >= 2
    assert "_of_tenant" not in plans


async def plan(database: Database, query: object) -> str:
    async with database.read() as connection:
        sync = connection.sync_connection
        assert sync is not None
        compiled = query.compile(dialect=sync.dialect, compile_kwargs={"literal_binds": True})  # type: ignore[attr-defined]
        explain = "EXPLAIN" if database.is_postgres else "EXPLAIN QUERY PLAN"
        lines = await connection.exec_driver_sql(f"{explain} {compiled}")
        return "\n".join(str(line[-1]) for line in lines)


@pytest.mark.parametrize("lists", [(), ("models",), ("tenants",), ("models", "siblings", "tenants")])
async def test_what_a_claim_chooses_from_is_found_by_index(full: Database, lists: tuple[str, ...]) -> None:
    shape = OfferShape(lanes=tuple(Tier), lists=frozenset(lists), with_size=True)
    query = candidates_query(shape, is_postgres=full.is_postgres)
    values = {"at": NOW, "num_flows": 7, "num_jobs": 3, "num_oldest": 5, "latest_avoiding": NOW}
    values |= {f"old_{lane}": EARLIER for lane in Tier}
    known = {"models": ["a", "b"], "tenants": ["t1", "t2"], "siblings": ["w", "v"]}
    values |= {name: known[name] for name in lists} | ({} if "siblings" in lists else {"me": "w"})
    told = await plan(full, query.params(**values))
    assert told.count("flows_next") >= 3 or "tenants" in lists
    assert "jobs_waiting" in told
    assert "Seq Scan" not in told
    assert "SCAN flows" not in told
    assert "SCAN jobs" not in told


async def test_a_claim_takes_the_same_work_however_many_wait(full: Database) -> None:
    jobs = Jobs(full)
    taken = await jobs.claim(OFFER, NOW, 30, most=5)
    assert len(taken) == 5
    assert len({job.tenant for job in taken}) == 5


async def test_every_change_of_many_rows_stands_by_itself_and_finds_its_rows_by_index(full: Database) -> None:
    """As an administrator would paste it."""
    modules = (changes, claim, enqueue, finish, queue_flows, settle, transitions, jobs_module)
    statements = {one for module in modules for one in vars(module).values() if isinstance(one, Statement)}
    assert len(statements) == 17
    explain = "EXPLAIN" if full.is_postgres else "EXPLAIN QUERY PLAN"
    async with full.read() as connection:
        for one in statements:
            query = postgres_query((one,)) if full.is_postgres else sqlite_query(one)
            compiled = query.compile(dialect=connection.dialect)
            assert compiled.positiontup is not None
            value: Any = [None] if full.is_postgres else None
            lines = await connection.exec_driver_sql(f"{explain} {compiled}", (value,) * len(compiled.positiontup))
            assert not [line for line in lines if SCAN.search(str(line[-1]))], one.name
