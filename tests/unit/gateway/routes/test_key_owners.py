"""A key belongs to the user who made it: it does no more than they may at present, and nobody becomes them by it.

And what a token says of its tier holds only as far as its tenant has that tier.
"""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from mezzotint.domain.claims import Role, Scope
from mezzotint.domain.ids import TenantId
from mezzotint.domain.key import KeyRequest
from mezzotint.domain.tenant import Tenant
from mezzotint.domain.tier import Tier
from mezzotint.domain.user import User
from mezzotint.gateway import Service
from mezzotint.gateway.routes.sign_in import new_user_id
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio
PASSWORD = "four words in a row"
ACME = TenantId("acme")


@pytest.fixture(autouse=True)
async def acme(service: Service) -> None:
    """A tenant with two users and an admin."""
    now = datetime.now(UTC)
    await service.accounts.tenants.add(Tenant(id=ACME, tier=Tier.PAID, created_at=now))
    for name, role in (("ada", Role.USER), ("bob", Role.USER), ("root", Role.ADMIN)):
        user = User(id=new_user_id(), tenant=ACME, name=name, role=role, created_at=now)
        assert await service.accounts.users.add(user, PASSWORD)


async def signed_in(connect: Connect, name: str) -> httpx.AsyncClient:
    page = connect(None)
    assert (await page.post("/v1/sign-in", json={"name": name, "password": PASSWORD})).status_code == 200
    page.headers["Sec-Fetch-Site"] = "same-origin"
    return page


async def made(page: httpx.AsyncClient, *scopes: str) -> tuple[str, str]:
    """The id and the secret of a new key."""
    answer = await page.post("/v1/keys", json={"name": "laptop", "scopes": scopes or ("read", "write")})
    assert answer.status_code == 201, answer.text
    return answer.json()["key"]["id"], answer.json()["secret"]


async def scopes_of(connect: Connect, secret: str) -> list[str] | int:
    async with connect(None) as program:
        me = await program.get("/v1/me", headers={"Authorization": f"Bearer {secret}"})
        return me.json()["scopes"] if me.status_code == 200 else me.status_code  # type: ignore[no-any-return]


async def test_a_key_loses_what_its_user_loses_at_once(connect: Connect, service: Service) -> None:
    _, secret = await made(await signed_in(connect, "root"), "read", "write", "admin")
    assert await scopes_of(connect, secret) == ["admin", "read", "write"]
    await service.accounts.users.set_role("root", Role.USER)
    assert await scopes_of(connect, secret) == ["read", "write"]
    async with connect(None) as program:
        answer = await program.get("/v1/admin/tenants", headers={"Authorization": f"Bearer {secret}"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "scope_missing")
    await service.accounts.users.disable("root", datetime.now(UTC))
    assert await scopes_of(connect, secret) == 401


async def test_a_key_ends_with_its_user_and_the_tenants_keys_stay(connect: Connect, service: Service) -> None:
    _, hers = await made(await signed_in(connect, "ada"))
    _, tenants = await made(connect(ACME))
    await service.accounts.users.remove("ada")
    assert await scopes_of(connect, hers) == 401
    assert await scopes_of(connect, tenants) == ["read", "write"]


async def test_another_user_neither_sees_rotates_nor_ends_my_key(connect: Connect) -> None:
    ada, bob = await signed_in(connect, "ada"), await signed_in(connect, "bob")
    id, secret = await made(ada)
    assert [key["id"] for key in (await ada.get("/v1/keys")).json()["keys"]] == [id]
    assert (await bob.get("/v1/keys")).json()["keys"] == []
    assert (await bob.post(f"/v1/keys/{id}/rotate")).status_code == 404
    assert (await bob.delete(f"/v1/keys/{id}")).status_code == 404
    assert await scopes_of(connect, secret) == ["read", "write"]
    assert (await ada.post(f"/v1/keys/{id}/rotate")).status_code == 200
    assert (await ada.delete(f"/v1/keys/{id}")).status_code == 204


async def test_who_speaks_for_the_tenant_ends_a_users_key_but_does_not_become_them(connect: Connect) -> None:
    for manager in (await signed_in(connect, "root"), connect(ACME)):
        id, secret = await made(await signed_in(connect, "ada"))
        assert id in [key["id"] for key in (await manager.get("/v1/keys")).json()["keys"]]
        assert (await manager.post(f"/v1/keys/{id}/rotate")).status_code == 404
        assert (await manager.delete(f"/v1/keys/{id}")).status_code == 204
        assert await scopes_of(connect, secret) == 401


async def test_nobody_becomes_an_admin_by_rotating_the_tenants_key(connect: Connect, service: Service) -> None:
    wanted = KeyRequest(tenant=ACME, name="operator's", scopes=frozenset(Scope))
    key = await service.accounts.keys.add(wanted, datetime.now(UTC))
    assert key is not None
    for user in (await signed_in(connect, "ada"), connect(ACME)):
        answer = await user.post(f"/v1/keys/{key[0].id}/rotate")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "scope_missing")
    assert (await (await signed_in(connect, "root")).post(f"/v1/keys/{key[0].id}/rotate")).status_code == 200


async def test_an_admins_token_makes_no_admin_key_which_would_outlive_the_role(
    connect: Connect, service: Service
) -> None:
    token = service.issuer.issue(ACME, Tier.PAID, datetime.now(UTC), timedelta(minutes=5), role=Role.ADMIN)
    async with connect(None) as program:
        program.headers["Authorization"] = f"Bearer {token}"
        answer = await program.post("/v1/keys", json={"name": "root", "scopes": ["read", "admin"]})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "scope_missing")
        assert (await program.post("/v1/keys", json={"name": "plain"})).status_code == 201


@pytest.mark.parametrize(("written", "present", "holds"), [("pro", "free", "free"), ("free", "pro", "free")])
async def test_a_token_ranks_no_higher_than_its_tenant(
    connect: Connect, service: Service, written: str, present: str, holds: str
) -> None:
    await service.accounts.tenants.set_tier(ACME, Tier(present))
    async with connect(ACME, Tier(written)) as program:
        assert (await program.get("/v1/me")).json()["tier"] == holds
        answer = await program.post("/v1/jobs", json={"prompt": "a cat --steps 31"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "steps_over_budget")


async def test_a_token_of_a_tenant_without_a_row_keeps_its_tier(connect: Connect) -> None:
    async with connect("newcomer", Tier.PRO) as program:
        assert (await program.get("/v1/me")).json()["tier"] == "pro"
