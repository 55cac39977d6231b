"""What operators see and change, and that nobody else does."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from mezzotint.domain.claims import Role
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from tests.making import make_job
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio


@pytest.fixture
def admin(service: Service, connect: Connect) -> httpx.AsyncClient:
    client = connect(None)
    token = service.issuer.issue(TenantId("ops"), Tier.PRO, datetime.now(UTC), timedelta(minutes=5), role=Role.ADMIN)
    client.headers["Authorization"] = f"Bearer {token}"
    return client


async def test_tenants_are_made_listed_moved_and_shut_out(admin: httpx.AsyncClient, connect: Connect) -> None:
    async with admin, connect("acme") as acme:
        made = await admin.post("/v1/admin/tenants", json={"id": "acme", "tier": "paid"})
        assert (made.status_code, made.json()["tier"]) == (201, "paid")
        again = await admin.post("/v1/admin/tenants", json={"id": "acme"})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "name_taken")
        changed = await admin.patch("/v1/admin/tenants/acme", json={"tier": "pro", "is_disabled": True})
        assert (changed.json()["tier"], changed.json()["disabled_at"] is not None) == ("pro", True)
        assert (await acme.get("/v1/me")).json()["error"]["code"] == "tenant_disabled"
        await admin.patch("/v1/admin/tenants/acme", json={"is_disabled": False})
        assert (await acme.get("/v1/me")).status_code == 200
        for name in "bcd":
            await admin.post("/v1/admin/tenants", json={"id": name})
        seen, after = [], ""
        while after is not None:
            page = (await admin.get(f"/v1/admin/tenants?limit=2&after={after}")).json()
            seen += [tenant["id"] for tenant in page["tenants"]]
            after = page["next_after"]
        assert seen == ["acme", "b", "c", "d"]


@pytest.mark.parametrize("name", ["a b", "-a", "", "a/b", "x" * 65])
async def test_names_that_no_tenant_can_have_are_refused(admin: httpx.AsyncClient, name: str) -> None:
    async with admin:
        assert (await admin.post("/v1/admin/tenants", json={"id": name})).status_code == 422
        assert (await admin.patch(f"/v1/admin/tenants/{name}", json={})).status_code in {404, 405, 422}


async def test_everybodys_jobs_are_listed_by_state_and_tenant_and_can_be_cancelled(
    admin: httpx.AsyncClient, service: Service
) -> None:
    adas, eves = make_job(tenant="ada"), make_job(tenant="eve")
    await service.desk.jobs.add(adas, eves)
    async with admin:
        cancelled = (await admin.delete(f"/v1/admin/jobs/{eves.id}")).json()
        assert (cancelled["state"], cancelled["tenant"]) == ("cancelled", "eve")

        async def listed(query: str) -> list[str]:
            return [job["id"] for job in (await admin.get(f"/v1/admin/jobs?{query}")).json()["jobs"]]

        assert await listed("") == [eves.id, adas.id]
        assert await listed("state=queued") == [adas.id]
        assert await listed("tenant=eve") == [eves.id]
        assert await listed("tenant=eve&state=queued") == []
        assert (await admin.get(f"/v1/admin/jobs/{adas.id}")).json()["tenant"] == "ada"
        assert (await admin.get("/v1/admin/jobs/job_0")).status_code == 404
        assert (await admin.get("/v1/admin/jobs?state=lost")).status_code == 422


@pytest.mark.parametrize("tenant", [None, "ada"])
async def test_others_are_kept_out(connect: Connect, tenant: str | None) -> None:
    async with connect(tenant, Tier.PRO) as other:
        for method, path in (
            ("GET", "/v1/admin/tenants"),
            ("POST", "/v1/admin/tenants"),
            ("PATCH", "/v1/admin/tenants/ada"),
            ("GET", "/v1/admin/jobs"),
            ("GET", "/v1/admin/jobs/job_0"),
            ("DELETE", "/v1/admin/jobs/job_0"),
        ):
            answer = await other.request(method, path, json={"id": "x"} if method in {"POST", "PATCH"} else None)
            assert answer.status_code == (401 if tenant is None else 403), path
