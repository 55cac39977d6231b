"""Uploads, and jobs that begin with them: bounds, owners, filter, and the sweep."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from mezzotint.actions.upload import (
    FRESH,
    KEPT,
    read_source,
    sweep_uploads,
    take_along,
    upload,
    upload_key,
)
from mezzotint.domain.claims import Claims
from mezzotint.domain.ids import JobId, Sha256, TenantId, WorkerId
from mezzotint.domain.job import JobState
from mezzotint.domain.refusal import Refusal
from mezzotint.domain.task import Task
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from mezzotint.media import content_hash
from mezzotint.media.uploads import MAX_UPLOAD_BYTES
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.store import Objects, WorkerOffer
from tests.making import make_ending, make_image
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio
LATER = timedelta(hours=1) + KEPT


def picture(colour: str = "red", size: tuple[int, int] = (64, 64), kind: str = "PNG") -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


async def sent(client: httpx.AsyncClient, data: bytes = picture()) -> dict[str, Any]:
    answer = await client.post("/v1/uploads", content=data)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def vary(source: str, **more: object) -> dict[str, object]:
    return {"prompt": "a cat", "task": "variation", "source": source, **more}


async def test_an_upload_is_named_by_its_pixels_and_kept_once(connect: Connect, service: Service) -> None:
    async with connect() as ada:
        first = await sent(ada)
        assert (first["width"], first["height"]) == (64, 64)
        stored = await service.backing.objects.get(upload_key(Sha256(first["id"])))
        assert stored is not None
        assert content_hash(stored) == first["id"]
        assert (await sent(ada))["id"] == first["id"]
        assert (await sent(ada, picture("blue")))["id"] != first["id"]
    assert len(await service.backing.objects.keys("uploads/")) == 2


async def test_a_job_may_begin_with_an_upload(connect: Connect, able: Service) -> None:
    async with connect(served=able) as ada:
        source = await sent(ada)
        answer = await ada.post("/v1/jobs", json=vary(source["id"], strength=0.5))
        assert answer.status_code == 202, answer.text
        parameters = answer.json()["parameters"]
        assert (parameters["task"], parameters["source"], parameters["strength"]) == ("variation", source["id"], 0.5)
        job = await able.backing.jobs.get(JobId(answer.json()["id"]))
    assert job is not None
    assert job.parameters.task is Task.VARIATION


async def test_a_job_may_begin_with_a_picture_of_ones_history(connect: Connect, able: Service) -> None:
    async with connect(served=able) as ada, connect("eve", served=able) as eve:
        made = (await ada.post("/v1/jobs", json={"prompt": "a cat"})).json()
        (job,) = await able.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), able.now(), 30)
        assert job.lease is not None
        image = make_image(job)
        await able.backing.jobs.finish(job.id, job.lease, make_ending(job, images=(image,)))
        for name in (made["id"], image.png, image.webp):
            answer = await ada.post("/v1/jobs", json=vary(name))
            assert answer.json()["parameters"]["source"] == image.png
            stranger = await eve.post("/v1/jobs", json=vary(name))
            assert (stranger.status_code, stranger.json()["error"]["code"]) == (422, "source_not_found")


async def test_nobody_begins_with_somebody_elses_upload(connect: Connect, able: Service) -> None:
    async with connect(served=able) as ada, connect("eve", served=able) as eve:
        source = await sent(ada)
        answer = await eve.post("/v1/jobs", json=vary(source["id"]))
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "source_not_found")
        assert (await eve.get(f"/i/{source['id']}.png")).status_code == 404


async def test_an_upload_is_delivered_to_nobody(connect: Connect) -> None:
    async with connect() as ada:
        source = await sent(ada)
        assert (await ada.get(f"/i/{source['id']}.png")).status_code == 404
        assert (await ada.get("/v1/images")).json()["images"] == []


async def test_an_upload_can_be_deleted_to_make_room(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mezzotint.actions.upload.MAX_UPLOADS", 1)
    async with connect() as ada:
        address = f"/v1/uploads/{(await sent(ada))['id']}"
        assert (await ada.delete(address)).status_code == 204
        again = await ada.delete(address)
        assert (again.status_code, again.json()["error"]["code"]) == (404, "upload_not_found")
        await sent(ada, picture("blue"))


async def test_an_upload_of_an_open_job_cannot_be_deleted(connect: Connect, able: Service) -> None:
    async with connect(served=able) as ada:
        source = await sent(ada)
        job = (await ada.post("/v1/jobs", json=vary(source["id"]))).json()
        answer = await ada.delete(f"/v1/uploads/{source['id']}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "upload_in_use")
        await ada.delete(f"/v1/jobs/{job['id']}")
        assert (await ada.delete(f"/v1/uploads/{source['id']}")).status_code == 204
    assert await able.backing.objects.keys("uploads/") == []


@pytest.mark.parametrize("data", [b"", b"not a picture", picture()[:40], picture(size=(4, 4)), picture(kind="ICO")])
async def test_what_is_no_picture_is_refused_and_not_kept(connect: Connect, service: Service, data: bytes) -> None:
    async with connect() as ada:
        answer = await ada.post("/v1/uploads", content=data)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "upload_invalid")
    assert await service.backing.objects.keys("uploads/") == []


async def test_an_upload_is_read_only_as_far_as_it_may_go(connect: Connect) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(2**20)

    async with connect() as ada:
        for content in (bytes(MAX_UPLOAD_BYTES + 1), endless()):
            answer = await ada.post("/v1/uploads", content=content)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


async def test_an_upload_without_a_token_is_not_even_read(connect: Connect) -> None:
    read = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield b"x"

    async with connect(None) as nobody:
        assert (await nobody.post("/v1/uploads", content=counted())).status_code == 401
    assert read == 0


async def test_an_upload_that_the_filter_blocks_is_not_kept(connect: Connect, service: Service) -> None:
    verdict = ImageVerdict(
        verdict=SafetyVerdict.REVIEW, category=SafetyCategory.VIOLENCE, scores={"a": {"violence": 0.7}}, version="7"
    )
    strict = replace(service, uploader=replace(service.uploader, judge=lambda picture, tier: verdict))
    async with connect(served=strict) as ada, connect("eve", served=strict) as eve:
        answer = await ada.post("/v1/uploads", content=picture())
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (422, "upload_blocked")
        assert SafetyCategory.VIOLENCE.about in error["message"]
        assert f"appeal: POST /v1/appeals with the refusal {error['refusal_id']}" in error["hint"]
        appeal = {"refusal_id": error["refusal_id"], "explanation": "a toy sword"}
        answers = [await one.post("/v1/appeals", json=appeal) for one in (eve, ada)]
        assert [one.status_code for one in answers] == [404, 201]
        assert answers[1].json()["category"] == "violence"
    kept = await service.safety.refusals.get(error["refusal_id"])
    assert kept is not None
    evidence = kept.evidence
    assert (evidence.stage, evidence.scores, evidence.policy_version) == ("picture", {"violence": 0.7}, "7")
    assert await service.backing.objects.keys("uploads/") == []


async def test_a_tenant_has_so_many_uploads_and_no_more(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mezzotint.actions.upload.MAX_UPLOADS", 1)
    async with connect() as ada, connect("bob") as bob:
        await sent(ada)
        answer = await ada.post("/v1/uploads", content=picture("blue"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_uploads")
        await sent(ada)
        await sent(bob)


async def test_a_client_that_edits_picture_after_picture_is_never_refused(
    able: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mezzotint.actions.upload.MAX_UPLOADS", 3)
    ada = Claims(tenant=TenantId("ada"), tier=Tier.PRO, expires_at=None)
    now = datetime.now(UTC)
    for number in range(20):
        taken = await take_along(able.uploader, picture(size=(16 + number, 16)), ada, now + number * FRESH)
        assert not isinstance(taken, Refusal)
    kept = await able.backing.objects.keys("uploads/")
    assert len(kept) == 3
    assert upload_key(taken.content) in kept


async def test_the_uploads_of_a_tenant_have_so_many_bytes_and_no_more(
    connect: Connect, able: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect(served=able) as client:
        await sent(client)
        (name,) = await able.backing.objects.keys("uploads/")
        size = len(await able.backing.objects.get(name) or b"")
        monkeypatch.setattr("mezzotint.actions.upload.MAX_BYTES", 2 * size + 50)
        answer = await client.post("/v1/uploads", content=noise())
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_uploads")
    ada, now = Claims(tenant=TenantId("ada"), tier=Tier.PRO, expires_at=None), datetime.now(UTC)
    for number in range(5):  # the one that came before makes room
        taken = await take_along(able.uploader, picture(f"#0000{number:02x}"), ada, now + 2 * number * FRESH)
        assert not isinstance(taken, Refusal)
    refused = await take_along(able.uploader, noise(), ada, now + 10 * FRESH)
    assert isinstance(refused, Refusal)
    assert name in await able.backing.objects.keys("uploads/"), "what was asked to be kept stays"


def noise() -> bytes:
    """A picture that no encoder makes small."""
    data = BytesIO()
    Image.frombytes("RGB", (64, 64), random.Random(3).randbytes(64 * 64 * 3)).save(data, "PNG")
    return data.getvalue()


@dataclass
class Meanwhile:
    """An object store in which something happens just before each deletion."""

    objects: Objects
    happens: Callable[[], Awaitable[object]]

    async def delete(self, keys: list[str]) -> None:
        await self.happens()
        await self.objects.delete(keys)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.objects, name)


async def test_an_upload_that_comes_while_its_bytes_are_deleted_gets_them_back(able: Service) -> None:
    ada, bob = (Claims(tenant=TenantId(name), tier=Tier.PRO, expires_at=None) for name in ("ada", "bob"))
    now = datetime.now(UTC)
    uploader = able.uploader
    first = await upload(uploader, picture(), ada, now)
    assert not isinstance(first, Refusal)
    late: Any = Meanwhile(able.backing.objects, lambda: upload(uploader, picture(), bob, now + LATER))
    assert await sweep_uploads(replace(uploader, objects=late), now + LATER) == 1
    assert await uploader.uploads.find(ada.tenant, first.content, now) is None
    assert await uploader.uploads.find(bob.tenant, first.content, now) is not None
    assert await read_source(able.backing.objects, first.content) is not None


async def test_an_upload_that_nothing_uses_is_swept(connect: Connect, service: Service) -> None:
    uploader, now = service.uploader, datetime.now(UTC)
    async with connect() as ada:
        await sent(ada)
    assert await sweep_uploads(uploader, now) == 0
    assert await sweep_uploads(uploader, now + LATER) == 1
    assert await service.backing.objects.keys("uploads/") == []


async def test_an_upload_of_an_open_job_outlives_its_time(connect: Connect, able: Service) -> None:
    async with connect(tier=Tier.PRO, served=able) as ada:
        source, mask = await sent(ada), await sent(ada, picture("white"))
        body = {"prompt": "a cat", "task": "inpaint", "source": source["id"], "mask": mask["id"]}
        job = (await ada.post("/v1/jobs", json=body)).json()
        assert await sweep_uploads(able.uploader, datetime.now(UTC) + LATER) == 0
        assert await read_source(able.backing.objects, mask["id"]) is not None
        assert (await ada.delete(f"/v1/jobs/{job['id']}")).json()["state"] == JobState.CANCELLED
        assert await sweep_uploads(able.uploader, datetime.now(UTC) + LATER) == 2


async def test_the_bytes_of_two_owners_go_with_the_last_of_them(connect: Connect, service: Service) -> None:
    uploader, now = service.uploader, datetime.now(UTC)
    async with connect() as ada, connect("bob") as bob:
        await sent(ada)
        source = await sent(bob)
    later = now + LATER
    assert await uploader.uploads.find(TenantId("bob"), source["id"], later) is not None
    assert await sweep_uploads(uploader, later) == 0
    assert await read_source(service.backing.objects, source["id"]) is not None


async def test_a_thin_upload_whose_upscale_no_format_can_hold_makes_no_job(connect: Connect, able: Service) -> None:
    async with connect(served=replace(able, admission=replace(able.admission, upscaler="net"))) as mallory:
        thin = await sent(mallory, picture(size=(8200, 8)))
        answer = await mallory.post(
            "/v1/jobs", json={"prompt": "", "task": "upscale", "source": thin["id"], "scale": 2}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "size_invalid")
        refused = await mallory.post("/v1/uploads", content=picture(size=(16_384, 8)))
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "upload_invalid")
        assert (await mallory.get("/v1/jobs")).json()["jobs"] == []
