"""Running jobs end or go back: their tenants' flows at once, and afterwards the accounts of the shares.

Claims stand in line at the rows of the shares. So these are changed by what a job was charged too much or too little,
in a transaction that no disk is waited for.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Float, RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.settle import MeasuredWork, next_pace, settle_job
from mezzotint.policy.fair_queue.state import Account, Charge, Flow, Share
from mezzotint.store.bulk_write import (
    Statement,
    Values,
    array_parameters,
    array_rows,
    columns_of,
    execute,
    types_of,
    with_columns,
)
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


FLOW = types_of(flows)
SETTLE_FLOWS = Statement(  # the rows are locked: they were read to be changed
    name="settle_flows",
    values=FLOW,
    sql=f"""
    UPDATE flows SET {", ".join(f"{name} = given.{name}" for name in FLOW if name not in KEY)}
    FROM given WHERE flows.lane = given.lane AND flows.tenant = given.tenant""",
)
SHARE = shares.c.share
CORRECT_SHARES = Statement(
    name="correct_shares",
    values={"share": SHARE.type, "by": Float()},
    sql="UPDATE shares SET start_tag = start_tag + given.by FROM given WHERE shares.share = given.share",
    keys=[SHARE],
)
SET_PACE = Statement(
    name="set_pace",
    values={"share": SHARE.type, "pace_s": Float()},
    sql="UPDATE shares SET pace_s = given.pace_s FROM given WHERE shares.share = given.share",
    keys=[SHARE],
)


READ = """
SELECT {}, lane.virtual_time, root.pace_s FROM {} AS given
JOIN flows ON flows.lane = given.lane AND flows.tenant = given.tenant
JOIN shares AS lane ON lane.share = flows.lane JOIN shares AS root ON root.share = 'root'"""
COLUMNS = {**FLOW, "virtual_time": Float(), "pace_s": Float()}
LOCK_FLOWS = with_columns(
    text(
        READ.format(columns_of(flows), array_rows("given", KEY))
        + " ORDER BY flows.lane, flows.tenant FOR UPDATE OF flows"
    ).bindparams(*array_parameters("given", KEY)),
    COLUMNS,
)
READ_FLOW = with_columns(text(READ.format(columns_of(flows), "(SELECT :lane AS lane, :tenant AS tenant)")), COLUMNS)
"""SQLite has one writer at a time."""


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
        arrays = {f"given_{name}": [key[name] for key in keys] for name in KEY}
        found = (await connection.execute(LOCK_FLOWS, arrays)).mappings().all()
    else:
        found = [row for key in keys for row in (await connection.execute(READ_FLOW, key)).mappings()]
    return {(Tier(row["lane"]), TenantId(row["tenant"])): row for row in found}


async def correct(connection: AsyncConnection, owed: Sequence[ShareCorrection]) -> None:
    """Change the shares' accounts by what `settle` found. No commit of it waits for the disk."""
    sums: dict[str, float] = defaultdict(float)
    for one in owed:
        sums[one.share.value] += one.by
    paces = [{"share": ROOT, "pace_s": one.pace_s} for one in owed if one.pace_s is not None]
    by_share = [{"share": share, "by": by} for share, by in sorted(sums.items())]
    await execute(connection, {CORRECT_SHARES: by_share, SET_PACE: paces[-1:]}, asynchronous=True)
