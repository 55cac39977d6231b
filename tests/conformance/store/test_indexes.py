"""The queries of a claim find their rows by index: proved by what the database says it would do."""

import pytest
from sqlalchemy import insert, text

from mezzotint.domain.ids import TenantId, WorkerId
from mezzotint.domain.job import JobState
from mezzotint.domain.tier import Tier
from mezzotint.store import Database, Jobs, Seeker
from mezzotint.store.candidates import statement
from mezzotint.store.rows import row_of
from mezzotint.store.schema import flows
from mezzotint.store.schema import jobs as rows
from tests.making import NOW, make_job

pytestmark = pytest.mark.anyio
SEEKER = Seeker(worker=WorkerId("w"))


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
        await connection.execute(text("ANALYZE"))
    return database


async def plan(database: Database, query: object) -> str:
    async with database.read() as connection:
        sync = connection.sync_connection
        assert sync is not None
        compiled = query.compile(dialect=sync.dialect, compile_kwargs={"literal_binds": True})  # type: ignore[attr-defined]
        explain = "EXPLAIN" if database.is_postgres else "EXPLAIN QUERY PLAN"
        lines = await connection.exec_driver_sql(f"{explain} {compiled}")
        return "\n".join(str(line[-1]) for line in lines)


@pytest.mark.parametrize("of_models", [False, True])
async def test_what_a_claim_chooses_from_is_found_by_index(full: Database, of_models: bool) -> None:
    query = statement(is_postgres=full.is_postgres, lanes=tuple(Tier), of_models=of_models, with_size=True)
    values = {"me": "w", "at": NOW, "num_flows": 7, "num_jobs": 3, "num_oldest": 5}
    told = await plan(full, query.params(**values, **({"models": ["a", "b"]} if of_models else {})))
    assert told.count("flows_next") >= 3
    assert "jobs_waiting" in told
    assert "Seq Scan" not in told
    assert "SCAN flows" not in told
    assert "SCAN jobs" not in told


async def test_a_claim_takes_the_same_work_however_many_wait(full: Database) -> None:
    jobs = Jobs(full)
    taken = await jobs.claim(SEEKER, NOW, 30, most=5)
    assert len(taken) == 5
    assert len({job.tenant for job in taken}) == 5
