"""Rows of the fair queue: one for each share of the machine, one for each tenant in a lane.

Whoever changes several kinds takes their locks in the order shares, jobs, flows. `policy/queue.py` says what the
fields mean; `policy/accounts.py` decides every change that is not a claim.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Label, RowMapping, and_, bindparam, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy import accounts
from mezzotint.policy.accounts import Done
from mezzotint.policy.queue import Account, Charge, Express, Flow, Share, base_weights
from mezzotint.store.database import insert_on
from mezzotint.store.schema import flows, shares

ROOT = "root"
LAZILY = func.set_config("synchronous_commit", "off", True)
"""PostgreSQL: of this transaction."""


async def locked_shares(
    connection: AsyncConnection, names: Sequence[str] | None = None, *, lazily: bool = False
) -> dict[str, RowMapping]:
    """Rows of shares, locked; all of them, or those named.

    lazily: the commit need not wait for the disk. SQLite knows no such thing for one transaction.
    """
    query = select(shares).order_by(shares.c.share).with_for_update()
    if names is not None:
        query = query.where(shares.c.share.in_(names))
    if lazily and connection.dialect.name == "postgresql":
        query = query.add_columns(LAZILY)
    return {row["share"]: row for row in (await connection.execute(query)).mappings()}


def accounts_of(rows: Mapping[str, RowMapping]) -> dict[Share, Account]:
    return {
        share: Account(
            share=share,
            start_tag=rows[share]["start_tag"],
            virtual_time=rows[share]["virtual_time"],
            is_idle=rows[share]["is_idle"],
        )
        for share in (*Tier, *Express)
    }


def bases_of(rows: Mapping[str, RowMapping]) -> dict[Tier, float]:
    """The lanes' weights before traffic moves them, as admins set them."""
    base = base_weights()
    return {tier: rows[tier]["base"] or base[tier] for tier in Tier}


def weights_of(rows: Mapping[str, RowMapping]) -> dict[Tier, float]:
    base = bases_of(rows)
    return {tier: rows[tier]["weight"] or base[tier] for tier in Tier}


PUT = update(shares).where(shares.c.share == bindparam("name"))


async def put_shares(connection: AsyncConnection, changed: Sequence[Account], virtual_time: float) -> None:
    rows: list[dict[str, Any]] = [
        {"start_tag": one.start_tag, "virtual_time": one.virtual_time, "is_idle": one.is_idle, "name": one.share.value}
        for one in changed
    ]
    rows.append({"start_tag": 0.0, "virtual_time": virtual_time, "is_idle": False, "name": ROOT})
    await connection.execute(PUT, rows)


def flow_of(row: RowMapping) -> Flow:
    return Flow(
        lane=Tier(row["lane"]),
        tenant=TenantId(row["tenant"]),
        backlogged_at=row["backlogged_at"],
        usage_at=row["usage_at"],
        usage_s=row["usage_s"],
        start_tag=row["start_tag"],
        num_queued=row["num_queued"],
        num_running=row["num_running"],
        is_at_burst=row["is_at_burst"],
    )


@dataclass(frozen=True, slots=True)
class Arrived:
    """Jobs of a tenant that began to wait."""

    lane: Tier
    tenant: TenantId
    number: int
    at: datetime


async def arrive(connection: AsyncConnection, arrived: Sequence[Arrived]) -> None:
    """What `accounts.arrive` says, as one statement: rows are made where there are none, and read by nobody."""
    new = insert_on(connection, flows)
    lane_time = select(shares.c.virtual_time).where(shares.c.share == bindparam("of_lane")).scalar_subquery()
    was_idle = flows.c.num_queued == 0
    is_behind = and_(was_idle, flows.c.start_tag < new.excluded.start_tag)
    query = new.values(start_tag=lane_time).on_conflict_do_update(
        index_elements=["lane", "tenant"],
        set_={
            "waits_in": new.excluded.lane,
            "num_queued": flows.c.num_queued + new.excluded.num_queued,
            "backlogged_at": case((was_idle, new.excluded.backlogged_at), else_=flows.c.backlogged_at),
            "start_tag": case((is_behind, new.excluded.start_tag), else_=flows.c.start_tag),
        },
    )
    rows = [
        {"lane": one.lane, "of_lane": one.lane, "waits_in": one.lane, "tenant": one.tenant, "num_queued": one.number}
        | {"backlogged_at": one.at, "usage_at": one.at, "usage_s": 0.0, "num_running": 0, "is_at_burst": False}
        for one in sorted(arrived, key=lambda one: (one.lane, one.tenant))
    ]
    await connection.execute(query, rows)


async def leave(connection: AsyncConnection, lane: Tier, tenant: TenantId, now: datetime) -> None:
    """A waiting job of a tenant stopped waiting without being taken."""
    await _change(connection, lane, tenant, now, accounts.leave)


@dataclass(frozen=True, slots=True)
class Correction:
    """What a share was charged too little (or too much, below 0), and the pace from now on, if it changed."""

    share: Share
    by: float
    pace_s: float | None


async def settle(
    connection: AsyncConnection,
    whose: tuple[Tier, TenantId],
    charge: Charge,
    done_at: Callable[[float | None], Done],
    *,
    timed_cost: float = 0.0,
) -> Correction:
    """A running job ended or goes back: its tenant's flow now; its share's account is for `correct`.

    done_at: what it turned out to be, at a pace. timed_cost: step-megapixels that its GPU-seconds were spent on, as
    predicted; 0 where that is not known.
    """
    lane, tenant = whose
    query = select(flows, _of(lane, shares.c.virtual_time), _of(ROOT, shares.c.pace_s)).where(_is(lane, tenant))
    row = (await connection.execute(query.with_for_update(of=flows))).mappings().first()
    if row is None:  # a job from before there were flows
        return Correction(charge.share, 0.0, None)
    done = done_at(row["pace_s"])
    share = Account(share=charge.share)  # only the difference is wanted: others change the account meanwhile
    after = accounts.settle(flow_of(row), share, charge, done, lane_time=row["virtual_time"])
    await connection.execute(update(flows).where(_is(lane, tenant)).values(_values(after.flow)))
    pace = accounts.next_pace(row["pace_s"], timed_cost, done.gpu_s)
    return Correction(charge.share, after.share.start_tag, pace if pace != row["pace_s"] else None)


def _of(share: str, column: Column[Any]) -> Label[Any]:
    return select(column).where(shares.c.share == share).scalar_subquery().label(column.name)


async def correct(connection: AsyncConnection, owed: Sequence[Correction]) -> None:
    """Change the shares' accounts by what `settle` found. No commit of it waits for the disk."""
    for one in owed:
        share = update(shares).where(shares.c.share == one.share.value)
        share = share.values(start_tag=shares.c.start_tag + one.by)
        await connection.execute(share.returning(LAZILY) if connection.dialect.name == "postgresql" else share)
        if one.pace_s is not None:
            await connection.execute(update(shares).where(shares.c.share == ROOT).values(pace_s=one.pace_s))


async def _change(
    connection: AsyncConnection, lane: Tier, tenant: TenantId, now: datetime, change: Callable[[Flow], Flow]
) -> None:
    """Replace a flow's row, which is locked meanwhile and made if need be."""
    query = select(flows).where(_is(lane, tenant)).with_for_update()
    row = (await connection.execute(query)).mappings().first()
    if row is None:
        await _make(connection, lane, tenant, now)
        row = (await connection.execute(query)).mappings().one()
    await connection.execute(update(flows).where(_is(lane, tenant)).values(_values(change(flow_of(row)))))


async def _make(connection: AsyncConnection, lane: Tier, tenant: TenantId, now: datetime) -> None:
    flow = Flow(lane=lane, tenant=tenant, backlogged_at=now, usage_at=now)
    row = {"lane": lane, "tenant": tenant, **_values(flow)}
    await connection.execute(insert_on(connection, flows).values(row).on_conflict_do_nothing())


def _values(flow: Flow) -> dict[str, Any]:
    return {
        "waits_in": flow.lane if flow.num_queued > 0 else None,
        "is_at_burst": flow.is_at_burst,
        "start_tag": flow.start_tag,
        "backlogged_at": flow.backlogged_at,
        "usage_at": flow.usage_at,
        "usage_s": flow.usage_s,
        "num_queued": flow.num_queued,
        "num_running": flow.num_running,
    }


def _is(lane: Tier, tenant: TenantId) -> Any:
    return and_(flows.c.lane == lane, flows.c.tenant == tenant)
