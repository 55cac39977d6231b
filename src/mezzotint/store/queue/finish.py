"""Jobs end under their leases: those that end together in one transaction, each of them once."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Boolean, RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.job import CutTexts, Ending, Job, JobState, Lease
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.settle import MeasuredWork, measured_cost
from mezzotint.store.bulk_write import Statement, Values, columns_of, execute, types_of
from mezzotint.store.events.changes import ADD_DELIVERIES, LOG_CHANGE
from mezzotint.store.queue.settle import SETTLE_FLOWS, ShareCorrection, StoppedJob, settle
from mezzotint.store.queue.transitions import (
    CHARGED,
    IS_HELD,
    LEASE_KEY,
    UPSERT_LEDGER,
    WAIVED,
    LedgerLine,
    charge_on,
    ledger_entry,
)
from mezzotint.store.rows import UNREADABLE, checkpoints_of, fields_of, job_of
from mezzotint.store.schema import held_images, images, jobs


@dataclass(frozen=True, slots=True, eq=False)
class FinishRequest:
    """A job that its worker says has ended."""

    job: JobId
    lease: Lease
    ending: Ending


END_JOBS = Statement(  # `finished_at` is never before `started_at`: the clock may be set back
    name="end_jobs",
    values={**LEASE_KEY, "at": jobs.c.finished_at.type}
    | {name: jobs.c[name].type for name in ("state", "timings", "cut_texts", "error", "step", "cost_s")}
    | {name: jobs.c[name].type for name in ("reuse_key", "reused_from", "num_passes", "num_forecast")},
    sql=f"""
    UPDATE jobs SET
        state = given.state, finished_at = CASE WHEN started_at > given.at THEN started_at ELSE given.at END,
        timings = given.timings, cut_texts = given.cut_texts, error = given.error, step = given.step,
        cost_s = given.cost_s, reuse_key = given.reuse_key, reused_from = given.reused_from,
        num_passes = given.num_passes, num_forecast = given.num_forecast,
        lease_worker = NULL, lease_expires_at = NULL
    FROM given WHERE {IS_HELD}
    RETURNING {columns_of(jobs)}, EXISTS (SELECT 1 FROM checkpoints WHERE checkpoints.job = jobs.id) AS has_saved""",
    keys=[jobs.c.id],
    returns={**types_of(jobs), "has_saved": Boolean()},
)
IMAGE = {name: type_ for name, type_ in types_of(images).items() if name != "seq"}
INSERT_IMAGES = Statement(
    name="insert_images",
    values=IMAGE,
    sql=f"INSERT INTO images ({', '.join(IMAGE)}) SELECT {', '.join(IMAGE)} FROM given",
)
HELD_IMAGE = {name: type_ for name, type_ in types_of(held_images).items() if name != "seq"}
INSERT_HELD_IMAGES = Statement(
    name="insert_held_images",
    values=HELD_IMAGE,
    sql=f"INSERT INTO held_images ({', '.join(HELD_IMAGE)}) SELECT {', '.join(HELD_IMAGE)} FROM given",
)


async def finish_jobs(
    connection: AsyncConnection, requests: Sequence[FinishRequest]
) -> tuple[dict[JobId, Job], Sequence[ShareCorrection]]:
    """End running jobs once, each with its pictures and its charge. Returns those whose lease was still held, as far as
    their rows can be read.

    requests: of different jobs. Corrections of the shares' accounts are for the caller to make.
    """
    found = await execute(connection, {END_JOBS: [_row_of(one) for one in requests]})
    rows = {row["id"]: row for row in found}
    ended = [(rows[one.job], one.ending, one.lease.worker) for one in requests if one.job in rows]
    settled, corrections = await settle(connection, [_build_finished_job(row, ending) for row, ending, _ in ended])
    logged = [{"job": row["id"], "state": ending.state, "at": ending.at} for row, ending, _ in ended]
    lines = [
        LedgerLine(
            at=ending.at,
            kind=WAIVED if ending.state is JobState.FAILED else CHARGED,
            gpu_s=ending.charged_s,
            steps=ending.step,
            worker=worker,
            num_passes=ending.num_passes,
            num_forecast=ending.num_forecast,
        )
        for _, ending, worker in ended
    ]
    writes: dict[Statement, Sequence[Values]] = {
        SETTLE_FLOWS: settled,
        INSERT_IMAGES: [
            {"tenant": row["tenant"], "owner": row["owner"], **fields_of(picture)}
            for row, ending, _ in ended
            for picture in ending.images
        ],
        INSERT_HELD_IMAGES: [
            {"tenant": row["tenant"], "owner": row["owner"], **fields_of(held)}
            for row, ending, _ in ended
            for held in ending.held
        ],
        UPSERT_LEDGER: [ledger_entry(row, line) for (row, _, _), line in zip(ended, lines, strict=True)],
        LOG_CHANGE: logged,
        ADD_DELIVERIES: logged,
    }
    await execute(connection, writes)
    saved = await checkpoints_of(connection, [row["id"] for row, _, _ in ended if row["has_saved"]])
    jobs_ended: dict[JobId, Job] = {}
    for row, ending, _ in ended:
        with suppress(*UNREADABLE):  # it has ended all the same
            jobs_ended[row["id"]] = job_of(row, ending.images, saved.get(row["id"], ()))
    return jobs_ended, corrections


def _row_of(request: FinishRequest) -> Values:
    lease, ending = request.lease, request.ending
    return {
        "id": request.job,
        "token": lease.token,
        "worker": lease.worker,
        "state": ending.state,
        "at": ending.at,
        "timings": fields_of(ending.timings),
        "cut_texts": fields_of(ending.cut_texts) if ending.cut_texts != CutTexts() else None,
        "error": fields_of(ending.error) if ending.error else None,
        "step": ending.step,
        "cost_s": ending.charged_s,
        "reuse_key": ending.reuse_key,
        "reused_from": ending.reused_from,
        "num_passes": ending.num_passes,
        "num_forecast": ending.num_forecast,
    }


def _build_finished_job(row: RowMapping, ending: Ending) -> StoppedJob:
    is_free = ending.state is JobState.FAILED or ending.reused_from is not None
    charge = charge_on(row)

    def done_at(pace_s: float | None) -> MeasuredWork:
        cost = 0.0 if is_free else measured_cost(charge.cost, ending.cost_s, pace_s)
        return MeasuredWork(cost=cost, gpu_s=0.0 if is_free else ending.cost_s, at=ending.at)

    lane, tenant = Tier(row["lane"]), TenantId(row["tenant"])
    timed_cost = charge.cost * ending.computed_share  # the pace is that of passes
    return StoppedJob(lane=lane, tenant=tenant, charge=charge, done_at=done_at, timed_cost=timed_cost)
