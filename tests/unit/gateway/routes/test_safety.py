"""Admins change the safety policy while the server runs; refused users appeal."""

import asyncio
import csv
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from mezzotint.actions.safety.appeals import list_decided_prompts
from mezzotint.actions.safety.controls import GoldenPrompts
from mezzotint.actions.safety.rules import NUM_RECENT
from mezzotint.domain.claims import Role
from mezzotint.domain.errors import StorageUnavailable
from mezzotint.domain.ids import TenantId, WorkerId
from mezzotint.domain.job import JobError, JobState
from mezzotint.domain.safety.held_image import HeldImage, HeldState
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from mezzotint.media.uploads.decoder_pool import DecoderPool
from mezzotint.policy.retention import Retention
from mezzotint.store import Database, Refusals, WorkerOffer
from tests.making import NOW, make_ending, make_job
from tests.unit.gateway.applications import make_app
from tests.unit.gateway.conftest import database_away, service_on
from tests.unit.gateway.serving import serving

pytestmark = pytest.mark.anyio
Connect = Callable[..., httpx.AsyncClient]
RULE = {"category": "deception", "all_of": [["acme"], ["rocket skates", "anvil"]], "reason": "a wave of fakes"}
GOLDEN = GoldenPrompts(adversarial=["acme rocket skates, a fake advert", "another"], benign=["a blacksmith's anvil"])
BLOCKED = "a nude woman"


def of_admin(service: Service) -> dict[str, str]:
    token = service.issuer.issue(TenantId("ops"), Tier.FREE, datetime.now(UTC), timedelta(minutes=5), role=Role.ADMIN)
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def served(service: Service) -> Service:
    """With small golden sets: reading the prompts of the real ones takes a second for each trial."""
    return replace(service, safety=replace(service.safety, read_golden=lambda: GOLDEN))


@pytest.fixture
async def admin(served: Service) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(make_app(served), raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1:8400/v1/admin/safety", headers=of_admin(served)
    ) as client:
        yield client


@pytest.fixture
async def ada(served: Service, connect: Connect) -> AsyncIterator[httpx.AsyncClient]:
    async with connect("ada", served=served) as client:
        yield client


async def ask(client: httpx.AsyncClient, prompt: str) -> httpx.Response:
    return await client.post("/v1/jobs", json={"prompt": prompt, "new": True})


async def refuse(client: httpx.AsyncClient, prompt: str = BLOCKED) -> str:
    """The id of a refusal of this client."""
    answer = await ask(client, prompt)
    assert answer.status_code == 422
    return str(answer.json()["error"]["refusal_id"])


def error_code(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"]["code"])


async def test_a_rule_is_in_force_from_when_it_is_added_until_it_is_removed(
    admin: httpx.AsyncClient, ada: httpx.AsyncClient
) -> None:
    assert (await ask(ada, "acme rocket skates")).status_code == 202
    added = await admin.post("/rules", json=RULE)
    assert added.status_code == 201
    rule = added.json()
    assert (rule["version"], rule["author"], rule["reason"]) == (1, "ops/sub:ops", "a wave of fakes")
    refused = await ask(ada, "acme rocket skates")
    assert error_code(refused, 422) == "prompt_blocked"
    assert "deceives about a real person" in refused.json()["error"]["message"]
    assert (await ask(ada, "an anvil")).status_code == 202
    dated = await admin.patch(
        f"/rules/{rule['id']}", json={"expires_at": "2100-01-01T00:00:00Z", "reason": "until it is over"}
    )
    assert (dated.json()["version"], dated.json()["expires_at"]) == (2, "2100-01-01T00:00:00Z")
    assert [one["id"] for one in (await admin.get("/rules")).json()["rules"]] == [rule["id"]]
    removed = await admin.delete(f"/rules/{rule['id']}", params={"reason": "it is over"})
    assert removed.json()["removed_at"] is not None
    assert (await ask(ada, "acme rocket skates")).status_code == 202
    assert (await admin.get("/rules")).json()["rules"] == []
    assert len((await admin.get("/rules", params={"ended": True})).json()["rules"]) == 1
    assert error_code(await admin.delete(f"/rules/{rule['id']}", params={"reason": "again"}), 404) == "rule_not_found"


async def test_a_trial_counts_recent_and_golden_prompts_and_changes_nothing(
    admin: httpx.AsyncClient, ada: httpx.AsyncClient
) -> None:
    assert NUM_RECENT == 10_000
    for prompt in ("acme rocket skates", "an acme anvil", "a red apple"):
        assert (await ask(ada, prompt)).status_code == 202
    trial = (await admin.post("/rules/trial", json=RULE)).json()
    assert {name: value for name, value in trial.items() if name.startswith("num_")} == {
        "num_recent": 3,
        "num_stopped": 2,
        "num_newly_stopped": 2,
        "num_adversarial": 2,
        "num_newly_caught": 1,
        "num_benign": 1,
        "num_newly_refused": 0,
    }
    assert (trial["stopped_prompts"], trial["refused_benign"], trial["blocks_too_much"]) == ([], [], False)
    assert (await ask(ada, "acme rocket skates")).status_code == 202
    assert (await admin.get("/audit")).json()["entries"] == []
    shown = (await admin.post("/rules/trial", json={**RULE, "show_prompts": True})).json()
    assert shown["stopped_prompts"] == ["acme rocket skates", "an acme anvil", "acme rocket skates"]
    (entry,) = (await admin.get("/audit")).json()["entries"]
    assert (entry["action"], entry["author"], entry["after"]["num_shown"]) == ("prompts_shown", "ops/sub:ops", 3)


async def test_a_prompt_that_other_rules_refuse_is_not_counted_as_newly_stopped(
    admin: httpx.AsyncClient, served: Service, ada: httpx.AsyncClient, tmp_path: Path
) -> None:
    keeps = Refusals(served.safety.overrides._database, Retention(keeps_refused_prompts=True))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(make_app(replace(served, admission=replace(served.admission, refusals=keeps)))),
        base_url="http://127.0.0.1:8400",
        headers=ada.headers,
    ) as client:
        await refuse(client)
    trial = (await admin.post("/rules/trial", json={**RULE, "all_of": [["woman"]]})).json()
    assert (trial["num_recent"], trial["num_stopped"], trial["num_newly_stopped"]) == (1, 1, 0)


async def test_a_rule_that_refuses_benign_golden_prompts_is_added_only_by_force(
    admin: httpx.AsyncClient, ada: httpx.AsyncClient
) -> None:
    broad = {**RULE, "all_of": [["anvil"]]}
    refused = await admin.post("/rules", json=broad)
    assert error_code(refused, 409) == "rule_blocks_too_much"
    assert "1 of the golden set's 1 benign prompts" in refused.json()["error"]["hint"]
    assert (await ask(ada, "an anvil")).status_code == 202
    trial = (await admin.post("/rules/trial", json=broad)).json()
    assert (trial["blocks_too_much"], trial["refused_benign"]) == (True, ["a blacksmith's anvil"])
    forced = await admin.post("/rules", json={**broad, "force": True})
    assert forced.status_code == 201
    assert forced.json()["trial"]["num_newly_refused"] == 1
    assert error_code(await ask(ada, "an anvil"), 422) == "prompt_blocked"


async def test_the_real_golden_sets_are_what_a_rule_is_tried_on(service: Service) -> None:
    golden = service.safety.read_golden()
    assert len(golden.adversarial) > 1000
    assert len(golden.benign) > 100
    with Path("src/mezzotint/evals/golden/benign.csv").open(newline="", encoding="utf-8") as file:
        assert [row["text"] for row in csv.DictReader(file)] == list(golden.benign)


@pytest.mark.parametrize(
    "wrong",
    [
        {"all_of": [[]]},
        {"all_of": [["?"]]},
        {"all_of": [["@unknown list"]]},
        {"expires_at": "2020-01-01T00:00:00Z"},
    ],
)
async def test_a_rule_that_cannot_be_used_is_refused_with_what_to_do(
    admin: httpx.AsyncClient, wrong: dict[str, Any]
) -> None:
    answer = await admin.post("/rules", json={**RULE, **wrong})
    assert error_code(answer, 422) == "rule_invalid"
    assert answer.json()["error"]["hint"]


async def test_thresholds_are_tightened_for_a_time_and_given_back(admin: httpx.AsyncClient, served: Service) -> None:
    made = await admin.post("/tightenings", json={"by": 0.1, "hours": 24, "reason": "a wave"})
    assert made.status_code == 201
    assert (
        await admin.post("/tightenings", json={"by": 0.5, "hours": 1, "reason": "x", "category": "hate"})
    ).is_success
    dial = (await admin.get("/tightenings")).json()
    assert (dial["factors"]["sexual"], dial["factors"]["hate"]) == (0.9, 0.45)
    assert served.safety.follower.current.threshold_factors(datetime.now(UTC))["sexual"] == 0.9
    tomorrow = datetime.now(UTC) + timedelta(hours=25)
    assert set(served.safety.follower.current.threshold_factors(tomorrow).values()) == {1}
    ended = await admin.delete(f"/tightenings/{made.json()['id']}", params={"reason": "it is over"})
    assert ended.is_success
    assert served.safety.follower.current.threshold_factors(datetime.now(UTC))["sexual"] == 1
    again = await admin.delete(f"/tightenings/{made.json()['id']}", params={"reason": "again"})
    assert error_code(again, 404) == "tightening_not_found"
    of_minors = {"by": 0.1, "hours": 1, "reason": "x", "category": "sexual_minors"}
    assert error_code(await admin.post("/tightenings", json=of_minors), 422) == "tightening_invalid"


async def test_the_audit_is_read_in_pages(admin: httpx.AsyncClient) -> None:
    for _ in range(3):
        await admin.post("/tightenings", json={"by": 0.1, "hours": 24, "reason": "a wave"})
    await admin.post("/rules", json=RULE)
    first = (await admin.get("/audit", params={"limit": 3})).json()
    rest = (await admin.get("/audit", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    actions = [entry["action"] for entry in first["entries"] + rest["entries"]]
    assert actions == ["rule_added", "tightened", "tightened", "tightened"]
    assert rest["next_cursor"] is None
    (only,) = (await admin.get("/audit", params={"action": "rule_added"})).json()["entries"]
    assert (only["before"], only["after"]["all_of"], only["reason"]) == (None, RULE["all_of"], RULE["reason"])


async def test_a_refusal_names_its_category_and_how_to_appeal_and_its_row_what_it_rests_on(
    admin: httpx.AsyncClient, ada: httpx.AsyncClient
) -> None:
    rule = (await admin.post("/rules", json=RULE)).json()
    answer = await ask(ada, "acme rocket skates")
    told = answer.json()["error"]
    assert told["refusal_id"] in told["hint"]
    assert "POST /v1/appeals" in told["hint"]
    await refuse(ada)
    by_filter, by_rule = (await admin.get("/refusals")).json()["refusals"]
    assert (by_rule["id"], by_rule["rule"], by_rule["category"]) == (told["refusal_id"], rule["id"], "deception")
    assert (by_rule["tenant"], by_rule["owner"], by_rule["overrides_version"]) == ("ada", "sub:ada", 1)
    assert by_rule["text_hash"] == sha256(b"acme rocket skates").hexdigest()
    assert (by_rule["prompt"], by_filter["rule"], by_filter["category"]) == ("", "", "sexual")


async def test_an_appeal_waits_for_an_admin_and_its_outcome_is_told(
    admin: httpx.AsyncClient, ada: httpx.AsyncClient
) -> None:
    refusal = await refuse(ada)
    body = {"refusal_id": refusal, "explanation": "a statue", "prompt": BLOCKED}
    made = await ada.post("/v1/appeals", json=body)
    assert (made.status_code, made.json()["state"], made.json()["category"]) == (201, "open", "sexual")
    assert error_code(await ada.post("/v1/appeals", json=body), 409) == "appeal_exists"
    (queued,) = (await admin.get("/appeals", params={"state": "open"})).json()["appeals"]
    assert (queued["prompt"], queued["explanation"], queued["tenant"]) == (BLOCKED, "a statue", "ada")
    decision = {"outcome": "overturned", "note": "it is one"}
    decided = await admin.post(f"/appeals/{queued['id']}/decision", json=decision)
    assert (decided.json()["state"], decided.json()["decided_by"]) == ("overturned", "ops/sub:ops")
    assert error_code(await admin.post(f"/appeals/{queued['id']}/decision", json=decision), 409) == "appeal_decided"
    (told,) = (await ada.get("/v1/appeals")).json()["appeals"]
    assert (told["state"], told["note"]) == ("overturned", "it is one")
    assert "decided_by" not in told
    assert (await admin.get("/appeals", params={"state": "open"})).json()["appeals"] == []
    open_again = await admin.post(f"/appeals/{queued['id']}/decision", json={"outcome": "open", "note": "x"})
    assert error_code(open_again, 422) == "field_invalid"


async def test_only_the_refused_user_appeals_and_only_with_the_refused_prompt(
    ada: httpx.AsyncClient, served: Service, connect: Connect
) -> None:
    refusal = await refuse(ada)
    async with connect("eve", served=served) as eve:
        answer = await eve.post("/v1/appeals", json={"refusal_id": refusal, "explanation": "x"})
        assert error_code(answer, 404) == "refusal_not_found"
        assert (await eve.get("/v1/appeals")).json()["appeals"] == []
    other = {"refusal_id": refusal, "explanation": "x", "prompt": "a clothed woman"}
    assert error_code(await ada.post("/v1/appeals", json=other), 422) == "appeal_prompt_differs"
    unknown = {"refusal_id": "ref_" + "0" * 24, "explanation": "x"}
    assert error_code(await ada.post("/v1/appeals", json=unknown), 404) == "refusal_not_found"
    await ada.post("/v1/appeals", json={"refusal_id": refusal, "explanation": "x"})
    (mine,) = await served.safety.appeals.page(10)
    assert mine[1].prompt is None, "neither shown by the user nor kept by the server"


async def test_a_blocked_picture_is_appealed_by_its_jobs_id(
    admin: httpx.AsyncClient, ada: httpx.AsyncClient, served: Service, connect: Connect
) -> None:
    drawn, blocked = make_job(owner="sub:ada"), make_job(owner="sub:ada")
    for job, state in ((drawn, JobState.SUCCEEDED), (blocked, JobState.BLOCKED)):
        await served.backing.jobs.add(job)
        (taken,) = await served.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
        assert taken.lease is not None
        held = HeldImage(
            job=job.id,
            position=0,
            state=HeldState.BLOCKED,
            category="violence",
            scores={"graphic": {"violence": 0.9, "sexual": None}},
            filter_version="1+abc",
            seed=7,
            width=64,
            height=64,
            created_at=NOW,
        )
        error = JobError(code="image_blocked", message="m", hint="h") if state is JobState.BLOCKED else None
        ending = replace(make_ending(job, state), error=error, held=(held,) if error else ())
        await served.backing.jobs.finish(job.id, taken.lease, ending)
    body = {"refusal_id": blocked.id, "explanation": "tomato juice"}
    async with connect("eve", served=served) as eve:
        assert error_code(await eve.post("/v1/appeals", json=body), 404) == "refusal_not_found"
    made = await ada.post("/v1/appeals", json=body)
    assert (made.status_code, made.json()["category"]) == (201, "violence")
    assert error_code(await ada.post("/v1/appeals", json={**body, "refusal_id": drawn.id}), 404) == "refusal_not_found"
    (queued,) = (await admin.get("/appeals")).json()["appeals"]
    assert (queued["refusal_id"], queued["prompt"]) == (blocked.id, blocked.raw_prompt)
    await admin.post(f"/appeals/{queued['id']}/decision", json={"outcome": "overturned", "note": "it is"})
    (row,) = [row async for row in list_decided_prompts(served.safety)]
    assert (row.label, row.of, row.category, row.policy_version) == ("safe", "picture", "violence", "1+abc")


async def test_appeals_are_rate_limited(ada: httpx.AsyncClient, served: Service, connect: Connect) -> None:
    body = {"refusal_id": "ref_" + "0" * 24, "explanation": "x"}
    codes = [(await ada.post("/v1/appeals", json=body)).status_code for _ in range(11)]
    assert codes == [404] * 10 + [429]
    async with connect("eve", served=served) as eve:
        assert (await eve.post("/v1/appeals", json=body)).status_code == 404


@pytest.fixture(params=["sqlite", "postgres"])
async def two_gateways(
    request: pytest.FixtureRequest, tmp_path: Path, decoders: DecoderPool
) -> AsyncIterator[tuple[Service, Service]]:
    """Two on one database."""
    address = tmp_path / "shared.db" if request.param == "sqlite" else request.getfixturevalue("postgres").database()
    Database(address).migrate()
    databases = [Database(address) for _ in range(2)]
    first, second = (service_on(database, tmp_path, decoders) for database in databases)
    yield replace(first, safety=replace(first.safety, read_golden=lambda: GOLDEN)), second
    for database in databases:
        await database.close()


async def test_a_rule_added_at_one_gateway_stops_the_prompt_at_another_and_lets_go_at_its_end(
    two_gateways: tuple[Service, Service],
) -> None:
    one, other = two_gateways
    headers = of_admin(one)
    async with serving(one) as first, serving(other) as second, httpx.AsyncClient(headers=headers) as client:

        async def is_refused() -> bool:
            body = {"prompt": "acme rocket skates", "new": True}
            return (await client.post(f"http://{second}/v1/jobs", json=body)).status_code == 422

        async def wait_until(wanted: bool) -> None:
            async with asyncio.timeout(60):
                while await is_refused() is not wanted:
                    await asyncio.sleep(0.2)  # the other process looks every two seconds

        assert not await is_refused()
        rules = f"http://{first}/v1/admin/safety/rules"
        added = await client.post(rules, json=RULE)
        assert added.status_code == 201
        await wait_until(True)
        expires_at = datetime.now(UTC) + timedelta(seconds=4)
        dated = {"expires_at": expires_at.isoformat(), "reason": "it is nearly over"}
        assert (await client.patch(f"{rules}/{added.json()['id']}", json=dated)).status_code == 200
        await wait_until(False)
        assert datetime.now(UTC) >= expires_at
        assert await one.safety.overrides.in_force(expires_at - timedelta(seconds=1)) == one.safety.follower.current


async def test_the_rules_stay_in_force_while_the_database_is_away(
    served: Service, admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    rule = (await admin.post("/rules", json=RULE)).json()
    follower = served.safety.follower
    names = [f"mezzotint_safety_overrides_{name}" for name in ("version", "read_timestamp_seconds")]
    version, read_at = (follower.metrics.registry.get_sample_value(name) for name in names)
    assert version == follower.current.version == 1
    async with database_away(served, tmp_path):
        with pytest.raises(StorageUnavailable):
            await follower.refresh()
        stopped = served.admission.screen.judge("acme rocket skates")
    assert (stopped.is_blocked, stopped.rule, stopped.overrides_version) == (True, rule["id"], 1)
    assert follower.metrics.registry.get_sample_value(names[1]) == read_at, "it stands still: an alert sees that"
    await follower.refresh()
    assert (follower.metrics.registry.get_sample_value(names[1]) or 0) > (read_at or 0)
