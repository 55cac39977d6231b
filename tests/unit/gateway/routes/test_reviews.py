"""Pictures that wait for a review: encrypted, seen by admins alone, delivered when one releases them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from mezzotint.actions.review import sweep_held_pictures, with_originals
from mezzotint.domain.claims import Role
from mezzotint.domain.ids import TenantId, WorkerId
from mezzotint.domain.job import Job, JobState
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.document import OriginalsPolicy
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.store import WorkerOffer
from mezzotint.worker.messages import RunEnded
from mezzotint.worker.postprocess import PictureStorage, postprocess
from tests.making import make_job
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio
PICTURE = Image.effect_noise((48, 48), 80).convert("RGB")


@pytest.fixture
async def admin(service: Service, connect: Connect) -> AsyncIterator[httpx.AsyncClient]:
    token = service.issuer.issue(TenantId("ops"), Tier.PRO, datetime.now(UTC), timedelta(minutes=5), role=Role.ADMIN)
    async with connect(None) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


class FixedVerdict:
    def __init__(self, verdict: SafetyVerdict) -> None:
        self.verdict = verdict

    def check(self, image: Image.Image, tier: Tier) -> ImageVerdict:
        scores = {"graphic": {"violence": 0.7}}
        return ImageVerdict(verdict=self.verdict, category=SafetyCategory.VIOLENCE, scores=scores, version="v1")

    def is_preview_blocked(self, image: Image.Image, tier: Tier) -> bool:
        return True


async def end_job(service: Service, verdict: SafetyVerdict, policy: OriginalsPolicy | None = None) -> Job:
    """A job of ada's whose picture got the verdict, ended as a worker ends it."""
    backing = with_originals(service.backing, service.issuer.derive, policy or OriginalsPolicy())
    job = make_job(tenant="ada")
    await backing.jobs.add(job)
    (taken,) = await backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), service.now(), 60)
    report = RunEnded(job=job.id, step=30, denoise_s=1.0, decode_s=0.1, pictures=(PICTURE,))
    storage = PictureStorage(objects=backing.objects, originals=backing.originals)
    ending = await postprocess(taken, report, FixedVerdict(verdict), storage, service.now)
    assert taken.lease is not None
    return await backing.jobs.finish(job.id, taken.lease, ending)


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in (folder / "objects").rglob("*") if path.is_file()]


async def audit_of(service: Service) -> list[tuple[str, str]]:
    page = await service.safety.audit.page(20)
    return [(entry.action.value, entry.change.author) for _, entry in page]


async def test_a_picture_in_review_is_encrypted_and_only_an_admin_sees_it(
    service: Service, connect: Connect, admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    job = await end_job(service, SafetyVerdict.REVIEW)
    assert (job.state, job.error and job.error.code) == (JobState.BLOCKED, "image_in_review")
    assert len(contents(tmp_path)) == 2
    assert not any(mark in data for data in contents(tmp_path) for mark in (b"PNG", b"WEBP"))
    async with connect("ada") as ada:
        assert (await ada.get(f"/v1/jobs/{job.id}")).json()["images"] == []
        assert (await ada.get(f"/v1/admin/reviews/{job.id}/0.png")).status_code == 403
    (listed,) = (await admin.get("/v1/admin/reviews")).json()["images"]
    assert (listed["job_id"], listed["category"], listed["is_kept"]) == (job.id, "violence", True)
    assert listed["scores"] == {"graphic": {"violence": 0.7}}
    seen = await admin.get(f"/v1/admin/reviews/{job.id}/0.png")
    assert seen.content.startswith(b"\x89PNG")
    assert seen.headers["cache-control"] == "no-store"
    assert [action for action, _ in await audit_of(service)] == ["picture_viewed"]


async def test_a_released_picture_is_delivered_once_and_its_original_goes(
    service: Service, connect: Connect, admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    job = await end_job(service, SafetyVerdict.REVIEW)
    decision = {"release": True, "reason": "stage blood"}
    assert (await admin.post(f"/v1/admin/reviews/{job.id}", json=decision)).status_code == 204
    async with connect("ada") as ada:
        read = (await ada.get(f"/v1/jobs/{job.id}")).json()
        assert (read["state"], read["error"]) == ("succeeded", None)
        (image,) = read["images"]
        assert image["verdict"] == "review"
        assert (await ada.get(image["png_url"])).content.startswith(b"\x89PNG")
        assert len((await ada.get("/v1/images")).json()["images"]) == 1
    assert len(contents(tmp_path)) == 2, "the delivered files alone"
    assert (await admin.post(f"/v1/admin/reviews/{job.id}", json=decision)).status_code == 404
    assert (await admin.get("/v1/admin/reviews")).json()["images"] == []
    changes = await service.changes.of_job(job.id, 0)
    assert [change.state for change in changes][-2:] == [JobState.BLOCKED, JobState.SUCCEEDED]
    assert [action for action, _ in await audit_of(service)] == ["picture_released"]


async def test_a_denied_picture_stays_blocked_and_is_not_kept(
    service: Service, connect: Connect, admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    job = await end_job(service, SafetyVerdict.REVIEW)
    decision = {"release": False, "reason": "gore"}
    appeal = {"refusal_id": job.id, "explanation": "stage blood"}
    async with connect("ada") as ada:
        assert (await ada.post("/v1/appeals", json=appeal)).status_code == 404, "nothing is refused yet"
        assert (await admin.post(f"/v1/admin/reviews/{job.id}", json=decision)).status_code == 204
        read = (await ada.get(f"/v1/jobs/{job.id}")).json()
        assert (await ada.post("/v1/appeals", json=appeal)).status_code == 201
    assert (read["state"], read["error"]["code"], read["images"]) == ("blocked", "image_blocked", [])
    assert f"POST /v1/appeals with the refusal {job.id}" in read["error"]["hint"]
    assert contents(tmp_path) == []


@pytest.mark.parametrize(("days", "num_files"), [(0, 0), (7, 2)])
async def test_the_original_of_a_blocked_picture_is_kept_only_where_the_policy_says(
    service: Service, admin: httpx.AsyncClient, tmp_path: Path, days: int, num_files: int
) -> None:
    job = await end_job(service, SafetyVerdict.BLOCK, OriginalsPolicy(blocked_days=days))
    assert job.error is not None
    assert (job.state, job.error.code) == (JobState.BLOCKED, "image_blocked")
    assert ("was not kept" in job.error.message) is (num_files == 0)
    assert len(contents(tmp_path)) == num_files
    assert not any(mark in data for data in contents(tmp_path) for mark in (b"PNG", b"WEBP"))
    answer = await admin.get(f"/v1/admin/reviews/{job.id}/0.png")
    assert answer.status_code == (200 if days else 404)
    assert (await admin.post(f"/v1/admin/reviews/{job.id}", json={"release": True, "reason": "x"})).status_code == 404


async def test_what_nobody_decides_in_time_is_denied_and_originals_end(service: Service, tmp_path: Path) -> None:
    policy = OriginalsPolicy(review_days=2, blocked_days=1)
    waiting = await end_job(service, SafetyVerdict.REVIEW, policy)
    blocked = await end_job(service, SafetyVerdict.BLOCK, policy)

    def reviews_after(days: float) -> Any:
        return replace(service.reviews, policy=policy, now=lambda: service.now() + timedelta(days=days))

    await sweep_held_pictures(reviews_after(0.5))
    assert len(contents(tmp_path)) == 4
    await sweep_held_pictures(reviews_after(1.5))
    assert len(contents(tmp_path)) == 2, f"that of {blocked.id} is gone"
    await sweep_held_pictures(reviews_after(2.5))
    await sweep_held_pictures(reviews_after(2.5))
    assert contents(tmp_path) == []
    row = await service.backing.jobs.get(waiting.id)
    assert row is not None
    assert row.error is not None
    assert row.error.code == "image_blocked"
