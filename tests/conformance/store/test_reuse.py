"""A stored picture is found by its key, within what the asker sees, and not past a takedown."""

from dataclasses import replace
from pathlib import Path

import pytest

from mezzotint.actions.takedown.begin import begin_takedown
from mezzotint.actions.takedown.execute import take_step
from mezzotint.domain.errors import LeaseLost
from mezzotint.domain.ids import WorkerId
from mezzotint.domain.job import Ending, Job, JobState, ReuseScope
from mezzotint.domain.safety.takedown import PictureSelection
from mezzotint.domain.tier import Tier
from mezzotint.store import Database, Jobs, Objects, WorkerOffer
from mezzotint.store.queue.flows import flow_of
from mezzotint.store.schema import flows, shares
from tests.making import NOW, make_ending, make_image, make_job
from tests.making_takedowns import make_work

pytestmark = pytest.mark.anyio
KEY = "5" * 64


async def claim(jobs: Jobs, job: Job) -> Job:
    await jobs.add(job)
    (claimed,) = await jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    return claimed


async def draw(jobs: Jobs, job: Job) -> Job:
    """The job, drawn and stored under the key."""
    claimed = await claim(jobs, job)
    assert claimed.lease is not None
    ending = make_ending(job, images=(make_image(job),), cost_s=2.0)
    return await jobs.finish(job.id, claimed.lease, replace(ending, reuse_key=KEY))


def reuse(source: Job, job: Job) -> Ending:
    images = tuple(replace(image, job=job.id) for image in source.images)
    return replace(make_ending(job, images=images), step=0, reused_from=source.id)


async def test_a_job_is_found_by_its_key_by_those_who_see_it(jobs: Jobs) -> None:
    drawn = await draw(jobs, make_job(owner="user:ada"))
    mine = replace(make_job(owner="user:ada"), reuse_scope=ReuseScope.OWN)
    assert await jobs.find_reusable(mine, KEY) == drawn
    assert await jobs.find_reusable(mine, "6" * 64) is None
    other = replace(make_job(owner="user:eve"), reuse_scope=ReuseScope.OWN)
    assert await jobs.find_reusable(other, KEY) is None
    assert await jobs.find_reusable(replace(other, reuse_scope=ReuseScope.TENANT), KEY) == drawn
    stranger = replace(make_job(tenant="bob", owner="user:ada"), reuse_scope=ReuseScope.TENANT)
    assert await jobs.find_reusable(stranger, KEY) is None


async def test_what_one_process_drew_another_finds(address: Path | str, jobs: Jobs) -> None:
    drawn = await draw(jobs, make_job())
    database = Database(address)
    assert await Jobs(database).find_reusable(make_job(), KEY) == drawn
    await database.close()


async def test_what_a_job_may_reuse_and_has_reused_is_read_back(jobs: Jobs) -> None:
    drawn = await draw(jobs, make_job())
    asked = replace(make_job(), reuse_scope=ReuseScope.TENANT)
    claimed = await claim(jobs, asked)
    assert claimed.reuse_scope is ReuseScope.TENANT
    assert claimed.lease is not None
    ended = await jobs.finish_reused(asked.id, claimed.lease, reuse(drawn, asked))
    assert ended is not None
    assert (ended.state, ended.reused_from, ended.images[0].png) == (
        JobState.SUCCEEDED,
        drawn.id,
        drawn.images[0].png,
    )
    assert await jobs.get(asked.id) == ended
    with pytest.raises(LeaseLost):
        await jobs.finish_reused(asked.id, claimed.lease, reuse(drawn, asked))


async def test_a_takedown_between_the_look_and_the_end_leaves_the_job_to_be_drawn(
    database: Database, jobs: Jobs, tmp_path: Path
) -> None:
    drawn = await draw(jobs, make_job())
    asked = make_job()
    claimed = await claim(jobs, asked)
    assert claimed.lease is not None
    work = make_work(database, Objects(tmp_path / "objects"))
    selection = PictureSelection(jobs=(drawn.id,))
    begun = await begin_takedown(work, selection, reason="reported", made_by="ops/ada", within_s=0)
    await take_step(work, begun)
    assert await jobs.finish_reused(asked.id, claimed.lease, reuse(drawn, asked)) is None
    row = await jobs.get(asked.id)
    assert row is not None
    assert (row.state, row.images) == (JobState.RUNNING, ())


async def test_a_reused_picture_costs_its_lane_and_its_tenant_no_share(database: Database, jobs: Jobs) -> None:
    drawn = await draw(jobs, make_job())

    async def accounts() -> tuple[float, float, float]:
        async with database.read() as connection:
            flow = flow_of((await connection.execute(flows.select())).mappings().one())
            lane = (await connection.execute(shares.select().where(shares.c.share == Tier.FREE))).mappings().one()
        return flow.start_tag, flow.usage_s, lane["start_tag"]

    before = await accounts()
    asked = make_job()
    claimed = await claim(jobs, asked)
    assert claimed.lease is not None
    assert (await accounts())[0] > before[0]
    assert await jobs.finish_reused(asked.id, claimed.lease, reuse(drawn, asked))
    assert await accounts() == pytest.approx(before)
