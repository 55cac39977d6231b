"""What operators see and change, and that nobody else does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from mezzotint.actions.maintain import update_lane_weights
from mezzotint.actions.screen import TextScreen
from mezzotint.domain.claims import Role
from mezzotint.domain.ids import TenantId, WorkerId
from mezzotint.domain.job import JobError, JobState
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from mezzotint.policy.safety.text_verdict import TextStage, TextVerdict
from mezzotint.store import WorkerOffer
from tests.making import NOW, make_ending, make_image, make_job, make_text_verdict
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio


@pytest.fixture
def admin(service: Service, connect: Connect) -> httpx.AsyncClient:
    client = connect(None)
    token = service.issuer.issue(TenantId("ops"), Tier.PRO, datetime.now(UTC), timedelta(minutes=5), role=Role.ADMIN)
    client.headers["Authorization"] = f"Bearer {token}"
    return client


async def test_tenants_are_made_listed_moved_and_shut_out(admin: httpx.AsyncClient, connect: Connect) -> None:
    async with admin, connect("acme") as acme:
        made = await admin.post("/v1/admin/tenants", json={"id": "acme", "tier": "paid"})
        assert (made.status_code, made.json()["tier"]) == (201, "paid")
        again = await admin.post("/v1/admin/tenants", json={"id": "acme"})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "name_taken")
        changed = await admin.patch("/v1/admin/tenants/acme", json={"tier": "pro", "is_disabled": True})
        assert (changed.json()["tier"], changed.json()["disabled_at"] is not None) == ("pro", True)
        assert (await acme.get("/v1/me")).json()["error"]["code"] == "tenant_disabled"
        await admin.patch("/v1/admin/tenants/acme", json={"is_disabled": False})
        assert (await acme.get("/v1/me")).status_code == 200
        for name in "bcd":
            await admin.post("/v1/admin/tenants", json={"id": name})
        seen, after = [], ""
        while after is not None:
            page = (await admin.get(f"/v1/admin/tenants?limit=2&after={after}")).json()
            seen += [tenant["id"] for tenant in page["tenants"]]
            after = page["next_after"]
        assert seen == ["acme", "b", "c", "d"]


async def test_a_tenant_is_left_out_of_reuse_and_let_in_again(admin: httpx.AsyncClient, service: Service) -> None:
    async with admin:
        await admin.post("/v1/admin/tenants", json={"id": "acme"})
        for is_on in (False, True):
            changed = await admin.patch("/v1/admin/tenants/acme", json={"reuses_pictures": is_on})
            assert changed.json()["reuses_pictures"] is is_on
            kept = await service.accounts.tenants.get(TenantId("acme"))
            assert kept is not None
            assert kept.reuses_pictures is is_on


@pytest.mark.parametrize("name", ["a b", "-a", "", "a/b", "x" * 65])
async def test_names_that_no_tenant_can_have_are_refused(admin: httpx.AsyncClient, name: str) -> None:
    async with admin:
        assert (await admin.post("/v1/admin/tenants", json={"id": name})).status_code == 422
        assert (await admin.patch(f"/v1/admin/tenants/{name}", json={})).status_code in {404, 405, 422}


async def test_everybodys_jobs_are_listed_by_state_and_tenant_and_can_be_cancelled(
    admin: httpx.AsyncClient, service: Service
) -> None:
    adas, eves = make_job(tenant="ada"), make_job(tenant="eve")
    await service.backing.jobs.add(adas, eves)
    async with admin:
        cancelled = (await admin.delete(f"/v1/admin/jobs/{eves.id}")).json()
        assert (cancelled["state"], cancelled["tenant"]) == ("cancelled", "eve")

        async def listed(query: str) -> list[str]:
            return [job["id"] for job in (await admin.get(f"/v1/admin/jobs?{query}")).json()["jobs"]]

        assert await listed("") == [eves.id, adas.id]
        assert await listed("state=queued") == [adas.id]
        assert await listed("tenant=eve") == [eves.id]
        assert await listed("tenant=eve&state=queued") == []
        assert (await admin.get(f"/v1/admin/jobs/{adas.id}")).json()["tenant"] == "ada"
        assert (await admin.get("/v1/admin/jobs/job_0")).status_code == 404
        assert (await admin.get("/v1/admin/jobs?state=lost")).status_code == 422


async def test_what_the_filters_found_in_an_accepted_job_is_kept_for_admins_alone(
    admin: httpx.AsyncClient, service: Service, connect: Connect
) -> None:
    def judge(prompt: str, negative_prompt: str = "", tier: Tier = Tier.FREE) -> TextVerdict:
        return make_text_verdict(stage=TextStage.STRONG, scores={"violence": len(prompt) / 100}, heads_version="h7")

    served = replace(service, admission=replace(service.admission, screen=TextScreen(judge=judge)))
    async with admin, connect("ada", served=served) as ada:
        made = (await ada.post("/v1/jobs", json={"prompt": "a {blue, red} lake"})).json()
        first, second = [job["id"] for job in made["jobs"]]
        (job,) = await service.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
        assert job.lease is not None
        image = replace(make_image(job), scores={"graphic": {"violence": 0.1}}, filter_version="f7", pdq="ab" * 32)
        await service.backing.jobs.finish(job.id, job.lease, make_ending(job, images=(image,)))
        views = [(await admin.get(f"/v1/admin/jobs/{id}")).json() for id in (first, second)]
        assert [view["screening"]["scores"] for view in views] == [{"violence": 0.11}, {"violence": 0.1}]
        versions = {name: views[0]["screening"][name] for name in ("policy_version", "heads_version", "stage")}
        assert versions == {"policy_version": "1", "heads_version": "h7", "stage": "strong"}
        (picture,) = next(view for view in views if view["id"] == job.id)["picture_verdicts"]
        assert (picture["scores"], picture["filter_version"], picture["pdq"]) == (image.scores, "f7", image.pdq)
        own = (await ada.get(f"/v1/jobs/{first}")).json()
        assert not {"screening", "picture_verdicts"} & set(own), "scores teach how to get around the filter"


@pytest.mark.parametrize("tenant", [None, "ada"])
async def test_others_are_kept_out(connect: Connect, tenant: str | None) -> None:
    async with connect(tenant, Tier.PRO) as other:
        for method, path in (
            ("GET", "/v1/admin/tenants"),
            ("POST", "/v1/admin/tenants"),
            ("PATCH", "/v1/admin/tenants/ada"),
            ("GET", "/v1/admin/jobs"),
            ("GET", "/v1/admin/jobs/job_0"),
            ("DELETE", "/v1/admin/jobs/job_0"),
        ):
            answer = await other.request(method, path, json={"id": "x"} if method in {"POST", "PATCH"} else None)
            assert answer.status_code == (401 if tenant is None else 403), path


async def test_a_dead_letter_is_listed_with_its_reason_and_retried_once(
    admin: httpx.AsyncClient, service: Service
) -> None:
    job = make_job()
    await service.backing.jobs.add(job)
    (taken,) = await service.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    assert taken.lease is not None
    error = JobError(code="run_failed", message="The run failed.", hint="Try again.")
    await service.backing.jobs.finish(job.id, taken.lease, replace(make_ending(job, JobState.FAILED), error=error))
    async with admin:
        (dead,) = (await admin.get("/v1/admin/jobs?state=failed")).json()["jobs"]
        assert (dead["id"], dead["error"]["code"]) == (job.id, "run_failed")
        again = (await admin.post(f"/v1/admin/jobs/{job.id}/retry")).json()
        assert (again["state"], again["error"], again["attempts"]) == ("queued", None, 0)
        twice = await admin.post(f"/v1/admin/jobs/{job.id}/retry")
        assert (twice.status_code, twice.json()["error"]["code"]) == (409, "job_not_failed")
        assert (await admin.post("/v1/admin/jobs/job_none/retry")).status_code == 404


async def test_a_lanes_weight_is_set_within_its_bounds_and_lasts(admin: httpx.AsyncClient, service: Service) -> None:
    def of(answer: httpx.Response, lane: str) -> dict[str, float]:
        found: dict[str, float] = next(one for one in answer.json()["lanes"] if one["lane"] == lane)
        return found

    async with admin:
        assert of(await admin.get("/v1/admin/lanes"), "pro") == {
            "lane": "pro", "weight": 4.0, "base": 4.0, "least": 2.0, "greatest": 8.0
        }  # fmt: skip
        assert of(await admin.put("/v1/admin/lanes/pro", json={"base": 3}), "pro")["weight"] == 3.0
        for wrong in (1.9, 8.1, -1, "NaN"):
            refused = await admin.put("/v1/admin/lanes/pro", json={"base": wrong})
            assert refused.status_code == 422, wrong
        late = [make_job(tier=Tier.PRO, tenant=f"t{n}") for n in range(3)]
        await service.backing.jobs.add(*late)
        await update_lane_weights(service.backing, NOW + timedelta(seconds=60))
        moved = of(await admin.get("/v1/admin/lanes"), "pro")
        assert (moved["base"], moved["weight"]) == (3.0, pytest.approx(3.3))
        assert of(await admin.put("/v1/admin/lanes/pro", json={"base": None}), "pro")["weight"] == 4.0
        assert (await admin.put("/v1/admin/lanes/gold", json={"base": 1})).status_code == 422


async def test_workers_are_listed_while_they_are_heard_of_and_drained_alone_or_all(
    admin: httpx.AsyncClient, service: Service
) -> None:
    old, here = WorkerId("old"), WorkerId("here")
    await service.workers.record_heartbeat(old, service.now() - timedelta(minutes=5))
    await service.workers.record_heartbeat(here, service.now())
    await service.backing.jobs.add(make_job())
    await service.backing.jobs.claim(WorkerOffer(worker=here), NOW, 30)
    async with admin:
        (one,) = (await admin.get("/v1/admin/workers")).json()["workers"]
        assert (one["id"], one["num_running"], one["is_drained"]) == ("here", 1, False)
        assert (one["pool"], one["state"], one["lanes"], one["tenants"]) == ("", "active", sorted(Tier), None)
        told = await admin.patch("/v1/admin/workers/here", json={"is_drained": True, "ends": True})
        (one,) = told.json()["workers"]
        assert (one["state"], one["drain_reason"]) == ("draining", "an operator drains it")
        await admin.patch("/v1/admin/workers/here", json={"is_drained": False})
        await admin.patch("/v1/admin/workers/here", json={"is_drained": True})
        assert await service.workers.is_drained(here)
        assert (await admin.patch("/v1/admin/workers/old", json={"is_drained": True})).status_code == 404
        await admin.patch("/v1/admin/workers", json={"is_drained": True})
        assert await service.workers.is_drained(WorkerId("one that starts later"))
        (one,) = (await admin.patch("/v1/admin/workers", json={"is_drained": False})).json()["workers"]
        assert not one["is_drained"]
        assert not await service.workers.is_drained(here), "the end of a drain of all is the end of every drain"


async def test_an_admin_says_who_finds_recipes_in_a_tenants_files(admin: httpx.AsyncClient) -> None:
    async with admin:
        made = await admin.post("/v1/admin/tenants", json={"id": "acme"})
        assert made.json()["recipe_audience"] == "owner"
        changed = await admin.patch("/v1/admin/tenants/acme", json={"recipe_audience": "everybody"})
        assert (changed.status_code, changed.json()["recipe_audience"]) == (200, "everybody")
        assert (await admin.patch("/v1/admin/tenants/acme", json={"recipe_audience": "all"})).status_code == 422
