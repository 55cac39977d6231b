"""A repeated request finds the jobs that it made."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from mezzotint.domain.ids import TenantId, WorkerId
from mezzotint.domain.job import JobState
from mezzotint.gateway import Service
from mezzotint.store import WorkerOffer
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio
APPLE = {"prompt": "a red apple"}
KEY = {"Idempotency-Key": "4a1b6c8e"}
RETRY = {"x-stainless-retry-count": "1"}


async def post(client: httpx.AsyncClient, body: object = APPLE, **headers: str) -> tuple[int, str]:
    answer = await client.post(
        "/v1/jobs", json=body, headers={name.replace("_", "-"): it for name, it in headers.items()}
    )
    return answer.status_code, answer.json().get("id") or answer.json()["error"]["code"]


async def num_jobs(client: httpx.AsyncClient) -> int:
    return len((await client.get("/v1/jobs")).json()["jobs"])


async def end(service: Service, id: str) -> None:
    (job,) = [job for _, job in await service.backing.jobs.of_tenant(TenantId("ada"), 10, None) if job.id == id]
    assert await service.backing.jobs.cancel(job.id, datetime.now(UTC))


async def test_the_same_key_and_body_are_one_job_even_after_its_end(connect: Connect, service: Service) -> None:
    async with connect() as ada:
        status, id = await post(ada, **KEY)
        assert status == 202
        assert await post(ada, **KEY) == (200, id)
        await end(service, id)
        assert await post(ada, **KEY) == (200, id)
        assert await num_jobs(ada) == 1


async def test_the_same_key_with_another_body_is_a_mistake_not_to_be_retried(connect: Connect) -> None:
    async with connect() as ada:
        await post(ada, **KEY)
        answer = await ada.post("/v1/jobs", json={"prompt": "a cat"}, headers=KEY)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "idempotency_key_reused")
        assert answer.headers["x-should-retry"] == "false"
        assert await num_jobs(ada) == 1


async def test_a_refused_request_does_not_use_up_its_key(connect: Connect) -> None:
    async with connect() as ada:
        assert await post(ada, {"prompt": ""}, **KEY) == (422, "prompt_empty")
        assert (await post(ada, APPLE, **KEY))[0] == 202


async def test_a_key_belongs_to_its_tenant(connect: Connect) -> None:
    async with connect("ada") as ada, connect("eve") as eve:
        _, adas = await post(ada, **KEY)
        status, eves = await post(eve, {"prompt": "a cat"}, **KEY)
        assert (status, eves != adas) == (202, True)


async def test_a_key_is_forgotten_after_a_day(connect: Connect, service: Service) -> None:
    async with connect() as ada:
        _, id = await post(ada, **KEY)
    tomorrow = replace(service, now=lambda: datetime.now(UTC) + timedelta(hours=25))
    async with connect(served=tomorrow) as ada:
        token = service.issuer.issue(TenantId("ada"), "free", datetime.now(UTC), timedelta(days=2))  # type: ignore[arg-type]
        ada.headers["Authorization"] = f"Bearer {token}"
        status, other = await post(ada, **KEY)
        assert (status, other != id) == (202, True)
        assert await service.admission.submissions.sweep(tomorrow.now() + timedelta(hours=25)) == 1


async def test_without_a_key_the_same_request_meets_the_job_under_way(connect: Connect, service: Service) -> None:
    async with connect() as ada:
        _, id = await post(ada)
        assert await post(ada) == (200, id)
        assert (await post(ada, {"prompt": "a cat"}))[0] == 202
        await end(service, id)
        status, other = await post(ada)
        assert (status, other != id) == (202, True), "asking again for what ended means another picture"


async def test_a_marked_retry_meets_the_job_even_if_it_ended(connect: Connect, service: Service) -> None:
    async with connect() as ada:
        _, id = await post(ada)
        await end(service, id)
        assert await post(ada, **RETRY) == (200, id)


async def test_new_makes_another_picture_unless_the_seed_is_fixed(connect: Connect) -> None:
    async with connect() as ada:
        ids = {(await post(ada, {**APPLE, "new": True}))[1] for _ in range(3)}
        assert len(ids) == 3
        for fixed in ({"prompt": "a red apple --seed 7", "new": True}, {**APPLE, "seed": 7, "new": True}):
            status, id = await post(ada, fixed)
            assert status == 202
            assert await post(ada, fixed) == (200, id)


async def test_after_the_window_the_same_request_makes_a_new_job(connect: Connect, service: Service) -> None:
    async with connect() as ada:
        _, id = await post(ada)
    later = replace(service, now=lambda: datetime.now(UTC) + timedelta(seconds=61))
    async with connect(served=later) as ada:
        status, other = await post(ada)
        assert (status, other != id) == (202, True)


@pytest.mark.parametrize("headers", [KEY, {}, RETRY])
async def test_twenty_that_come_together_make_one_job(connect: Connect, headers: dict[str, str]) -> None:
    async with connect() as ada:
        answers = await asyncio.gather(*(post(ada, **headers) for _ in range(20)))
        assert len({id for _, id in answers}) == 1
        assert sorted(status for status, _ in answers) == [200] * 19 + [202]
        assert await num_jobs(ada) == 1


async def test_a_request_for_several_pictures_is_repeated_as_a_whole(connect: Connect) -> None:
    body = {"prompt": "a {red, green} apple"}
    async with connect() as ada:
        first = (await ada.post("/v1/jobs", json=body, headers=KEY)).json()
        again = (await ada.post("/v1/jobs", json=body, headers=KEY)).json()
        assert [job["id"] for job in again["jobs"]] == [job["id"] for job in first["jobs"]]
        assert len(again["jobs"]) == 2


async def test_a_repetition_is_answered_though_the_tenant_has_as_many_jobs_as_it_may(connect: Connect) -> None:
    async with connect() as ada:
        _, id = await post(ada, **KEY)
        for seed in range(19):
            await post(ada, {**APPLE, "seed": seed})
        assert await post(ada, {"prompt": "a cat"}) == (429, "too_many_open_jobs")
        assert await post(ada, **KEY) == (200, id)


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
async def test_an_unusable_key_is_refused(connect: Connect, key: str) -> None:
    async with connect() as ada:
        answer = await ada.post("/v1/jobs", json=APPLE, headers={"Idempotency-Key": key.encode()})  # type: ignore[dict-item]
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "idempotency_key_invalid")
        assert await num_jobs(ada) == 0


async def test_the_job_is_shown_as_it_is_now(connect: Connect, service: Service) -> None:
    async with connect() as ada:
        await post(ada, **KEY)
        await service.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), datetime.now(UTC), 30)
        assert (await ada.post("/v1/jobs", json=APPLE, headers=KEY)).json()["state"] == JobState.RUNNING
