"""Rows that tenants leave behind are bounded in number, length and age."""

from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, insert, select

from mezzotint.domain.claims import OWN, Role
from mezzotint.domain.ids import OwnerId, TenantId, UserId, WebhookId, WorkerId
from mezzotint.domain.job import JobState
from mezzotint.domain.key import KeyRequest
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.domain.tenant import Tenant
from mezzotint.domain.tier import Tier
from mezzotint.domain.user import User
from mezzotint.domain.webhook import Webhook
from mezzotint.policy.retention import Retention
from mezzotint.store import Database, Jobs, Keys, Refusals, RetentionSweep, Tenants, Users, Webhooks, WorkerOffer
from mezzotint.store.accounts.passwords import Passwords
from mezzotint.store.schema import deliveries, keys, metadata, previews, refusals, sessions
from tests.making import NOW, make_ending, make_job

pytestmark = pytest.mark.anyio
ADA, BOB = TenantId("ada"), TenantId("bob")
BLOCKED = Refusal(code=RefusalCode.PROMPT_BLOCKED, message="m", hint="h")
DAY = timedelta(days=1)
FEW = Retention(max_refusals=3, keeps_refused_prompts=True, max_refusal_chars=10, max_unstarted=3)
ME = OwnerId("sub:ada")


async def num_rows(database: Database, table: str) -> int:
    async with database.read() as connection:
        number = await connection.execute(select(func.count()).select_from(metadata.tables[table]))
        return int(number.scalar_one())


async def test_a_tenants_newest_refused_prompts_are_kept_each_cut(database: Database) -> None:
    kept = Refusals(database, FEW)
    await kept.record(BOB, ME, BLOCKED, "bob's", NOW)
    for n in range(7):
        await kept.record(ADA, ME, BLOCKED, f"{n}" * 12_000, NOW)
    async with database.read() as connection:
        rows = (await connection.execute(select(refusals.c.tenant, refusals.c.raw_prompt).order_by("seq"))).all()
    cut = [f"{str(n) * 10}… (11990 more characters)" for n in (4, 5, 6)]
    assert [tuple(row) for row in rows] == [("bob", "bob's"), *(("ada", text) for text in cut)]


async def test_refused_prompts_go_after_their_time_and_when_the_bound_is_lowered(database: Database) -> None:
    many = Refusals(database, Retention())
    for n in range(6):
        await many.record(ADA, ME, BLOCKED, "x", NOW + n * DAY)
    assert await Refusals(database, Retention(refusals_for=3 * DAY)).sweep(NOW + 5 * DAY) == 2
    assert await num_rows(database, "refusals") == 4
    assert await Refusals(database, FEW).sweep(NOW + 5 * DAY) == 1
    assert await Refusals(database, Retention(max_refusals=0)).record(ADA, ME, BLOCKED, "x", NOW) is None
    assert await num_rows(database, "refusals") == 3


async def test_jobs_that_ended_before_they_began_are_bounded_and_others_are_kept(
    database: Database, jobs: Jobs
) -> None:
    rows = RetentionSweep(database, FEW)
    drawn, failed, dropped = make_job(), make_job(), make_job()
    for job, state in ((drawn, JobState.SUCCEEDED), (failed, JobState.FAILED)):
        await jobs.add(job)
        (taken,) = await jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
        assert taken.lease is not None
        await jobs.finish(job.id, taken.lease, make_ending(job, state=state))
    await jobs.add(dropped)
    await jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    await jobs.cancel(dropped.id, NOW)
    unstarted = [make_job() for _ in range(8)]
    for job in unstarted:
        await jobs.add(job)
        await jobs.cancel(job.id, NOW)
    others, waiting = make_job(tenant="bob"), make_job()
    await jobs.add(others)
    await jobs.cancel(others.id, NOW)
    await jobs.add(waiting)
    assert await rows.sweep(NOW) == 5
    assert await rows.sweep(NOW) == 0
    left = [drawn, failed, dropped, *unstarted[5:], others, waiting]
    assert [await jobs.get(job.id) is not None for job in left] == [True] * len(left)
    assert await num_rows(database, "jobs") == len(left)
    assert await rows.sweep(NOW + 31 * DAY) == 4
    assert await num_rows(database, "jobs") == 4
    assert await num_rows(database, "ledger") == 3


async def test_expired_sessions_and_keys_of_long_ago_go(database: Database) -> None:
    await Tenants(database).add(Tenant(id=ADA, tier=Tier.FREE, created_at=NOW))
    users = Users(database, Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)))
    user = User(id=UserId("u1"), tenant=ADA, name="ada", role=Role.USER, created_at=NOW)
    assert await users.add(user, "four words in a row")
    await users.open_session(user.id, NOW, NOW + DAY)
    await users.open_session(user.id, NOW, NOW + 90 * DAY)
    kept = Keys(database)
    for expires_at in (NOW + 90 * DAY, NOW + DAY, None, None):
        wanted = KeyRequest(tenant=ADA, name="k", scopes=OWN, expires_at=expires_at, user=None)
        made = await kept.add(wanted, NOW)
        assert made is not None
    await kept.revoke(made[0].id, ADA, NOW)
    rows = RetentionSweep(database, Retention())
    assert await rows.sweep(NOW + DAY) == 1
    assert (await num_rows(database, sessions.name), await num_rows(database, keys.name)) == (1, 4)
    assert await rows.sweep(NOW + 32 * DAY) == 2
    assert (await num_rows(database, sessions.name), await num_rows(database, keys.name)) == (1, 2)


async def test_deliveries_that_were_given_up_or_lost_their_job_go_too(database: Database, jobs: Jobs) -> None:
    webhooks = Webhooks(database)
    await webhooks.add(Webhook(id=WebhookId("w1"), tenant=ADA, url="https://hooks.test/", created_at=NOW), 10)
    for _ in range(4):
        job = make_job()
        await jobs.add(job)
        await jobs.cancel(job.id, NOW)
    (given_up,) = await webhooks.take_due([WebhookId("w1")], NOW)
    (delivered,) = await webhooks.take_due([WebhookId("w1")], NOW)
    await webhooks.settle(given_up, delivered_at=None, next_at=None, status=500, failure="no")
    await webhooks.settle(delivered, delivered_at=NOW, next_at=None, status=200, failure=None)
    await webhooks.sweep(NOW - DAY)
    assert await num_rows(database, deliveries.name) == 4, "not yet old"
    await webhooks.sweep(NOW + DAY)
    assert await num_rows(database, deliveries.name) == 2, "two are still to be tried"
    await RetentionSweep(database, FEW).sweep(NOW + 31 * DAY)
    await webhooks.sweep(NOW + DAY)
    assert await num_rows(database, deliveries.name) == 0


async def test_a_preview_that_was_written_after_its_job_ended_goes(database: Database, jobs: Jobs) -> None:
    under_way, cancelled = make_job(), make_job()
    for job in (under_way, cancelled):
        await jobs.add(job)
    await jobs.cancel(cancelled.id, NOW)
    async with database.write() as connection:
        await connection.execute(insert(previews), [{"job": one.id, "data": "x"} for one in (under_way, cancelled)])
    assert await RetentionSweep(database, Retention()).sweep(NOW) == 1
    async with database.read() as connection:
        assert (await connection.execute(select(previews.c.job))).scalars().all() == [under_way.id]
