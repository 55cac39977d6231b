"""A request becomes jobs over a real store, once however often it is sent."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from mezzotint.actions.overload import Overload
from mezzotint.actions.submit import TAKEN, Admission, Repeated, submit
from mezzotint.domain.claims import Claims
from mezzotint.domain.ids import TenantId
from mezzotint.domain.job import Job
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.domain.submission import Once
from mezzotint.domain.tier import Tier
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.request import JobRequest
from mezzotint.policy.retention import Retention
from mezzotint.store import Database, EventBus, Jobs, Refusals, Submissions, Uploads, read_pressure
from tests.making import NOW, make_model, make_screen

pytestmark = pytest.mark.anyio
ADA = Claims(tenant=TenantId("ada"), tier=Tier.FREE, expires_at=datetime(2030, 1, 1, tzinfo=UTC))
APPLE = JobRequest(prompt="a red apple")
SAME = Once(name="same:apple", body="apple", expires_at=NOW + timedelta(minutes=1), has_key=False)
KEYED = replace(SAME, name="key:1", has_key=True, is_retry=True)
FIRST_TRY = replace(SAME, name="try:apple:1", series="try:apple:")


@pytest.fixture
async def admission(database_file: Path) -> AsyncIterator[Admission]:
    database = Database(database_file)
    yield Admission(
        jobs=Jobs(database),
        refusals=Refusals(database, Retention()),
        submissions=Submissions(database),
        uploads=Uploads(database),
        bus=EventBus(),
        model=make_model(),
        screen=make_screen(),
        overload=Overload(partial(read_pressure, database)),
    )
    await database.close()


async def make_jobs(admission: Admission, request: JobRequest = APPLE, once: Once | None = None) -> tuple[Job, ...]:
    jobs = await submit(admission, request, ADA, NOW, once)
    assert isinstance(jobs, tuple)
    return jobs


async def test_a_submitted_job_is_stored_and_wakes_the_worker(admission: Admission) -> None:
    jobs = await make_jobs(replace(admission, region="eu"))
    assert await admission.jobs.get(jobs[0].id) == jobs[0]
    assert jobs[0].region == "eu"
    assert admission.bus.work.is_set()


async def test_two_jobs_without_a_seed_get_different_ones(admission: Admission) -> None:
    assert len({(await make_jobs(admission))[0].parameters.seed for _ in range(2)}) == 2


async def test_a_request_whose_texts_were_read_before_is_submitted_as_it_was_read(admission: Admission) -> None:
    parsed = parse_request(JobRequest(prompt="a red apple --seed 7"))
    changed = replace(parsed, request=replace(parsed.request, num_steps=3))
    jobs = await submit(admission, changed, ADA, NOW)
    assert isinstance(jobs, tuple)
    assert (jobs[0].parameters.seed, jobs[0].parameters.num_steps) == (7, 3)


async def test_jobs_of_one_request_name_the_first_of_them_as_their_batch(admission: Admission) -> None:
    jobs = await make_jobs(admission, JobRequest(prompt="a {red, green, blue} apple"))
    assert {job.batch for job in jobs} == {jobs[0].id}
    assert await admission.jobs.open_of(ADA.tenant) == list(jobs)


async def test_one_blocked_choice_refuses_the_whole_request(admission: Admission) -> None:
    picky = replace(admission, screen=make_screen(lambda prompt: "blue" in prompt))
    refused = await submit(picky, JobRequest(prompt="a {red, blue} apple"), ADA, NOW)
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.PROMPT_BLOCKED
    assert (await admission.jobs.standing(ADA.tenant, "2026-01"))[0] == 0


async def test_a_blocked_prompt_is_refused_before_any_job(admission: Admission) -> None:
    picky = replace(admission, screen=make_screen(lambda prompt: True))
    refused = await submit(picky, APPLE, ADA, NOW)
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.PROMPT_BLOCKED
    assert refused.id is not None
    assert refused.hint.startswith("Describe something else. If that is a mistake, appeal")
    assert refused.id in refused.hint
    assert (await admission.jobs.standing(ADA.tenant, "2026-01"))[0] == 0


@pytest.mark.parametrize("once", [SAME, KEYED])
async def test_the_same_request_sent_again_gets_the_jobs_that_the_first_one_made(
    admission: Admission, once: Once
) -> None:
    jobs = await make_jobs(admission, once=once)
    assert await submit(admission, APPLE, ADA, NOW, once) == Repeated(name=once.name, jobs=jobs)


async def test_a_key_with_another_request_is_refused(admission: Admission) -> None:
    await make_jobs(admission, once=KEYED)
    assert await submit(admission, JobRequest(prompt="a pear"), ADA, NOW, replace(KEYED, body="pear")) == TAKEN


async def test_a_request_whose_jobs_ended_makes_new_ones_unless_it_is_named_as_a_retry(admission: Admission) -> None:
    for once, is_new in ((SAME, True), (KEYED, False)):
        (job,) = await make_jobs(admission, once=once)
        await admission.jobs.cancel(job.id, NOW)
        assert isinstance(await submit(admission, APPLE, ADA, NOW, once), tuple) is is_new


@pytest.mark.parametrize(("seed", "once", "num_jobs"), [(None, SAME, 2), (7, SAME, 1), (None, KEYED, 1)])
async def test_a_wish_for_a_new_picture_makes_another_job_where_no_seed_or_key_fixes_it(
    admission: Admission, seed: int | None, once: Once, num_jobs: int
) -> None:
    for _ in range(2):
        assert not isinstance(await submit(admission, replace(APPLE, is_new=True, seed=seed), ADA, NOW, once), Refusal)
    assert len(await admission.jobs.open_of(ADA.tenant)) == num_jobs


async def test_each_first_try_makes_a_job_and_a_retry_meets_the_job_of_one(admission: Admission) -> None:
    tries = [FIRST_TRY, replace(FIRST_TRY, name="try:apple:2")]
    jobs = {(await make_jobs(admission, once=once))[0].id for once in tries}
    retries = [replace(FIRST_TRY, name=f"try:apple:{number}", num_retries=1) for number in (3, 4)]
    met = [await submit(admission, APPLE, ADA, NOW, once) for once in retries]
    assert {outcome.jobs[0].id for outcome in met if isinstance(outcome, Repeated)} == jobs
    assert len(jobs) == 2
    assert isinstance(await submit(admission, APPLE, ADA, NOW, replace(retries[0], name="try:apple:5")), tuple)
