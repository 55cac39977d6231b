"""From rows to jobs and back."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import BindParameter, RowMapping, Select, Table, bindparam, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.drawing.named_weights import NamedWeights
from mezzotint.domain.ids import JobId, OwnerId, Sha256, TenantId, WorkerId
from mezzotint.domain.job import (
    CheckpointRef,
    CutTexts,
    Image,
    Job,
    JobError,
    JobState,
    Lease,
    Parameters,
    ReuseScope,
    Timings,
    remaining_cost,
)
from mezzotint.domain.model import Speed
from mezzotint.domain.refusal import SafetyEvidence
from mezzotint.domain.style import StyleChoice
from mezzotint.domain.task import Task
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.state import Charge, Express
from mezzotint.store.schema import checkpoints, images, jobs

UNREADABLE = (TypeError, ValueError, KeyError, AttributeError)
"""Exceptions of `job_of` for a row that is damaged or of another version."""
ONE = select(jobs).where(jobs.c.id == bindparam("of_id"))
IMAGES = select(images).where(images.c.job.in_(bindparam("of_jobs", expanding=True))).order_by(images.c.position)


async def get_job(connection: AsyncConnection, job: JobId) -> Job | None:
    rows = (await connection.execute(ONE, {"of_id": job})).mappings().all()
    found = await jobs_of(connection, rows)
    return found[0] if found else None


async def jobs_of(connection: AsyncConnection, rows: Sequence[RowMapping]) -> list[Job]:
    """With the pictures of those that succeeded, and the checkpoints of those that may go on from one."""
    ids = [row["id"] for row in rows]
    pictures: dict[str, list[Image]] = {job: [] for job in ids}
    if not ids:
        return []
    succeeded = [row["id"] for row in rows if row["state"] == JobState.SUCCEEDED]
    if succeeded:
        for picture in (await connection.execute(IMAGES, {"of_jobs": succeeded})).mappings():
            pictures[picture["job"]].append(image_of(picture))
    begun = [row["id"] for row in rows if row["lease_token"] > 0 and not JobState(row["state"]).is_final]
    saved = await checkpoints_of(connection, begun)
    return [job_of(row, pictures[row["id"]], saved.get(row["id"], ())) for row in rows]


async def claimed_jobs_of(
    connection: AsyncConnection, rows: Sequence[RowMapping]
) -> tuple[list[Job], list[RowMapping]]:
    """The jobs of rows that were just claimed, and the rows that cannot be read.

    There are no pictures, and no checkpoints before a second lease.
    """
    saved = await checkpoints_of(connection, [row["id"] for row in rows if row["lease_token"] > 1])
    jobs: list[Job] = []
    unreadable: list[RowMapping] = []
    for row in rows:
        try:
            jobs.append(job_of(row, (), saved.get(row["id"], ())))
        except UNREADABLE:
            unreadable.append(row)
    return jobs, unreadable


async def checkpoints_of(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, list[CheckpointRef]]:
    """By job, its checkpoints, newest first."""
    saved: dict[str, list[CheckpointRef]] = {job: [] for job in ids}
    if saved:
        query = select(checkpoints).where(checkpoints.c.job.in_(ids)).order_by(checkpoints.c.step.desc())
        for row in (await connection.execute(query)).mappings():
            saved[row["job"]].append(CheckpointRef(step=row["step"], key=row["key"], cost_s=row["cost_s"]))
    return saved


def newest_of_owners(
    query: Select[tuple[int]],
    table: Table,
    limit: int,
    owners: Collection[OwnerId | BindParameter[str]] | None,
    states: Collection[JobState] = (),
) -> Select[tuple[int]]:
    """The first rows of a query of `seq`, newest first. owners: whose; None: everybody's. states: of jobs; none: any.

    Each owner's newest are found by the index of owners: one condition for all of them would make both databases read
    every row that any of them ever had, and sort it. So are those in each state, by the index of states; an owner is
    then looked at row by row (the sum with "" fits no index), as few jobs are open and most that ended succeeded.
    """
    if states:
        theirs = query if owners is None else query.where((table.c.owner + "").in_(owners))
        return _newest([theirs.where(table.c.state == state) for state in sorted(states)], table, limit)
    if owners is None:
        return query.order_by(table.c.seq.desc()).limit(limit)
    return _newest([query.where(table.c.owner == owner) for owner in owners], table, limit)


def _newest(queries: Sequence[Select[tuple[int]]], table: Table, limit: int) -> Select[tuple[int]]:
    if len(queries) == 1:  # most callers are one owner, and making the union takes as long as reading the rows
        return queries[0].order_by(table.c.seq.desc()).limit(limit)
    each = [select(query.order_by(table.c.seq.desc()).limit(limit).subquery()) for query in queries]
    newest = union_all(*each).subquery()
    return select(newest.c.seq).order_by(newest.c.seq.desc()).limit(limit)


def fields_of(value: Any) -> dict[str, Any]:
    """The fields of a flat dataclass with slots, uncopied; `asdict` would copy each."""
    return {name: getattr(value, name) for name in value.__slots__}


def row_of(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "tenant": job.tenant,
        "owner": job.owner,
        "tier": job.tier,
        "state": job.state,
        "raw_prompt": job.raw_prompt,
        "parameters": document_of_parameters(job.parameters),
        "model": job.model,
        "cost": remaining_cost(job.parameters, 0),
        "lane": job.lane,
        "waits_in": job.lane,
        "created_at": job.created_at,
        "timings": fields_of(job.timings),
        "batch": job.batch,
        "reuse_scope": job.reuse_scope,
        "screening": None if job.screening is None else fields_of(job.screening),
        "region": job.region or None,
    }


def job_of(row: RowMapping, pictures: Sequence[Image], saved: Sequence[CheckpointRef]) -> Job:
    return Job(
        id=JobId(row["id"]),
        tenant=TenantId(row["tenant"]),
        owner=OwnerId(row["owner"]),
        tier=Tier(row["tier"]),
        state=JobState(row["state"]),
        raw_prompt=row["raw_prompt"],
        parameters=parameters_of(row["parameters"]),
        model=row["model"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        step=row["step"],
        attempts=row["attempts"],
        lease=lease_of(row) if row["lease_worker"] is not None else None,
        checkpoints=tuple(saved),
        images=tuple(pictures),
        error=JobError(**row["error"]) if row["error"] else None,
        timings=Timings(**row["timings"]),
        cut_texts=CutTexts(**(row["cut_texts"] or {})),
        batch=JobId(row["batch"]) if row["batch"] else None,
        is_over_quota=row["lane"] != row["tier"],
        due_at=row["due_at"],
        cost_s=row["cost_s"],
        num_losses=row["num_losses"],
        lost_step=row["lost_step"],
        reuse_scope=ReuseScope(row["reuse_scope"]) if row["reuse_scope"] else None,
        reused_from=JobId(row["reused_from"]) if row["reused_from"] else None,
        num_passes=row["num_passes"],
        num_forecast=row["num_forecast"],
        screening=SafetyEvidence(**row["screening"]) if row["screening"] else None,
        region=row["region"] or "",
    )


def lease_of(row: RowMapping) -> Lease:
    return Lease(worker=WorkerId(row["lease_worker"]), token=row["lease_token"], expires_at=row["lease_expires_at"])


def charge_of(document: dict[str, Any] | None) -> Charge | None:
    """The charge of a running job, as its row keeps it."""
    if document is None:
        return None
    name = document["share"]
    share = Tier(name) if name in set(Tier) else Express(name)
    return Charge(**{**document, "share": share})


def document_of(charge: Charge) -> dict[str, Any]:
    return {**fields_of(charge), "share": charge.share.value}


def document_of_parameters(parameters: Parameters) -> dict[str, Any]:
    return fields_of(parameters) | {
        "styles": [fields_of(style) for style in parameters.styles],
        "vae": None if parameters.vae is None else fields_of(parameters.vae),
        "embeddings": [fields_of(one) for one in parameters.embeddings],
    }


def parameters_of(document: dict[str, Any]) -> Parameters:
    styles = tuple([StyleChoice(**style) for style in document.get("styles", ())])
    task, speed = Task(document.get("task", Task.GENERATE)), Speed(document.get("speed", Speed.EXACT))
    vae = document.get("vae")
    more = {
        "vae": None if vae is None else NamedWeights(**vae),
        "embeddings": tuple([NamedWeights(**one) for one in document.get("embeddings", ())]),
    }
    return Parameters(**{**document, "task": task, "speed": speed, "styles": styles, **more})


def image_of(row: RowMapping) -> Image:
    return Image(
        job=JobId(row["job"]),
        position=row["position"],
        png=Sha256(row["png"]),
        webp=Sha256(row["webp"]),
        seed=row["seed"],
        width=row["width"],
        height=row["height"],
        created_at=row["created_at"],
        verdict=row["verdict"],
        scores=row["scores"],
        filter_version=row["filter_version"],
        pdq=row["pdq"],
        pdq_quality=row["pdq_quality"],
    )
