"""The candidates of a claim: the first flows of every lane with their oldest jobs, and of the oldest jobs of the lanes
those that an express takes.

One statement, each part of which reads a bounded number of rows by an index, however many wait.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, Integer, RowMapping, String, TextClause, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import TextualSelect

from mezzotint.domain.ids import JobId, TenantId, WorkerId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.state import RULES, BackloggedFlow, Candidate, LaneBacklog, rate_affinity
from mezzotint.policy.retry import latest_avoiding
from mezzotint.store.bulk_write import columns_of, types_of, with_columns
from mezzotint.store.queue.flows import flow_of
from mezzotint.store.schema import flows, jobs

NUM_JOBS_OF_REGION = 8
"""Oldest jobs of a region, whose tenants are candidates beside the first flows of the lane."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOffer:
    """A worker that wants jobs. models: those it can run; None: any. lanes: those it takes jobs of. tenants: the only
    ones it takes jobs of; None: all. region: its own; empty: none. places: lanes and regions whose jobs it takes beside
    those of no region; None: any. warm: models in memory.
    shapes: model, width and height of what runs there now. suspects: it wants none but jobs that are to run
    alone; else none of these. light_cost: step-megapixels up to which a job is light, and goes a little before others;
    0: none is. siblings: workers of its version, where others of its pool have another one: it leaves what they failed
    to those."""

    worker: WorkerId
    models: frozenset[str] | None = None
    lanes: frozenset[Tier] = frozenset(Tier)
    tenants: frozenset[TenantId] | None = None
    region: str = ""
    places: frozenset[tuple[Tier, str]] | None = None
    warm: frozenset[str] = frozenset()
    shapes: frozenset[tuple[str, int, int]] = field(default_factory=frozenset)
    suspects: bool = False
    light_cost: float = 0.0
    siblings: frozenset[WorkerId] = frozenset()

    @property
    def lists(self) -> frozenset[str]:
        """The names of its limits that are lists, and are there."""
        limits = {"models": self.models, "tenants": self.tenants, "places": self.places}
        there = {name for name, limit in limits.items() if limit is not None}
        return frozenset(there | {"siblings"} if self.siblings else there)

    def affinity(self, row: RowMapping) -> float:
        said = row["parameters"]  # not read where nothing runs
        size = said if isinstance(said, dict) else {}
        shape = (row["model"], size.get("width", 0), size.get("height", 0))
        return rate_affinity(
            is_warm=row["model"] in self.warm,
            joins_batch=shape in self.shapes,
            is_light=row["cost"] <= self.light_cost,
            is_near=self.places is not None and row["region"] in (None, self.region),
        )

    def regions_of(self, lane: Tier) -> tuple[str, ...]:
        """The regions whose jobs of the lane it takes, where it does not take those of all."""
        return tuple(sorted(name for one, name in self.places or () if one is lane))


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBounds:
    """The bounds of a search: flows a lane, jobs a flow, oldest jobs a lane."""

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
    shape = OfferShape(
        lanes=tuple(sorted(offer.lanes)),
        lists=offer.lists,
        with_size=bool(offer.shapes),
        suspects=offer.suspects,
        places=None if offer.places is None else tuple((lane, len(offer.regions_of(lane))) for lane in Tier),
    )
    query = candidates_query(shape, is_postgres=connection.dialect.name == "postgresql")
    values: dict[str, Any] = {"num_flows": reach.num_flows, "num_jobs": reach.num_jobs, "num_oldest": reach.num_oldest}
    values |= {f"old_{rule.lane}": now - timedelta(seconds=rule.after_s) for rule in RULES.expresses.values()}
    values |= _fit_values(offer, now)
    for lane in shape.numbers:
        values |= {f"region_{lane}_{number}": name for number, name in enumerate(offer.regions_of(lane))}
    found = {lane: LaneCandidates(lane=lane) for lane in Tier}
    for row in (await connection.execute(query, values)).mappings():
        _add(found[Tier(row["lane"])], row, offer)
    return found


def _add(found: LaneCandidates, row: RowMapping, offer: WorkerOffer) -> None:
    if row["part"] == "since":
        found.since = row["created_at"]
        return
    tenant = TenantId(row["tenant"])
    if row["part"] == "head":
        found.seen.add(tenant)
    if row["id"] is None:
        return
    affinity = offer.affinity(row)
    job = Candidate(job=JobId(row["id"]), cost=row["cost"], created_at=row["created_at"], affinity=affinity)
    line = found.waiting if row["part"] == "head" else found.oldest
    before = line.get(tenant)
    line[tenant] = (
        replace(before, jobs=[*before.jobs, job]) if before else BackloggedFlow(flow=flow_of(row), jobs=[job])
    )


def flow_order(waiting: BackloggedFlow) -> tuple[bool, float, datetime]:
    """The order of the index `flows_next`."""
    flow = waiting.flow
    return flow.is_at_burst, flow.start_tag, flow.backlogged_at


FIRST_FLOWS = """
        SELECT * FROM (
            SELECT * FROM flows WHERE waits_in = '{lane}'
            ORDER BY is_at_burst, start_tag, backlogged_at LIMIT :num_flows) AS of_{lane}"""
FIRST_FLOWS_OF_TENANTS = """
        SELECT * FROM (
            SELECT * FROM flows WHERE lane = '{lane}' AND tenant IN :tenants AND waits_in IS NOT NULL
            ORDER BY is_at_burst, start_tag, backlogged_at LIMIT :num_flows) AS of_{lane}"""
FIRST_FLOWS_OF_REGIONS = """
        SELECT * FROM (
            SELECT * FROM (
                SELECT * FROM flows WHERE waits_in = '{lane}'
                ORDER BY is_at_burst, start_tag, backlogged_at LIMIT :num_flows) AS next_{lane}
            UNION SELECT * FROM flows WHERE lane = '{lane}' AND waits_in IS NOT NULL AND tenant IN ({tenants}
            )) AS of_{lane}"""
TENANTS_OF_REGION = """
                -- whoever waits longest in a region: the first flows may all be of other regions
                SELECT tenant FROM (
                    SELECT tenant FROM jobs WHERE waits_in = '{lane}' AND region = :region_{lane}_{number}
                    ORDER BY seq LIMIT {num_jobs}) AS of_region_{number}"""
HEADS = """
    -- the first flows of every lane by the index flows_next, each beside its oldest fitting jobs, or alone
    SELECT 'head' AS part, {flow}, {job} FROM ({first_flows}
    ) AS flow LEFT JOIN LATERAL (
        SELECT {columns} FROM jobs
        WHERE jobs.waits_in = flow.lane AND jobs.tenant = flow.tenant AND {fits}
        ORDER BY jobs.seq LIMIT :num_jobs
    ) AS job ON true"""
HEADS_WITHOUT_LATERAL = """
    SELECT 'head' AS part, {flow}, {columns} FROM ({first_flows}
    ) AS flow LEFT JOIN jobs ON jobs.seq IN (
        SELECT jobs.seq FROM jobs
        WHERE jobs.waits_in = flow.lane AND jobs.tenant = flow.tenant AND {fits}
        ORDER BY jobs.seq LIMIT :num_jobs)"""
OLDEST = """
    -- the oldest fitting jobs of a lane, where an express takes them, each beside its flow
    SELECT 'oldest' AS part, {flows}, {job} FROM (
        SELECT jobs.waits_in, jobs.tenant, {columns} FROM jobs
        WHERE jobs.waits_in = '{lane}' AND {fits}
        ORDER BY jobs.seq LIMIT :num_oldest
    ) AS job JOIN flows ON flows.lane = job.waits_in AND flows.tenant = job.tenant
    WHERE job.created_at <= :old_{lane}"""
OLDEST_OF_REGION = """
    -- the same of one region: those of the lane may all be of others. Jobs of no region come by their flows alone
    SELECT 'oldest' AS part, {flows}, {job} FROM (
        SELECT jobs.waits_in, jobs.tenant, {columns} FROM jobs
        WHERE jobs.waits_in = '{lane}' AND jobs.region = :region_{lane}_{number} AND {fits}
        ORDER BY jobs.seq LIMIT :num_oldest
    ) AS job JOIN flows ON flows.lane = job.waits_in AND flows.tenant = job.tenant
    WHERE job.created_at <= :old_{lane}"""
OLDEST_OF_TENANTS = """
    -- the same of a worker that takes jobs of some tenants alone: those of each by the index of its jobs
    SELECT 'oldest' AS part, {flow}, {job} FROM (
        SELECT * FROM flows WHERE lane = '{lane}' AND tenant IN :tenants AND waits_in IS NOT NULL
    ) AS flow JOIN LATERAL (
        SELECT {columns} FROM jobs
        WHERE jobs.waits_in = flow.lane AND jobs.tenant = flow.tenant AND {fits}
        ORDER BY jobs.seq LIMIT :num_oldest
    ) AS job ON true WHERE job.created_at <= :old_{lane}"""
OLDEST_OF_TENANTS_WITHOUT_LATERAL = """
    SELECT 'oldest' AS part, {flow}, {columns} FROM (
        SELECT * FROM flows WHERE lane = '{lane}' AND tenant IN :tenants AND waits_in IS NOT NULL
    ) AS flow JOIN jobs ON jobs.seq IN (
        SELECT jobs.seq FROM jobs
        WHERE jobs.waits_in = flow.lane AND jobs.tenant = flow.tenant AND {fits}
        ORDER BY jobs.seq LIMIT :num_oldest)
    WHERE jobs.created_at <= :old_{lane}"""
SINCE = """
    -- the oldest waiting job of a lane, whoever may take it
    SELECT 'since' AS part, old.waits_in, {no_flow}, NULL, old.seq, NULL, old.created_at, NULL, NULL{no_more} FROM (
        SELECT waits_in, seq, created_at FROM jobs WHERE waits_in = '{lane}' ORDER BY seq LIMIT 1
    ) AS old"""
FITS = """(
            jobs.avoid_worker IS NULL OR jobs.avoid_worker {differs}
            OR jobs.avoid_until <= :at OR jobs.avoid_until > :latest_avoiding)"""
JOB = {name: jobs.c[name].type for name in ("id", "seq", "cost", "created_at", "model", "parameters")}
REGION = {"region": jobs.c.region.type}


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferShape:
    """The part of an offer that decides the text of its statement. places: by lane, of how many regions jobs are
    wanted; None: of all. lists: see `WorkerOffer`."""

    lanes: tuple[Tier, ...]
    lists: frozenset[str] = frozenset()
    with_size: bool = False
    suspects: bool = False
    places: tuple[tuple[Tier, int], ...] | None = None

    @property
    def of_tenants(self) -> bool:
        return "tenants" in self.lists

    @property
    def numbers(self) -> dict[Tier, range]:
        """The numbers of the regions that a lane's jobs are looked for in. Those of single tenants are found by these
        alone."""
        of_lanes = [] if self.of_tenants else self.places or ()
        return {lane: range(number) for lane, number in of_lanes if lane in self.lanes and number}


@cache
def candidates_query(shape: OfferShape, *, is_postgres: bool) -> TextualSelect:
    """Parameters: at (now), latest_avoiding, those of `lists`, without siblings me (the worker),
    num_flows, num_jobs, num_oldest, and for each lane `old_` and its name: when the youngest was made that an express
    takes; where there are places, these, and for each lane `region_`, its name and a number."""
    numbers = shape.numbers
    job = JOB if shape.places is None else JOB | REGION
    parts = {
        "first_flows": "\n    UNION ALL".join(_first_flows(shape, lane) for lane in shape.lanes),
        "columns": ", ".join(
            "NULL AS parameters" if name == "parameters" and not shape.with_size else f"jobs.{name}" for name in job
        ),
        "fits": _fits(shape.lists, suspects=shape.suspects),
        "flow": columns_of(flows, "flow"),
        "flows": columns_of(flows),
        "job": ", ".join(f"job.{name}" for name in job),
        "no_flow": ", ".join("NULL" for _ in list(flows.c)[1:]),
        "no_more": "" if shape.places is None else ", NULL",
    }
    selects = [(HEADS if is_postgres else HEADS_WITHOUT_LATERAL).format(**parts)]
    oldest = OLDEST
    if shape.of_tenants:
        oldest = OLDEST_OF_TENANTS if is_postgres else OLDEST_OF_TENANTS_WITHOUT_LATERAL
    with_oldest = shape.lanes if shape.places is None or shape.of_tenants else ()
    selects += [oldest.format(lane=lane, **parts) for lane in with_oldest]
    selects += [
        OLDEST_OF_REGION.format(lane=lane, number=number, **parts) for lane in numbers for number in numbers[lane]
    ]
    selects += [SINCE.format(lane=lane, **parts) for lane in Tier]
    sql = "SELECT * FROM ({}\n) AS candidates ORDER BY seq".format("\n    UNION ALL".join(selects))
    given: list[BindParameter[Any]] = [
        bindparam(name, type_=Integer) for name in ("num_flows", "num_jobs", "num_oldest")
    ]
    given += [bindparam(f"old_{lane}", type_=jobs.c.created_at.type) for lane in (*with_oldest, *numbers)]
    given += [bindparam(f"region_{lane}_{number}", type_=String) for lane in numbers for number in numbers[lane]]
    given += _fit_parameters(shape.lists)
    return with_columns(text(sql).bindparams(*given), {"part": String(), **types_of(flows), **job})


def _first_flows(shape: OfferShape, lane: Tier) -> str:
    if lane not in shape.numbers:
        return (FIRST_FLOWS_OF_TENANTS if shape.of_tenants else FIRST_FLOWS).format(lane=lane)
    tenants = [
        TENANTS_OF_REGION.format(lane=lane, number=number, num_jobs=NUM_JOBS_OF_REGION)
        for number in shape.numbers[lane]
    ]
    return FIRST_FLOWS_OF_REGIONS.format(lane=lane, tenants="\n                UNION".join(tenants))


def _fits(lists: Collection[str], *, suspects: bool) -> str:
    """The SQL condition under which the worker may have a waiting job."""
    places = " AND (jobs.region IS NULL OR jobs.waits_in || ' ' || jobs.region IN :places)"
    return "".join([
        FITS.format(differs="NOT IN :siblings" if "siblings" in lists else "!= :me"),
        " AND jobs.model IN :models" if "models" in lists else "",
        places if "places" in lists else "",
        " AND jobs.num_losses > 0" if suspects else " AND jobs.num_losses <= 0",
    ])  # fmt: skip


def _fit_parameters(lists: Collection[str]) -> list[BindParameter[Any]]:
    instants = [bindparam(name, type_=jobs.c.avoid_until.type) for name in ("at", "latest_avoiding")]
    me = [] if "siblings" in lists else [bindparam("me", type_=String)]
    return [*me, *instants, *(bindparam(name, expanding=True, type_=String) for name in sorted(lists))]


async def is_suspect_waiting(connection: AsyncConnection, offer: WorkerOffer, now: datetime) -> bool:
    """Say whether the worker could claim a job that is to run alone."""
    values = {"lanes": sorted(offer.lanes), **_fit_values(offer, now)}
    return (await connection.execute(_suspect_query(offer.lists), values)).first() is not None


@cache
def _suspect_query(lists: frozenset[str]) -> TextClause:
    fits = _fits(lists, suspects=True) + (" AND jobs.tenant IN :tenants" if "tenants" in lists else "")
    query = text(f"SELECT id FROM jobs WHERE waits_in IN :lanes AND {fits} LIMIT 1")
    lanes = bindparam("lanes", expanding=True, type_=String)
    return query.bindparams(lanes, *_fit_parameters(lists))


def _fit_values(offer: WorkerOffer, now: datetime) -> dict[str, Any]:
    me = {} if offer.siblings else {"me": offer.worker}
    known: dict[str, Iterable[str] | None] = {
        "models": offer.models,
        "tenants": offer.tenants,
        "places": None if offer.places is None else [f"{lane} {name}" for lane, name in offer.places],
        "siblings": {*offer.siblings, offer.worker},
    }
    found = {name: sorted(known[name] or ()) for name in offer.lists}
    return {"at": now, "latest_avoiding": latest_avoiding(now), **me, **found}
