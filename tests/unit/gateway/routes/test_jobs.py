"""Routes of jobs: what they take, what they refuse and how, and that nobody reads what is not theirs."""

import asyncio
import json
from dataclasses import replace
from datetime import datetime

import pytest

from mezzotint.actions.claim import claim
from mezzotint.domain.ids import JobId, WorkerId
from mezzotint.domain.job import JobError, JobState
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from mezzotint.gateway.forecast import Forecast
from mezzotint.policy.fair_queue.overload import Load, Pressure
from mezzotint.store import WorkerOffer
from tests.making import NOW, make_ending, make_image, make_job
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio


async def test_a_prompt_becomes_a_queued_job(connect: Connect) -> None:
    async with connect(tier=Tier.PRO) as ada:
        answer = await ada.post("/v1/jobs", json={"prompt": "a red apple --seed 7 --no leaf --steps 60 --ar 3:2"})
        assert answer.status_code == 202
        job = answer.json()
        assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
        assert (job["state"], job["step"], job["num_steps"], job["position"]) == ("queued", 0, 60, 0)
        assert (job["images"], job["error"]) == ([], None)
        parameters = job["parameters"]
        assert (parameters["prompt"], parameters["negative_prompt"], parameters["seed"]) == ("a red apple", "leaf", 7)
        assert parameters["width"] > parameters["height"]
        assert job.pop("jobs") == [job]
        assert (await ada.get(answer.headers["Location"])).json() == job
        assert (await ada.get("/v1/jobs")).json()["jobs"] == [job]


BAD = [
    ({"prompt": ""}, 422, "prompt_empty"),
    ({"prompt": "   "}, 422, "prompt_empty"),
    ({"prompt": "--seed 7"}, 422, "prompt_empty"),
    ({"prompt": "a" * 2001}, 422, "prompt_too_long"),
    ({"prompt": "a\x01b"}, 422, "prompt_control_character"),
    ({"prompt": "a\x00b"}, 422, "field_invalid"),
    ({"prompt": "a\ud800b"}, 422, None),
    ({"prompt": "a cat --nonsense 3"}, 422, "parameter_unknown"),
    ({"prompt": "a cat --weird 20"}, 422, "parameter_unsupported"),
    ({"prompt": "a cat --seed banana"}, 422, "parameter_invalid"),
    ({"prompt": "a cat --seed 1 --seed 2"}, 422, "parameter_repeated"),
    ({"prompt": "a cat --seed 1", "seed": 2}, 422, "parameter_repeated"),
    ({"prompt": "a cat --steps 31"}, 403, "steps_over_budget"),
    ({"prompt": "a cat", "num_steps": 31}, 403, "steps_over_budget"),
    ({"prompt": "a cat", "num_steps": 0}, 422, "parameter_invalid"),
    ({"prompt": "a cat", "width": 65, "height": 64}, 422, "size_invalid"),
    ({"prompt": "a cat", "width": 64}, 422, "size_invalid"),
    ({"prompt": "a cat", "width": 100000, "height": 100000}, 422, "size_invalid"),
    ({"prompt": "a cat", "seed": -1}, 422, "parameter_invalid"),
    ({"prompt": "a cat", "seed": "7"}, 422, "field_invalid"),
    ({"prompt": 7}, 422, "field_invalid"),
    ({"prompt": None}, 422, "field_invalid"),
    ({}, 422, "field_invalid"),
    ([], 422, "field_invalid"),
    ({"prompt": "a cat", "step_budget": 500}, 422, "field_unknown"),
    ({"prompt": "a cat", "\ud800": 1}, 422, "field_invalid"),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD)
async def test_bad_input_is_refused_with_code_message_and_hint_and_no_job(
    connect: Connect, body: object, status: int, code: str | None
) -> None:
    async with connect() as ada:
        answer = await ada.post("/v1/jobs", content=json.dumps(body), headers={"content-type": "application/json"})
        assert answer.status_code == status
        error = answer.json()["error"]
        assert error["code"] == (code or error["code"])
        assert error["message"]
        assert error["hint"]
        assert (await ada.get("/v1/jobs")).json()["jobs"] == []


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "body_missing"),
        (b"{", 400, "body_invalid"),
        (b'{"prompt": "\xff\xfe"}', 400, "body_invalid"),
        (b'{"prompt": ' + b"[" * 20000, 422, "field_invalid"),
        (b'{"prompt": "x", "seed": ' + b"9" * 5000 + b"}", 422, "field_invalid"),
        (b'{"prompt": "' + b"a" * 70000 + b'"}', 413, "body_too_large"),
    ],
)
async def test_a_broken_body_is_refused(connect: Connect, content: bytes, status: int, code: str) -> None:
    async with connect() as ada:
        answer = await ada.post("/v1/jobs", content=content, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_a_body_of_undeclared_length_is_limited_too(connect: Connect) -> None:
    async def endless() -> object:
        for _ in range(100):
            yield b"a" * 1024

    async with connect() as ada:
        answer = await ada.post("/v1/jobs", content=endless())  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/jobs"),
        ("GET", "/v1/jobs"),
        ("GET", "/v1/jobs/{id}"),
        ("GET", "/v1/jobs/{id}/events"),
        ("DELETE", "/v1/jobs/{id}"),
        ("GET", "/v1/images"),
        ("GET", "/v1/me"),
    ],
)
async def test_routes_of_a_tenant_want_a_valid_token(
    connect: Connect, service: Service, method: str, path: str
) -> None:
    job = make_job()
    await service.backing.jobs.add(job)
    async with connect(None) as nobody:
        answer = await nobody.request(method, path.format(id=job.id))
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token_missing")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        answer = await nobody.request(method, path.format(id=job.id), headers={"Authorization": "Bearer x.y.z"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token_invalid")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/jobs/{id}"), ("GET", "/v1/jobs/{id}/events"), ("DELETE", "/v1/jobs/{id}")]
)
async def test_somebody_elses_job_is_not_found_and_stays_untouched(
    connect: Connect, service: Service, method: str, path: str
) -> None:
    job = make_job(tenant="ada")
    await service.backing.jobs.add(job)
    async with connect("eve", Tier.PRO) as eve:
        answer = await eve.request(method, path.format(id=job.id))
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "job_not_found")
    assert await service.backing.jobs.get(job.id) == job


async def test_lists_hold_only_what_is_mine(connect: Connect, service: Service) -> None:
    job = make_job(tenant="ada")
    await service.backing.jobs.add(job)
    (taken,) = await service.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    assert taken.lease is not None
    await service.backing.jobs.finish(job.id, taken.lease, make_ending(job, images=(make_image(job),)))
    async with connect("eve") as eve, connect("ada") as ada:
        assert (await eve.get("/v1/jobs")).json()["jobs"] == []
        assert (await eve.get("/v1/images")).json()["images"] == []
        assert [found["id"] for found in (await ada.get("/v1/jobs")).json()["jobs"]] == [job.id]
        (picture,) = (await ada.get("/v1/images")).json()["images"]
        assert (picture["job_id"], picture["prompt"], picture["seed"]) == (job.id, job.raw_prompt, 4294967295)


@pytest.mark.parametrize("id", ["job_0", "..%2f..%2fsecret", "%00", "job_" + "0" * 24, "x" * 60])
async def test_nonsense_ids_are_not_found(connect: Connect, id: str) -> None:
    async with connect() as ada:
        answer = await ada.get(f"/v1/jobs/{id}")
        assert answer.status_code == 404


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=-1", "cursor=99999999999999999999"]
)
async def test_bad_paging_is_refused(connect: Connect, query: str) -> None:
    async with connect() as ada:
        answer = await ada.get(f"/v1/jobs?{query}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "field_invalid")


async def test_cursor_pages_cover_all_jobs_once(connect: Connect, service: Service) -> None:
    jobs = [make_job() for _ in range(5)]
    for job in jobs:
        await service.backing.jobs.add(job)
    seen, cursor = [], ""
    async with connect() as ada:
        for _ in range(4):
            page = (await ada.get(f"/v1/jobs?limit=2&cursor={cursor}")).json()
            seen += [job["id"] for job in page["jobs"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
    assert seen == [job.id for job in reversed(jobs)]


async def test_jobs_are_listed_by_their_states(connect: Connect, service: Service) -> None:
    jobs = [make_job() for _ in range(6)]
    for job in jobs:
        await service.backing.jobs.add(job)
    for job in jobs[1::2]:
        await service.backing.jobs.cancel(job.id, service.now())
    claimed = (await claim(service.backing, WorkerOffer(worker=WorkerId("w")), service.now(), 30))[0]
    async with connect() as ada:

        async def listed(query: str) -> list[str]:
            ids: list[str] = []
            cursor = ""
            while cursor is not None:
                page = (await ada.get(f"/v1/jobs?limit=2&cursor={cursor}&{query}")).json()
                ids += [job["id"] for job in page["jobs"]]
                cursor = page["next_cursor"]
            return ids

        newest_first = [job.id for job in reversed(jobs)]
        assert await listed("state=cancelled") == newest_first[::2]
        assert await listed("state=queued&state=running") == newest_first[1::2]
        assert await listed("state=running") == [claimed.id]
        answer = await ada.get("/v1/jobs?state=asleep")
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, "state")


async def test_too_many_open_jobs_are_told_to_wait(connect: Connect, service: Service) -> None:
    for _ in range(20):
        await service.backing.jobs.add(make_job())
    async with connect() as ada:
        answer = await ada.post("/v1/jobs", json={"prompt": "a cat"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_open_jobs")
        assert int(answer.headers["Retry-After"]) > 0


async def test_an_overfull_queue_tells_free_when_to_come_back_and_takes_pro(connect: Connect, service: Service) -> None:
    async def read(now: datetime) -> Pressure:
        return Pressure(num_queued=900, p99_wait_s=400.0)

    overload = service.admission.overload
    overload.load, overload.read = Load.SHEDDING, read
    async with connect() as ada, connect(tier=Tier.PRO) as pro:
        answer = await ada.post("/v1/jobs", json={"prompt": "a cat"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "overloaded")
        assert answer.headers["Retry-After"] == "200"
        assert (await pro.post("/v1/jobs", json={"prompt": "a cat"})).status_code == 202


async def test_a_long_poll_answers_when_the_job_ends(connect: Connect, service: Service) -> None:
    job = make_job()
    await service.backing.jobs.add(job)
    async with connect() as ada:
        waiting = asyncio.create_task(ada.get(f"/v1/jobs/{job.id}?wait=30"))
        while not service.backing.bus.is_watched(job.id):
            await asyncio.sleep(0)
        answer = await ada.delete(f"/v1/jobs/{job.id}")
        assert answer.json()["state"] == "cancelled"
        assert (await waiting).json()["state"] == "cancelled"


async def test_cancelling_twice_changes_nothing(connect: Connect, service: Service) -> None:
    job = make_job()
    await service.backing.jobs.add(job)
    async with connect() as ada:
        first = (await ada.delete(f"/v1/jobs/{job.id}")).json()
        assert (await ada.delete(f"/v1/jobs/{job.id}")).json() == first


async def test_events_of_an_ended_job_tell_its_end_and_close(connect: Connect, service: Service) -> None:
    job = make_job()
    await service.backing.jobs.add(job)
    (taken,) = await service.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    assert taken.lease is not None
    error = JobError(code="not_finite", message="NaN at step 3", hint="another seed")
    await service.backing.jobs.finish(job.id, taken.lease, replace(make_ending(job, JobState.FAILED), error=error))
    async with connect() as ada:
        text = (await ada.get(f"/v1/jobs/{job.id}/events")).text
    assert text.startswith("id: 3\nevent: failed\ndata: {")
    assert text.count("event:") == 1
    assert '"code":"not_finite"' in text


async def test_choices_and_repeats_are_answered_with_every_job_and_the_first_on_top(connect: Connect) -> None:
    async with connect() as ada:
        answer = await ada.post("/v1/jobs", json={"prompt": "a {red, green} cat --repeat 2"})
        assert answer.status_code == 202
        made = answer.json()
        assert [job["prompt"] for job in made["jobs"]] == ["a red cat"] * 2 + ["a green cat"] * 2
        assert {job["batch"] for job in made["jobs"]} == {made["id"]}
        assert made["jobs"][0] == {name: value for name, value in made.items() if name != "jobs"}
        assert answer.headers["Location"] == f"/v1/jobs/{made['id']}"
        assert len((await ada.get("/v1/jobs")).json()["jobs"]) == 4


async def test_a_job_alone_is_its_own_answer(connect: Connect) -> None:
    async with connect() as ada:
        made = (await ada.post("/v1/jobs", json={"prompt": "a cat"})).json()
        assert made["batch"] is None
        assert [job["id"] for job in made["jobs"]] == [made["id"]]


async def test_a_queued_job_tells_its_place_and_its_probable_wait(connect: Connect, service: Service) -> None:
    async with connect() as ada:
        first = (await ada.post("/v1/jobs", json={"prompt": "a cat"})).json()
        assert (first["position"], first["estimated_wait_s"]) == (0, None), "nothing has ended yet"
    done = make_job(tenant="eve", tier=Tier.PRO)
    await service.backing.jobs.add(done)
    for taken in await service.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30, most=9):
        assert taken.lease is not None
        ending = replace(make_ending(taken), at=service.now())
        await service.backing.jobs.finish(taken.id, taken.lease, ending)
    anew = replace(service, forecast=Forecast(jobs=service.backing.jobs))
    async with connect(served=anew) as ada:
        second = (await ada.post("/v1/jobs", json={"prompt": "a dog"})).json()
        assert (second["position"], second["estimated_wait_s"]) == (0, 150.0), "two ended in five minutes"


@pytest.mark.parametrize(
    ("body", "scope"),
    [
        ({"prompt": "a cat --seed 7"}, "own"),
        ({"prompt": "a cat", "seed": 7}, "own"),
        ({"prompt": "a cat"}, None),
        ({"prompt": "a cat", "seed": 7, "new": True}, None),
    ],
)
async def test_only_a_fixed_seed_without_new_may_be_answered_with_a_stored_picture(
    connect: Connect, service: Service, body: dict[str, object], scope: str | None
) -> None:
    async with connect("ada") as ada:
        made = (await ada.post("/v1/jobs", json=body)).json()
    job = await service.backing.jobs.get(JobId(made["id"]))
    assert job is not None
    assert (job.reuse_scope, made["reused"], made["reused_from"]) == (scope, False, None)


async def test_a_speed_that_the_model_has_not_is_refused_by_name(connect: Connect) -> None:
    async with connect("ada") as ada:
        refused = await ada.post("/v1/jobs", json={"prompt": "a cat", "speed": "fast"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "parameter_unsupported")
        made = (await ada.post("/v1/jobs", json={"prompt": "a cat", "speed": "exact"})).json()
        assert (made["parameters"]["speed"], made["num_passes"], made["num_forecast"]) == ("exact", 0, 0)
        assert (await ada.post("/v1/jobs", json={"prompt": "a cat", "speed": "turbo"})).status_code == 422
