"""Tenants, users, keys, sessions, workers and webhooks as every database must keep them."""

import asyncio
from collections.abc import Collection
from datetime import timedelta

import pytest
from argon2 import PasswordHasher

from mezzotint.domain.claims import OWN, Role, Scope
from mezzotint.domain.ids import TenantId, UserId, WebhookId, WorkerId
from mezzotint.domain.job import JobState
from mezzotint.domain.key import Key, KeyRequest
from mezzotint.domain.tenant import Tenant
from mezzotint.domain.tier import Tier
from mezzotint.domain.user import User
from mezzotint.domain.webhook import Webhook
from mezzotint.store import Changes, Database, Jobs, Keys, Tenants, Users, Webhooks, WorkerOffer, Workers
from mezzotint.store.accounts.passwords import Passwords
from mezzotint.store.queue.lanes import Lanes
from tests.making import NOW, make_ending, make_job

pytestmark = pytest.mark.anyio
ADA = TenantId("ada")
LATER = NOW + timedelta(hours=1)
WORDS = "four words in a row"


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    tenant = Tenant(id=ADA, tier=Tier.PAID, created_at=NOW)
    assert await Tenants(database).add(tenant)
    return tenant


async def new_key(keys: Keys, user: User | None = None, scopes: frozenset[Scope] = OWN) -> tuple[Key, str]:
    wanted = KeyRequest(tenant=ADA, name="laptop", scopes=scopes, user=user.id if user else None)
    made = await keys.add(wanted, NOW)
    assert made is not None
    return made


async def test_a_name_of_a_tenant_is_given_once_and_shut_out_with_all_that_is_its(
    database: Database, tenant: Tenant
) -> None:
    tenants, keys = Tenants(database), Keys(database)
    assert not await tenants.add(tenant)
    _, secret = await new_key(keys)
    assert await tenants.set_tier(ADA, Tier.PRO)
    claims = await keys.read(secret, NOW)
    assert claims is not None
    assert (claims.tenant, claims.tier) == (ADA, Tier.PRO)
    await tenants.disable(ADA, NOW)
    assert await keys.read(secret, NOW) is None


async def test_users_sign_in_by_any_case_of_their_name_and_sessions_end(database: Database, tenant: Tenant) -> None:
    users = Users(database, Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)))
    user = User(id=UserId("u1"), tenant=ADA, name="Ada@Example.org", role=Role.ADMIN, created_at=NOW)
    assert await users.add(user, WORDS)
    assert not await users.add(user, WORDS)
    assert await users.with_password("ada@example.ORG", "other words") is None
    found = await users.with_password("ada@example.ORG", WORDS)
    assert found is not None
    secret = await users.open_session(found.id, NOW, LATER)
    claims = await users.in_session(secret, NOW)
    assert claims is not None
    assert (claims.tenant, Scope.ADMIN in claims.scopes) == (ADA, True)
    assert await users.in_session(secret, LATER) is None
    await users.close_session(secret)
    assert await users.in_session(secret, NOW) is None


async def test_a_rotated_keys_old_secret_works_for_its_grace_and_a_revoked_one_no_more(
    database: Database, tenant: Tenant
) -> None:
    keys = Keys(database)
    key, old = await new_key(keys)
    rotated = await keys.rotate(key.id, ADA, NOW, timedelta(minutes=5))
    assert rotated is not None
    _, new = rotated
    soon = NOW + timedelta(minutes=4)
    assert [await keys.read(secret, soon) is not None for secret in (old, new)] == [True, True]
    assert [await keys.read(secret, LATER) is not None for secret in (old, new)] == [False, True]
    assert not await keys.revoke(key.id, TenantId("eve"), NOW)
    assert await keys.revoke(key.id, ADA, NOW)
    assert await keys.read(new, NOW) is None


async def test_a_users_key_may_do_what_they_may_at_present_and_ends_with_them(
    database: Database, tenant: Tenant
) -> None:
    users, keys = Users(database, Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))), Keys(database)
    user = User(id=UserId("u1"), tenant=ADA, name="ada", role=Role.ADMIN, created_at=NOW)
    await users.add(user, WORDS)
    _, hers = await new_key(keys, user, frozenset(Scope))
    _, tenants = await new_key(keys)

    async def scopes(secret: str) -> frozenset[Scope] | None:
        claims = await keys.read(secret, NOW)
        return None if claims is None else claims.scopes

    assert await scopes(hers) == frozenset(Scope)
    await users.set_role("ada", Role.USER)
    assert await scopes(hers) == OWN
    await users.disable("ada", NOW)
    assert await scopes(hers) is None
    await users.disable("ada", None)
    assert await scopes(hers) == OWN
    assert await users.remove("ada")
    assert await scopes(hers) is None
    assert await scopes(tenants) == OWN
    assert [key.user for key in await keys.of_tenant(ADA)] == [None]
    assert not await users.remove("ada")


async def test_present_rights_are_told_of_many_credentials_at_once(database: Database, tenant: Tenant) -> None:
    users, keys = Users(database, Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))), Keys(database)
    user = User(id=UserId("u1"), tenant=ADA, name="ada", role=Role.ADMIN, created_at=NOW)
    await users.add(user, WORDS)
    kept, rotated, revoked = [(await new_key(keys, user))[0] for _ in range(3)]
    new = await keys.rotate(rotated.id, ADA, NOW, timedelta(minutes=5))
    assert new is not None
    await keys.revoke(revoked.id, ADA, NOW)
    prefixes = [kept.prefix, rotated.prefix, new[0].prefix, revoked.prefix]
    assert set(await keys.present(prefixes, NOW)) == {kept.prefix, rotated.prefix, new[0].prefix}
    assert set(await keys.present(prefixes, LATER)) == {kept.prefix, new[0].prefix}
    claims = await users.in_session(await users.open_session(user.id, NOW, LATER), NOW)
    assert claims is not None
    assert (await users.present([claims.credential, "x"], NOW)) == {claims.credential: claims}
    await users.set_role("ada", Role.USER)
    assert await users.present([claims.credential], NOW) == {}


async def test_webhooks_hear_of_each_end_once_and_two_senders_share_the_work(database: Database) -> None:
    jobs, webhooks = Jobs(database), Webhooks(database)
    hook = Webhook(id=WebhookId("wh_1"), tenant=ADA, url="https://hooks.example/x", created_at=NOW)
    await webhooks.add(hook, 10)
    mine, others = make_job(tenant="ada"), make_job(tenant="eve")
    await jobs.add(mine, others)
    for job in await jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30, most=2):
        assert job.lease is not None
        await jobs.finish(job.id, job.lease, make_ending(job))
    (due,) = await webhooks.due(NOW)
    assert (due.id, due.since) == (hook.id, NOW)
    (delivery,) = await webhooks.take_due([due.id], NOW)
    assert (delivery.job, delivery.state, delivery.attempts) == (mine.id, JobState.SUCCEEDED, 1)
    assert await webhooks.take_due([due.id], NOW) == [], "held by the first sender"
    await webhooks.settle(delivery, delivered_at=NOW, next_at=None, status=204, failure=None)
    assert await webhooks.due(LATER) == []
    await webhooks.remove(hook.id)
    assert await webhooks.of_tenant(ADA) == []


async def test_changes_are_read_by_job_and_by_tenant_and_forgotten(database: Database) -> None:
    jobs, changes = Jobs(database), Changes(database)
    mine, others = make_job(tenant="ada"), make_job(tenant="eve")
    await jobs.add(mine, others)
    await jobs.cancel(mine.id, LATER)
    states = [change.state for change in await changes.of_job(mine.id, 0)]
    assert states == [JobState.QUEUED, JobState.CANCELLED]
    assert [change.number for change in await changes.of_job(mine.id, 1)] == [2]
    assert [job for job, _ in await changes.since(ADA, NOW, 10)] == [mine.id, mine.id]
    assert await changes.sweep(LATER) == 2
    assert [change.number for change in await changes.of_job(mine.id, 0)] == [2]


async def test_workers_are_told_to_drain_alone_and_together(database: Database) -> None:
    workers = Workers(database)
    one, two = WorkerId("one"), WorkerId("two")
    for worker in (one, two):
        await workers.record_heartbeat(worker, NOW)
    assert await workers.drain(one, NOW, is_drained=True)
    await workers.record_heartbeat(one, NOW)
    assert [hand.is_drained for hand in await workers.all(NOW)] == [True, False]
    await workers.drain_all(is_drained=True)
    assert [hand.is_drained for hand in await workers.all(NOW)] == [True, True]
    await workers.drain_all(is_drained=False)
    assert not await workers.is_drained(one)
    await workers.record_heartbeat(two, LATER)
    assert [hand.id for hand in await workers.all(LATER)] == [two]
    assert not await workers.drain(one, LATER, is_drained=True)


async def test_a_lanes_base_lasts_and_moves_its_weight(database: Database) -> None:
    lanes = Lanes(database)
    await lanes.set_base(Tier.FREE, 1.5)
    read = await lanes.read()
    assert (read.weights[Tier.FREE], read.bases[Tier.FREE], read.bases[Tier.PRO]) == (1.5, 1.5, 4.0)
    await lanes.reweigh(lambda weights, bases: {**weights, Tier.FREE: bases[Tier.FREE] * 1.1})
    read = await lanes.read()
    assert read.weights[Tier.FREE] == pytest.approx(1.65)
    assert read.bases[Tier.FREE] == 1.5
    await lanes.set_base(Tier.FREE, None)
    assert (await lanes.read()).weights[Tier.FREE] == 1.0


async def test_requests_of_many_tenants_at_once_share_reads_and_each_gets_its_own(
    database: Database, tenant: Tenant
) -> None:
    class Counting(Tenants):
        num_reads = 0

        async def find(self, among: Collection[TenantId]) -> dict[TenantId, Tenant]:
            self.num_reads += 1
            return await super().find(among)

    tenants = Counting(database)
    asked = [ADA, *(TenantId(f"stranger-{number}") for number in range(40)), ADA]
    found = await asyncio.gather(*map(tenants.present, asked))
    assert found == [tenant, *[None] * 40, tenant]
    assert tenants.num_reads <= 2
