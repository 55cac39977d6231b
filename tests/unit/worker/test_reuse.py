"""A job that equals an earlier one is answered with the stored picture, without a word to the device."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from PIL import Image as Pixels

from mezzotint.actions.cancel import cancel
from mezzotint.actions.finish import image_key
from mezzotint.actions.takedown.begin import begin_takedown, undo_takedown
from mezzotint.domain.job import Job, JobState, ReuseScope
from mezzotint.domain.safety.takedown import PictureSelection
from mezzotint.domain.tenant import Tenant
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.store import Ledger, Tenants
from mezzotint.worker.finish import finish_job
from mezzotint.worker.job_states import LeaseState
from mezzotint.worker.leased_jobs import LeasedJob
from mezzotint.worker.messages import RunEnded
from mezzotint.worker.start import start_job
from tests.making import NOW, make_job, make_parameters
from tests.making_takedowns import make_work
from tests.unit.worker import test_poison
from tests.unit.worker.conftest import Leases
from tests.unit.worker.test_poison import Bench, a_job

pytestmark = pytest.mark.anyio
bench, starter = test_poison.bench, test_poison.starter
ENGINE = "the engine's fingerprint"


@pytest.fixture
def warm(leases: Leases) -> Leases:
    """A worker whose model is loaded."""
    leases.jobs.models.fingerprints["mezzotint-starter"] = ENGINE
    return leases


def make_request(scope: ReuseScope | None = ReuseScope.OWN, **job: Any) -> Job:
    return replace(make_job(**job), reuse_scope=scope)


async def draw(leases: Leases, job: Job | None = None, fingerprint: str | None = ENGINE) -> LeasedJob:
    """A job that the device drew, for two seconds."""
    leased = await leases.lease(job or make_job(), LeaseState.FINISHING)
    report = RunEnded(
        job=leased.job.id,
        step=30,
        pictures=(Pixels.new("RGB", (64, 64), (90, 0, 30)),),
        cost_s=2.0,
        fingerprint=fingerprint,
    )
    await finish_job(leases.jobs, leased, report)
    return leased


async def ask(leases: Leases, job: Job | None = None) -> tuple[Job, bool]:
    """The job's row after its start, and whether the device was told of it."""
    leased = await leases.lease(job or make_request(), LeaseState.STARTING)
    before = len(leases.sent)
    await start_job(leases.jobs, leased)
    return await leases.row(leased), len(leases.sent) > before


async def test_an_equal_request_gets_the_same_bytes_without_a_pass(warm: Leases) -> None:
    drawn = await warm.row(await draw(warm))
    job, is_drawn = await ask(warm)
    assert not is_drawn
    assert (job.state, job.step, job.cost_s, job.reused_from) == (JobState.SUCCEEDED, 0, 0.0, drawn.id)
    assert [image.png for image in job.images] == [image.png for image in drawn.images]
    assert [image.job for image in job.images] == [job.id]
    assert warm.jobs.by_id == {}, "its place is free"
    assert (warm.count("reuses", result="hit"), warm.count("reuse_saved_gpu_seconds")) == (1, 2.0)


OTHERS = {
    "of another tenant": make_request(tenant="bob", scope=ReuseScope.TENANT),
    "of another owner who does not see it": make_request(owner="user:eve", scope=ReuseScope.OWN),
    "for another seed": make_request(parameters=make_parameters(seed=8)),
    "for another number of steps": make_request(parameters=make_parameters(num_steps=29)),
    "that wants a new picture, or fixes no seed": make_request(None),
    "to another model": replace(make_request(), model="another"),
}


@pytest.mark.parametrize("job", OTHERS.values(), ids=OTHERS)
async def test_another_request_is_drawn(warm: Leases, job: Job) -> None:
    warm.jobs.models.fingerprints["another"] = ENGINE
    await draw(warm, make_job(owner="user:ada"))
    assert await ask(warm, replace(job, id=make_job().id)) == (
        await warm.jobs.backing.jobs.get(warm.sent[-1].job.id),
        True,
    )


async def test_what_others_of_the_tenant_drew_is_reused_by_those_who_see_it(warm: Leases) -> None:
    await draw(warm, make_job(owner="user:ada"))
    job, is_drawn = await ask(warm, make_request(ReuseScope.TENANT, owner="user:eve"))
    assert not is_drawn
    assert job.owner == "user:eve"


async def test_another_engine_draws_anew(warm: Leases) -> None:
    await draw(warm)
    warm.jobs.models.fingerprints["mezzotint-starter"] = "other weights"
    assert (await ask(warm))[1]
    del warm.jobs.models.fingerprints["mezzotint-starter"]
    assert (await ask(warm))[1], "in fast mode, or before the model is loaded"


async def test_a_picture_of_fast_mode_is_never_reused(warm: Leases) -> None:
    await draw(warm, fingerprint=None)
    assert (await ask(warm))[1]


async def test_a_reused_picture_is_no_source_of_further_ones(warm: Leases) -> None:
    first = await draw(warm)
    assert not (await ask(warm))[1]
    assert (await ask(warm))[0].reused_from == first.job.id


async def test_the_server_and_a_tenant_can_do_without(warm: Leases) -> None:
    await draw(warm)
    tenants = Tenants(warm.database)
    ada = Tenant(id=make_job().tenant, tier=make_job().tier, created_at=NOW, reuses_pictures=False)
    await tenants.add(ada)
    assert (await ask(warm))[1]
    await tenants.set_reuses_pictures(ada.id, True)
    assert not (await ask(warm))[1]
    warm.jobs.settings = replace(warm.jobs.settings, reuses_pictures=False)
    assert (await ask(warm))[1]


@dataclass
class Today:
    """The filter by the rules of today."""

    verdict: SafetyVerdict

    def check(self, image: object, tier: object) -> ImageVerdict:
        return ImageVerdict(verdict=self.verdict, version="today's")

    def is_preview_blocked(self, image: object, tier: object) -> bool:
        return True


async def test_the_rules_of_today_decide_about_a_stored_picture(warm: Leases) -> None:
    await draw(warm)
    warm.jobs.image_filter = Today(SafetyVerdict.BLOCK)
    assert (await ask(warm))[1], "it is drawn, and the filter decides about that"
    assert warm.count("reuses", result="blocked") == 1


async def test_a_reused_picture_has_the_verdict_of_today(warm: Leases) -> None:
    await draw(warm)
    warm.jobs.image_filter = Today(SafetyVerdict.ALLOW)
    assert (await ask(warm))[0].images[0].filter_version == "today's"


async def test_a_picture_whose_file_is_gone_is_drawn_again(warm: Leases) -> None:
    drawn = await warm.row(await draw(warm))
    await warm.jobs.backing.objects.delete([image_key(drawn.images[0].png, "png")])
    assert (await ask(warm))[1]
    assert warm.count("reuses", result="gone") == 1


async def test_a_picture_that_was_taken_down_is_never_reused_until_that_is_undone(warm: Leases) -> None:
    drawn = await draw(warm)
    work = make_work(warm.database, warm.jobs.backing.objects)
    done = await begin_takedown(work, PictureSelection(jobs=(drawn.job.id,)), reason="reported", made_by="ops/ada")
    assert (await ask(warm))[1]
    assert (warm.count("reuses", result="miss"), warm.count("reuses", result="hit")) == (1, 0)
    await undo_takedown(work, done, undone_by="ops/ada", reason="mistaken")
    assert not (await ask(warm))[1]


async def test_a_takedown_takes_the_reused_picture_with_its_source(warm: Leases) -> None:
    drawn = await draw(warm)
    job, _ = await ask(warm)
    work = make_work(warm.database, warm.jobs.backing.objects)
    await begin_takedown(work, PictureSelection(jobs=(drawn.job.id,)), reason="reported", made_by="ops/ada")
    row = await warm.jobs.backing.jobs.get(job.id)
    assert row is not None
    assert row.state is JobState.BLOCKED


async def test_a_share_of_the_drawing_may_be_charged(warm: Leases) -> None:
    warm.jobs.settings = replace(warm.jobs.settings, reuse_charge=0.25)
    await draw(warm)
    job, _ = await ask(warm)
    assert job.cost_s == 0.5
    (month,) = await Ledger(warm.database).usage(job.tenant, "2026-01")
    assert (month.gpu_s, month.num_steps, month.num_images) == (2.5, 30, 2)


async def test_a_job_that_was_cancelled_meanwhile_stays_cancelled(warm: Leases) -> None:
    await draw(warm)
    leased = await warm.lease(make_request(), LeaseState.STARTING)
    await cancel(warm.jobs.backing, leased.job.id, NOW)
    await start_job(warm.jobs, leased)
    assert (await warm.row(leased)).state is JobState.CANCELLED
    assert (warm.sent, warm.jobs.by_id) == ([], {})


async def test_the_denoiser_makes_no_pass_for_an_equal_request(bench: Bench) -> None:
    """With the starter model, from the claim to the end."""
    job = replace(a_job(64), reuse_scope=ReuseScope.OWN)
    async with bench.working():
        await bench.submit(job)
        drawn = await bench.ended(job)
        hub = bench.catalog.load("mezzotint-starter", lambda share: None).hub
        num_passes = hub.num_passes
        again = replace(job, id=a_job(64).id)
        await bench.submit(again)
        reused = await bench.ended(again)
    assert num_passes > 0
    assert hub.num_passes == num_passes
    assert (reused.reused_from, drawn.reused_from) == (drawn.id, None)
    assert [image.png for image in reused.images] == [image.png for image in drawn.images]
