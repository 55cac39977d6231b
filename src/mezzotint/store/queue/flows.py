"""Rows of the fair queue: one for each share of the machine, one for each tenant in a lane.

`policy/fair_queue/state.py` says what the fields mean; `policy/fair_queue/settle.py` decides every change that is not a
claim.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, RowMapping, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.state import Account, Express, Flow, Share, base_weights
from mezzotint.store.bulk_write import ASYNCHRONOUS_COMMIT, Statement, Values
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
        query = query.add_columns(literal_column(ASYNCHRONOUS_COMMIT))
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


UPDATE_SHARES = Statement(  # the caller has locked the rows
    name="update_shares",
    values={name: shares.c[name].type for name in ("share", "start_tag", "virtual_time", "is_idle")},
    sql="""
    UPDATE shares SET start_tag = given.start_tag, virtual_time = given.virtual_time, is_idle = given.is_idle
    FROM given WHERE shares.share = given.share""",
)


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


KEY = {"lane": flows.c.lane.type, "tenant": flows.c.tenant.type}
QUEUED_JOBS = {**KEY, "number": Integer(), "at": flows.c.usage_at.type}
ENQUEUE_FLOW = Statement(  # as `policy/fair_queue/settle.py` says in `add_waiting_job`; no row is read first
    name="enqueue_flow",
    values=QUEUED_JOBS,
    sql="""
    INSERT INTO flows
        (lane, waits_in, tenant, num_queued, backlogged_at, usage_at, start_tag, usage_s, num_running, is_at_burst)
    SELECT lane, lane, tenant, number, at, at, (SELECT virtual_time FROM shares WHERE share = lane), 0, 0, false
    FROM given WHERE true
    ON CONFLICT (lane, tenant) DO UPDATE SET
        waits_in = excluded.lane, num_queued = flows.num_queued + excluded.num_queued,
        backlogged_at = CASE WHEN flows.num_queued = 0 THEN excluded.backlogged_at ELSE flows.backlogged_at END,
        start_tag = CASE WHEN flows.num_queued = 0 AND flows.start_tag < excluded.start_tag
                         THEN excluded.start_tag ELSE flows.start_tag END""",
)
LEAVE_FLOW = Statement(  # as `policy/fair_queue/settle.py` says in `remove_waiting_job`
    name="leave_flow",
    values=QUEUED_JOBS,
    sql="""
    UPDATE flows SET
        num_queued = CASE WHEN num_queued > given.number THEN num_queued - given.number ELSE 0 END,
        waits_in = CASE WHEN num_queued > given.number THEN flows.lane END
    FROM given WHERE flows.lane = given.lane AND flows.tenant = given.tenant""",
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
