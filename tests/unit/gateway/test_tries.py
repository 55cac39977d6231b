"""Compatible APIs: each first try is a new picture, and a marked retry meets the jobs of the try that it repeats."""

import asyncio
from typing import Any

import httpx
import pytest

from mezzotint.actions.cancel import cancel
from mezzotint.actions.open_tries import OpenTries
from mezzotint.domain.ids import JobId, TenantId
from mezzotint.gateway import Service
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio
GENERATE, TXT2IMG = "/v1/images/generations", "/sdapi/v1/txt2img"
FIRST, RETRY, SECOND_RETRY = ({"x-stainless-retry-count": number} for number in "012")
CAT = {"prompt": "a cat"}


async def list_jobs(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    return list((await client.get("/v1/jobs")).json()["jobs"])


async def send(
    client: httpx.AsyncClient,
    service: Service,
    headers: dict[str, str],
    *bodies: dict[str, object],
    path: str = GENERATE,
) -> list[dict[str, Any]]:
    """Send the requests together, and cancel the jobs that they wait for. Returns all jobs made so far."""
    sent = [asyncio.create_task(client.post(path, json=body, headers=headers)) for body in bodies]
    async with asyncio.timeout(60):
        while not all(one.done() for one in sent):
            for job in await list_jobs(client):
                await cancel(service.backing, JobId(job["id"]), service.now())
            await asyncio.wait(sent, timeout=0.02)  # nobody draws here: a request waits until its jobs are cancelled
    assert [(await one).status_code for one in sent] == [409] * len(sent), [(await one).text for one in sent]
    return await list_jobs(client)


@pytest.mark.parametrize("path", [GENERATE, TXT2IMG])
@pytest.mark.parametrize("headers", [FIRST, {}])
async def test_equal_first_tries_that_come_together_are_so_many_pictures(
    connect: Connect, service: Service, path: str, headers: dict[str, str]
) -> None:
    async with connect() as ada:
        jobs = await send(ada, service, headers, *[CAT] * 4, path=path)
    assert len({job["parameters"]["seed"] for job in jobs}) == 4


async def test_retries_of_cut_tries_meet_each_the_job_of_its_own(connect: Connect, service: Service) -> None:
    async with connect() as ada:
        assert len(await send(ada, service, FIRST, CAT, CAT)) == 2
        for headers in (RETRY, SECOND_RETRY):
            assert len(await send(ada, service, headers, CAT, CAT)) == 2
        assert len(await send(ada, service, RETRY, CAT)) == 3, "its first try never arrived"
        assert len(await send(ada, service, SECOND_RETRY, CAT)) == 3


@pytest.mark.parametrize(
    "other", [{"user": "u2"}, {"seed": 1}, {"negative_prompt": "dogs"}, {"num_inference_steps": 9}]
)
async def test_a_retry_is_of_the_same_wish_alone(connect: Connect, service: Service, other: dict[str, object]) -> None:
    async with connect() as ada:
        await send(ada, service, FIRST, {**CAT, "user": "u1"})
        assert len(await send(ada, service, RETRY, {**CAT, "user": "u1", **other})) == 2


@pytest.mark.parametrize("path", [GENERATE, TXT2IMG])
async def test_requests_with_one_key_are_one_picture(connect: Connect, service: Service, path: str) -> None:
    async with connect() as ada:
        assert len(await send(ada, service, {"Idempotency-Key": "k1"}, *[CAT] * 4, path=path)) == 1


async def test_a_retry_waits_for_the_first_try_that_is_being_admitted() -> None:
    tries, heard = OpenTries(), list[str]()
    may_end = asyncio.Event()

    async def take(name: str, *, is_first: bool) -> None:
        async with tries.take_turn(TenantId("ada"), "try:a:", is_first=is_first):
            heard.append(name)
            if is_first:
                await may_end.wait()

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(take("first", is_first=True))
        await asyncio.sleep(0)
        group.create_task(take("another first", is_first=True))
        retry = group.create_task(take("retry", is_first=False))
        await asyncio.wait([retry], timeout=0.05)
        assert heard == ["first", "another first"]
        may_end.set()
    assert heard == ["first", "another first", "retry"]
    assert not tries._ends
