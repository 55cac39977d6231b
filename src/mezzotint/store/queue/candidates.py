"""The candidates of a claim: the first flows of every lane with their oldest jobs, and of the oldest jobs of the lanes
those that an express takes.

One statement, each part of which reads a bounded number of rows by an index, however many wait.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    RowMapping,
    Select,
    and_,
    bindparam,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import JobId, TenantId, WorkerId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.state import RULES, BackloggedFlow, Candidate, LaneBacklog, rate_affinity
from mezzotint.policy.retry import latest_avoiding
from mezzotint.store.queue.flows import flow_of
from mezzotint.store.schema import flows, jobs

SUSPECTED = jobs.c.num_losses > literal_column("0")
"""A worker ended while it ran the job. As the index `jobs_suspected` has it."""
HEADS, OLDEST, SINCE = 0, 1, 2
"""The parts of the statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOffer:
    """A worker that wants jobs. models: those it can run; None: any. lanes: those it takes jobs of. warm: models in
    memory.
    shapes: model, width and height of what runs there now. suspects: it wants none but jobs that are to run
    alone; else none of these."""

    worker: WorkerId
    models: frozenset[str] | None = None
    lanes: frozenset[Tier] = frozenset(Tier)
    warm: frozenset[str] = frozenset()
    shapes: frozenset[tuple[str, int, int]] = field(default_factory=frozenset)
    suspects: bool = False

    def affinity(self, row: RowMapping) -> float:
        said = row["parameters"]  # not read where nothing runs
        size = said if isinstance(said, dict) else {}
        shape = (row["model"], size.get("width", 0), size.get("height", 0))
        return rate_affinity(is_warm=row["model"] in self.warm, joins_batch=shape in self.shapes)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBounds:
    """How far a look goes: flows a lane, jobs a flow, oldest jobs a lane."""

    num_flows: int
    num_jobs: int
    num_oldest: int


@dataclass(slots=True, kw_only=True)
class LaneCandidates:
    """The candidates of one lane. since: when its oldest waiting job was made, whoever may take that; None: none
    waits."""

    lane: Tier
    since: datetime | None = None
    waiting: dict[TenantId, BackloggedFlow] = field(default_factory=dict)
    oldest: dict[TenantId, BackloggedFlow] = field(default_factory=dict)
    seen: set[TenantId] = field(default_factory=set)

    @property
    def num_seen(self) -> int:
        """Flows that were looked at, with jobs for this worker or without."""
        return len(self.seen)

    def line(self) -> LaneBacklog:
        first = sorted(self.waiting.values(), key=flow_order)
        return LaneBacklog(lane=self.lane, waiting=first, oldest=list(self.oldest.values()), since=self.since)


async def find_candidates(
    connection: AsyncConnection, offer: WorkerOffer, now: datetime, reach: SearchBounds
) -> dict[Tier, LaneCandidates]:
    """Every lane, as far as the reach goes."""
    query = statement(
        is_postgres=connection.dialect.name == "postgresql",
        lanes=tuple(sorted(offer.lanes)),
        of_models=offer.models is not None,
        with_size=bool(offer.shapes),
        suspects=offer.suspects,
    )
    values = {"me": offer.worker, "at": now, "num_flows": reach.num_flows, "num_jobs": reach.num_jobs}
    values |= {"num_oldest": reach.num_oldest, "latest_avoiding": latest_avoiding(now)}
    values |= {f"old_{rule.lane}": now - timedelta(seconds=rule.after_s) for rule in RULES.expresses.values()}
    if offer.models is not None:
        values["models"] = sorted(offer.models)
    found = {lane: LaneCandidates(lane=lane) for lane in Tier}
    for row in (await connection.execute(query, values)).mappings():
        _add(found[Tier(row["lane"])], row, offer)
    return found


def _add(found: LaneCandidates, row: RowMapping, offer: WorkerOffer) -> None:
    if row["part"] == SINCE:
        found.since = row["created_at"]
        return
    tenant = TenantId(row["tenant"])
    if row["part"] == HEADS:
        found.seen.add(tenant)
    if row["id"] is None:
        return
    affinity = offer.affinity(row)
    job = Candidate(job=JobId(row["id"]), cost=row["cost"], created_at=row["created_at"], affinity=affinity)
    line = found.waiting if row["part"] == HEADS else found.oldest
    before = line.get(tenant)
    line[tenant] = (
        replace(before, jobs=[*before.jobs, job]) if before else BackloggedFlow(flow=flow_of(row), jobs=[job])
    )


def flow_order(waiting: BackloggedFlow) -> tuple[bool, float, datetime]:
    """The order of the index `flows_next`."""
    flow = waiting.flow
    return flow.is_at_burst, flow.start_tag, flow.backlogged_at


@cache
def statement(
    *, is_postgres: bool, lanes: tuple[Tier, ...], of_models: bool, with_size: bool, suspects: bool = False
) -> Select[Any]:
    """Parameters: me (the worker), at (now), latest_avoiding, models where `of_models`, num_flows, num_jobs,
    num_oldest, and for each lane `old_` and its name: when the youngest was made that an express takes.

    Made once for each kind of worker: making it takes longer than running it.
    """
    fits = _fits(of_models=of_models, suspects=suspects)
    parameters = jobs.c.parameters if with_size else null().label("parameters")
    wanted = [jobs.c.id, jobs.c.seq, jobs.c.cost, jobs.c.created_at, jobs.c.model, parameters]
    parts = [_heads(lanes, fits, wanted, is_postgres=is_postgres), _oldest(lanes, fits, wanted), _since()]
    whole = union_all(*parts).subquery("candidates")
    return select(whole).order_by(whole.c.seq)


def _fits(*, of_models: bool, suspects: bool) -> ColumnElement[bool]:
    """Whether a waiting job is one for the worker."""
    welcome = or_(
        jobs.c.avoid_worker.is_(None),
        jobs.c.avoid_worker != bindparam("me"),
        jobs.c.avoid_until <= bindparam("at", type_=jobs.c.avoid_until.type),
        jobs.c.avoid_until > bindparam("latest_avoiding", type_=jobs.c.avoid_until.type),
    )
    of_model = jobs.c.model.in_(bindparam("models", expanding=True)) if of_models else true()
    return and_(welcome, of_model, SUSPECTED if suspects else ~SUSPECTED)


async def is_suspect_waiting(connection: AsyncConnection, offer: WorkerOffer, now: datetime) -> bool:
    """Whether the worker could claim a job that is to run alone."""
    values: dict[str, Any] = {"me": offer.worker, "at": now, "latest_avoiding": latest_avoiding(now)}
    values |= {"lanes": sorted(offer.lanes)}
    if offer.models is not None:
        values["models"] = sorted(offer.models)
    query = _one_suspect(of_models=offer.models is not None)
    return (await connection.execute(query, values)).first() is not None


@cache
def _one_suspect(*, of_models: bool) -> Select[Any]:
    waits = jobs.c.waits_in.in_(bindparam("lanes", expanding=True))
    return select(jobs.c.id).where(waits, _fits(of_models=of_models, suspects=True)).limit(1)


def _first_flows(lanes: tuple[Tier, ...]) -> FromClause:
    """The first flows of every lane by the index `flows_next`."""
    order = (flows.c.is_at_burst, flows.c.start_tag, flows.c.backlogged_at)
    number = bindparam("num_flows", type_=Integer)
    of_lanes = [
        select(select(flows).where(flows.c.waits_in == literal(str(lane))).order_by(*order).limit(number).subquery())
        for lane in lanes
    ]
    return union_all(*of_lanes).subquery("first")


def _heads(lanes: tuple[Tier, ...], fits: ColumnElement[bool], wanted: list[Any], *, is_postgres: bool) -> Select[Any]:
    """The first flows, each beside its oldest fitting jobs; a flow without one stands alone."""
    first = _first_flows(lanes)
    of_flow = and_(jobs.c.waits_in == first.c.lane, jobs.c.tenant == first.c.tenant, fits)
    number = bindparam("num_jobs", type_=Integer)
    part = literal(HEADS, Integer).label("part")
    if is_postgres:
        line = select(*wanted).where(of_flow).order_by(jobs.c.seq).limit(number).correlate(first).lateral("line")
        return select(part, first, line).select_from(first.outerjoin(line, true()))
    seqs = select(jobs.c.seq).where(of_flow).order_by(jobs.c.seq).limit(number).correlate(first)
    return select(part, first, *wanted).select_from(first.outerjoin(jobs, jobs.c.seq.in_(seqs)))


def _oldest(lanes: tuple[Tier, ...], fits: ColumnElement[bool], wanted: list[Any]) -> Select[Any]:
    """The oldest fitting jobs of every lane, where an express takes them, each beside its flow."""
    number = bindparam("num_oldest", type_=Integer)
    of_lanes = []
    for lane in lanes:
        first = (
            select(jobs.c.waits_in, jobs.c.tenant, *wanted)
            .where(jobs.c.waits_in == literal(str(lane)), fits)
            .order_by(jobs.c.seq)
            .limit(number)
            .subquery()
        )
        of_lanes.append(
            select(first).where(first.c.created_at <= bindparam(f"old_{lane}", type_=jobs.c.created_at.type))
        )
    old = union_all(*of_lanes).subquery("old")
    at = and_(flows.c.lane == old.c.waits_in, flows.c.tenant == old.c.tenant)
    part = literal(OLDEST, Integer).label("part")
    return select(part, flows, *list(old.c)[2:]).select_from(old.join(flows, at))


def _since() -> Select[Any]:
    """The oldest waiting job of every lane, whoever may take it."""
    of_lanes = [
        select(
            select(jobs.c.waits_in, jobs.c.seq, jobs.c.created_at)
            .where(jobs.c.waits_in == literal(str(lane)))
            .order_by(jobs.c.seq)
            .limit(1)
            .subquery()
        )
        for lane in Tier
    ]
    old = union_all(*of_lanes).subquery("since")
    of_flow = [old.c.waits_in.label("lane"), *(null().label(column.name) for column in list(flows.c)[1:])]
    of_job = [null(), old.c.seq, null(), old.c.created_at, null(), null()]
    return select(literal(SINCE, Integer).label("part"), *of_flow, *of_job)
