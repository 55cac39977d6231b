"""Rows of the fair queue: one for each share of the machine, one for each tenant in a lane.

`policy/fair_queue/state.py` says what the fields mean; `policy/fair_queue/settle.py` decides every change that is not a
claim.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Integer,
    RowMapping,
    and_,
    case,
    false,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.state import Account, Express, Flow, Share, base_weights
from mezzotint.store.bulk_write import ASYNCHRONOUS_COMMIT, Insert, Row, Statement, Values
from mezzotint.store.rows import fields_of
from mezzotint.store.schema import flows, shares

ROOT = "root"


async def lock_shares(
    connection: AsyncConnection, names: Sequence[str] | None = None, *, asynchronous: bool = False
) -> dict[str, RowMapping]:
    """Rows of shares, locked; all of them, or those named.

    asynchronous: the commit need not wait for the disk. SQLite knows no such thing for one transaction.
    """
    query = select(shares).order_by(shares.c.share).with_for_update()
    if names is not None:
        query = query.where(shares.c.share.in_(names))
    if asynchronous and connection.dialect.name == "postgresql":
        query = query.add_columns(ASYNCHRONOUS_COMMIT)
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


def _put(row: Row, insert: Insert) -> Any:
    values = {name: row[name] for name in ("start_tag", "virtual_time", "is_idle")}
    return update(shares).where(shares.c.share == row["share"]).values(values)


UPDATE_SHARES = Statement(
    name="put",
    values={name: shares.c[name].type for name in ("share", "start_tag", "virtual_time", "is_idle")},
    make=_put,
)
"""The caller has locked the rows."""


def share_rows(changed: Iterable[Account], virtual_time: float) -> list[Values]:
    rows = [fields_of(one) for one in changed]
    return [*rows, {"start_tag": 0.0, "virtual_time": virtual_time, "is_idle": False, "share": ROOT}]


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
class QueuedJobs:
    """Jobs of a tenant that began to wait."""

    lane: Tier
    tenant: TenantId
    number: int
    at: datetime


def _arrive(row: Row, insert: Insert) -> Any:
    """As `settle.add_waiting_job`; a missing row is inserted, and no row is read first."""
    lane_time = select(shares.c.virtual_time).where(shares.c.share == row["lane"]).scalar_subquery()
    nothing: dict[str, Any] = {"usage_s": literal(0.0), "num_running": literal(0), "is_at_burst": false()}
    values: dict[str, Any] = {
        "lane": row["lane"],
        "waits_in": row["lane"],
        "tenant": row["tenant"],
        "num_queued": row["number"],
        "backlogged_at": row["at"],
        "usage_at": row["at"],
        "start_tag": lane_time,
        **nothing,
    }
    new = insert(flows)
    was_idle = flows.c.num_queued == 0
    is_behind = and_(was_idle, flows.c.start_tag < new.excluded.start_tag)
    return new.from_select(list(values), select(*values.values()).where(true())).on_conflict_do_update(
        index_elements=["lane", "tenant"],
        set_={
            "waits_in": new.excluded.lane,
            "num_queued": flows.c.num_queued + new.excluded.num_queued,
            "backlogged_at": case((was_idle, new.excluded.backlogged_at), else_=flows.c.backlogged_at),
            "start_tag": case((is_behind, new.excluded.start_tag), else_=flows.c.start_tag),
        },
    )


KEY = {"lane": flows.c.lane.type, "tenant": flows.c.tenant.type}
ENQUEUE_FLOW = Statement(name="arrive", values={**KEY, "number": Integer(), "at": flows.c.usage_at.type}, make=_arrive)


def _leave(row: Row, insert: Insert) -> Any:
    """As `policy/fair_queue/settle.py` says in `remove_waiting_job`."""
    is_left = flows.c.num_queued > row["number"]
    num_queued = case((is_left, flows.c.num_queued - row["number"]), else_=0)
    values = {"num_queued": num_queued, "waits_in": case((is_left, flows.c.lane), else_=None)}
    return update(flows).where(flows.c.lane == row["lane"], flows.c.tenant == row["tenant"]).values(values)


LEAVE_FLOW = Statement(
    name="leave",
    values={**KEY, "number": Integer(), "at": flows.c.usage_at.type},
    make=_leave,
    keys=[flows.c.lane, flows.c.tenant],
)


def count_by_flow(queued: Iterable[QueuedJobs]) -> list[Values]:
    """A row for each flow, in the order in which rows of flows are locked."""
    sums: dict[tuple[Tier, TenantId], QueuedJobs] = {}
    for one in queued:
        before = sums.get((one.lane, one.tenant))
        sums[one.lane, one.tenant] = one if before is None else replace(before, number=before.number + one.number)
    return [fields_of(sums[flow]) for flow in sorted(sums)]


def row_of_flow(flow: Flow) -> dict[str, Any]:
    return {**fields_of(flow), "waits_in": flow.lane if flow.num_queued > 0 else None}
