from dataclasses import replace

import pytest

from mezzotint.actions.finish import image_key
from mezzotint.domain.ids import Sha256, WorkerId
from mezzotint.gateway import Service
from mezzotint.store import WorkerOffer
from tests.making import NOW, make_ending, make_image, make_job
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio


async def test_a_published_picture_is_delivered_for_ever(connect: Connect, service: Service) -> None:
    job = make_job()
    picture = make_image(job)
    await service.backing.jobs.add(job)
    (taken,) = await service.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    assert taken.lease is not None
    await service.backing.objects.put(image_key(picture.webp, "webp"), b"RIFF")
    async with connect(None) as nobody:
        address = f"/i/{picture.webp}.webp"
        assert (await nobody.get(address)).status_code == 404, "stored is not published"
        await service.backing.jobs.finish(job.id, taken.lease, make_ending(job, images=(picture,)))
        answer = await nobody.get(address)
        assert (answer.status_code, answer.content) == (200, b"RIFF")
        assert answer.headers["content-type"] == "image/webp"
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "name", ["..%2fsecret", "a" * 64 + ".webp", "A" * 64 + ".png", "a" * 64, "a" * 64 + ".svg", "%00.png"]
)
async def test_any_other_name_is_not_found(connect: Connect, service: Service, name: str) -> None:
    await service.backing.objects.put(image_key(Sha256("b" * 64), "png"), b"unpublished")
    async with connect(None) as nobody:
        answer = await nobody.get(f"/i/{name}")
        assert (answer.status_code, answer.json()["error"]["code"]) in {(404, "image_not_found"), (404, "not_found")}


async def test_history_is_searched_by_words_of_the_prompt(connect: Connect, service: Service) -> None:
    for number, prompt in enumerate(("A Red apple", "a green apple 100%", "a red_car")):
        job = replace(make_job(), raw_prompt=prompt)
        await service.backing.jobs.add(job)
        (taken,) = await service.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
        assert taken.lease is not None
        picture = make_image(job, content=f"{number}a")
        await service.backing.jobs.finish(job.id, taken.lease, make_ending(job, images=(picture,)))
    async with connect() as ada, connect("eve") as eve:

        async def found(q: str) -> list[str]:
            answer = await ada.get("/v1/images", params={"q": q})
            assert answer.status_code == 200
            return [image["prompt"] for image in answer.json()["images"]]

        assert await found("apple") == ["a green apple 100%", "A Red apple"]
        assert await found("APPLE red") == ["A Red apple"]
        assert await found("100%") == ["a green apple 100%"]
        assert await found("d_c") == ["a red_car"]
        assert await found("%") == ["a green apple 100%"]
        assert await found("pear") == []
        assert len(await found("  ")) == 3
        assert (await eve.get("/v1/images", params={"q": "apple"})).json()["images"] == []
