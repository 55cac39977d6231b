"""Rows of tenants."""

import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.exc import IntegrityError

from mezzotint.domain.drawing.recipe import RecipeAudience
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tenant import Tenant, Visibility
from mezzotint.domain.tier import Tier
from mezzotint.store.database import Database
from mezzotint.store.group_commit import GroupCommit
from mezzotint.store.schema import tenants

FRESH_S = 2.0
"""A gateway hears at most so late that another process changed or disabled a tenant."""
MAX_KNOWN = 10_000
MAX_READ_TOGETHER = 500


class Tenants:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[TenantId, tuple[float, Tenant | None]] = {}

        async def read_many(among: Sequence[TenantId]) -> list[Tenant | None]:
            found = await self.find(among)
            return [found.get(tenant) for tenant in among]

        self._reads = GroupCommit("read-tenants", read_many, MAX_READ_TOGETHER)

    async def add(self, tenant: Tenant) -> bool:
        """Returns whether the name was free."""
        try:
            async with self._database.write() as connection:
                await connection.execute(insert(tenants).values(asdict(tenant)))
        except IntegrityError:
            return False
        self._known.pop(tenant.id, None)
        return True

    async def get(self, tenant: TenantId) -> Tenant | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(tenants).where(tenants.c.id == tenant))).mappings().first()
        return None if row is None else tenant_of(row)

    async def present(self, tenant: TenantId) -> Tenant | None:
        """The tenant's row, `FRESH_S` old at most: asked for at each request with a token.

        Requests that arrive during a read share the next one.
        """
        known = self._known.get(tenant)
        if known is None or time.monotonic() - known[0] > FRESH_S:
            known = (time.monotonic(), await self._reads.submit(tenant))
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[tenant] = known
        return known[1]

    async def find(self, among: Collection[TenantId]) -> dict[TenantId, Tenant]:
        """The tenants among these that have a row."""
        query = select(tenants).where(tenants.c.id.in_(among))
        async with self._database.read() as connection:
            found = [tenant_of(row) for row in (await connection.execute(query)).mappings()]
        return {tenant.id: tenant for tenant in found}

    async def page(self, limit: int, after: str = "") -> list[Tenant]:
        """Tenants by name, those after `after`."""
        query = select(tenants).where(tenants.c.id > after).order_by(tenants.c.id).limit(limit)
        async with self._database.read() as connection:
            return [tenant_of(row) for row in (await connection.execute(query)).mappings()]

    async def set_tier(self, tenant: TenantId, tier: Tier) -> bool:
        return await self._set(tenant, tier=tier)

    async def set_visibility(self, tenant: TenantId, visibility: Visibility) -> bool:
        return await self._set(tenant, visibility=visibility)

    async def set_recipe_audience(self, tenant: TenantId, audience: RecipeAudience) -> bool:
        return await self._set(tenant, recipe_audience=audience)

    async def set_reuses_pictures(self, tenant: TenantId, reuses_pictures: bool) -> bool:
        return await self._set(tenant, reuses_pictures=reuses_pictures)

    async def disable(self, tenant: TenantId, at: datetime | None) -> bool:
        """Let nothing of the tenant in any more; None lets it in again. Returns whether there is such a tenant."""
        return await self._set(tenant, disabled_at=at)

    async def _set(self, tenant: TenantId, **values: object) -> bool:
        async with self._database.write() as connection:
            result = await connection.execute(update(tenants).where(tenants.c.id == tenant).values(values))
        self._known.pop(tenant, None)
        return bool(result.rowcount)


def tenant_of(row: RowMapping) -> Tenant:
    return Tenant(
        id=TenantId(row["id"]),
        tier=Tier(row["tier"]),
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
        visibility=Visibility(row["visibility"]),
        recipe_audience=RecipeAudience(row["recipe_audience"]),
        reuses_pictures=bool(row["reuses_pictures"]),
    )
