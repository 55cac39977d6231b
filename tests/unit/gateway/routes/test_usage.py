"""The route of usage: one's own, an admin's view of others, and nobody else's."""

from datetime import UTC, datetime, timedelta

import pytest

from mezzotint.domain.claims import Role
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tenant import Tenant
from mezzotint.domain.tier import PAID, Tier
from mezzotint.gateway import Service
from tests.making import NOW
from tests.unit.gateway.auth.test_authorisation import things_of_ada
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio


async def test_a_tenant_reads_its_own_months_and_nobody_elses(connect: Connect, service: Service) -> None:
    await service.accounts.tenants.add(Tenant(id=TenantId("ada"), tier=Tier.PAID, created_at=NOW))
    await things_of_ada(service, 1)
    async with connect("ada", Tier.PAID) as ada, connect("eve") as eve:
        mine = (await ada.get("/v1/usage")).json()
        (month,) = mine["months"]
        assert (mine["tenant"], mine["quota_s"], month["month"]) == ("ada", PAID.quota_s, f"{NOW:%Y-%m}")
        assert (month["num_jobs"], month["num_images"], month["num_steps"]) == (1, 1, 30)
        assert (await ada.get("/v1/usage", params={"tenant": "ada"})).json() == mine
        assert (await ada.get("/v1/usage", params={"since": "2026-02"})).json()["months"] == []
        refused = await eve.get("/v1/usage", params={"tenant": "ada"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "scope_missing")
        assert (await eve.get("/v1/usage")).json()["months"] == []


async def test_an_admin_reads_any_tenants(connect: Connect, service: Service) -> None:
    await service.accounts.tenants.add(Tenant(id=TenantId("ada"), tier=Tier.PAID, created_at=NOW))
    await things_of_ada(service, 1)
    async with connect(None) as admin:
        lifetime = timedelta(minutes=5)
        token = service.issuer.issue(TenantId("ops"), Tier.PRO, datetime.now(UTC), lifetime, role=Role.ADMIN)
        admin.headers["Authorization"] = f"Bearer {token}"
        seen = (await admin.get("/v1/usage", params={"tenant": "ada"})).json()
        assert (seen["tenant"], seen["quota_s"], len(seen["months"])) == ("ada", PAID.quota_s, 1)
        unknown = (await admin.get("/v1/usage", params={"tenant": "no such"})).json()
        assert (unknown["quota_s"], unknown["months"]) == (None, [])


@pytest.mark.parametrize("since", ["2026-13", "2026", "x", "2026-01-01"])
async def test_a_month_is_a_month(connect: Connect, since: str) -> None:
    async with connect() as ada:
        assert (await ada.get("/v1/usage", params={"since": since})).status_code == 422
