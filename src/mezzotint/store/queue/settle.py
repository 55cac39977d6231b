"""Running jobs end or go back: their tenants' flows at once, and afterwards the accounts of the shares.

Claims stand in line at the rows of the shares. So these are changed by what a job was charged too much or too little,
in a transaction that no disk is waited for.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Float, FromClause, RowMapping, Select, and_, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.settle import MeasuredWork, next_pace, settle_job
from mezzotint.policy.fair_queue.state import Account, Charge, Flow, Share
from mezzotint.store.bulk_write import Insert, Row, Statement, Values, array_rows, execute
from mezzotint.store.queue.flows import KEY, ROOT, flow_of, row_of_flow
from mezzotint.store.schema import flows, shares

Whose = tuple[Tier, TenantId]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedJob:
    """A job that stops running. done_at: what it turned out to be, at a pace. timed_cost: step-megapixels that its
    GPU-seconds were spent on, as predicted; 0 where that is not known."""

    lane: Tier
    tenant: TenantId
    charge: Charge
    done_at: Callable[[float | None], MeasuredWork]
    timed_cost: float = 0.0


@dataclass(frozen=True, slots=True)
class ShareCorrection:
    """The amount that a share was charged too little (below 0: too much), and the pace from now on, if it changed."""

    share: Share
    by: float
    pace_s: float | None


def _settle(row: Row, insert: Insert) -> Any:
    said = {name: row[name] for name in FLOW if name not in KEY}
    return update(flows).where(flows.c.lane == row["lane"], flows.c.tenant == row["tenant"]).values(said)


FLOW = {column.name: column.type for column in flows.c}
SETTLE_FLOWS = Statement(name="settle", values=FLOW, make=_settle)
"""The rows are locked: they were read to be changed."""


async def settle(
    connection: AsyncConnection, ended: Sequence[StoppedJob]
) -> tuple[list[Values], list[ShareCorrection]]:
    """Locks the flows of jobs that stop running. Returns the rows for `SETTLE_FLOWS`, and a correction for each job.

    The corrections are for `correct`, when the transaction is over.
    """
    rows = await _lock_flows(connection, {(one.lane, one.tenant) for one in ended})
    after: dict[Whose, Flow] = {whose: flow_of(row) for whose, row in rows.items()}
    pace_s: float | None = next(iter(rows.values()))["pace_s"] if rows else None
    corrections: list[ShareCorrection] = []
    for one in ended:
        whose = one.lane, one.tenant
        if whose not in after:  # a job from before there were flows
            corrections.append(ShareCorrection(one.charge.share, 0.0, None))
            continue
        done = one.done_at(pace_s)
        share = Account(share=one.charge.share)  # only the difference is wanted: others change the account meanwhile
        lane_time = rows[whose]["virtual_time"]
        settled = settle_job(after[whose], share, one.charge, done, lane_time=lane_time)
        after[whose] = settled.flow
        pace = next_pace(pace_s, one.timed_cost, done.gpu_s)
        corrections.append(ShareCorrection(one.charge.share, settled.share.start_tag, pace if pace != pace_s else None))
        pace_s = pace
    return [row_of_flow(flow) for flow in after.values()], corrections


async def _lock_flows(connection: AsyncConnection, wanted: Collection[Whose]) -> Mapping[Whose, RowMapping]:
    """Rows of flows, each with the virtual time of its lane and the pace."""
    keys = [{"lane": lane, "tenant": tenant} for lane, tenant in sorted(wanted)]
    if connection.dialect.name == "postgresql":
        arrays = {f"wanted_{name}": [key[name] for key in keys] for name in KEY}
        found = (await connection.execute(_query(is_postgres=True), arrays)).mappings().all()
    else:
        one = _query(is_postgres=False)
        found = [row for key in keys for row in (await connection.execute(one, key)).mappings()]
    return {(Tier(row["lane"]), TenantId(row["tenant"])): row for row in found}


@cache
def _query(*, is_postgres: bool) -> Select[Any]:
    root = shares.alias("root")
    rows: FromClause = flows
    if is_postgres:
        wanted = array_rows("wanted", KEY)
        rows = flows.join(wanted, and_(*(flows.c[name] == wanted.c[name] for name in KEY)))
    query = select(flows, shares.c.virtual_time, root.c.pace_s).select_from(
        rows.join(shares, shares.c.share == flows.c.lane).join(root, root.c.share == ROOT)
    )
    if not is_postgres:
        return query.where(*(flows.c[name] == bindparam(name) for name in KEY))
    return query.order_by(flows.c.lane, flows.c.tenant).with_for_update(of=flows)


def _correct(row: Row, insert: Insert) -> Any:
    return update(shares).where(shares.c.share == row["share"]).values(start_tag=shares.c.start_tag + row["by"])


def _pace(row: Row, insert: Insert) -> Any:
    return update(shares).where(shares.c.share == row["share"]).values(pace_s=row["pace_s"])


SHARE = shares.c.share
CORRECT_SHARES = Statement(name="correct", values={"share": SHARE.type, "by": Float()}, make=_correct, keys=[SHARE])
SET_PACE = Statement(name="pace", values={"share": SHARE.type, "pace_s": Float()}, make=_pace, keys=[SHARE])


async def correct(connection: AsyncConnection, owed: Sequence[ShareCorrection]) -> None:
    """Change the shares' accounts by what `settle` found. No commit of it waits for the disk."""
    sums: dict[str, float] = defaultdict(float)
    for one in owed:
        sums[one.share.value] += one.by
    paces = [{"share": ROOT, "pace_s": one.pace_s} for one in owed if one.pace_s is not None]
    by_share = [{"share": share, "by": by} for share, by in sorted(sums.items())]
    await execute(connection, {CORRECT_SHARES: by_share, SET_PACE: paces[-1:]}, asynchronous=True)
