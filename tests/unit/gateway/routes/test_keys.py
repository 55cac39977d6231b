"""API keys: what they open, and every way in which one stops doing so."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio


def bearing(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def made(connect: Connect, **wishes: object) -> dict[str, object]:
    async with connect("ada", Tier.PAID) as ada:
        answer = await ada.post("/v1/keys", json={"name": "laptop", **wishes})
        assert answer.status_code == 201, answer.text
        made: dict[str, object] = answer.json()
        return made


async def test_a_key_speaks_for_its_tenant_and_is_shown_by_its_prefix_alone(connect: Connect) -> None:
    key = await made(connect)
    secret = str(key["secret"])
    async with connect(None) as program:
        me = (await program.get("/v1/me", headers=bearing(secret))).json()
        assert (me["tenant"], me["tier"], me["via"], me["scopes"]) == ("ada", "paid", "key", ["read", "write"])
        assert (await program.post("/v1/jobs", json={"prompt": "a cat"}, headers=bearing(secret))).status_code == 202
    async with connect("ada") as ada:
        listed = await ada.get("/v1/keys")
        (entry,) = listed.json()["keys"]
        assert secret.startswith(entry["prefix"] + "_")
        assert secret[16:] not in listed.text
        assert entry["last_used_at"] is not None


async def test_a_key_to_read_cannot_write(connect: Connect) -> None:
    secret = str((await made(connect, scopes=["read"]))["secret"])
    async with connect(None) as program:
        assert (await program.get("/v1/jobs", headers=bearing(secret))).status_code == 200
        for method, path in (("POST", "/v1/jobs"), ("DELETE", "/v1/jobs/job_" + "0" * 24)):
            answer = await program.request(method, path, json={"prompt": "a cat"}, headers=bearing(secret))
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "scope_missing")


async def test_nobody_gives_a_key_more_than_they_may_do_themselves(connect: Connect) -> None:
    async with connect("ada") as ada:
        answer = await ada.post("/v1/keys", json={"name": "root", "scopes": ["admin"]})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "scope_missing")


async def test_one_key_more_than_a_tenant_may_have_is_a_limit_of_number(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mezzotint.gateway.routes.keys.MAX_KEYS", 1)
    await made(connect)
    async with connect("ada") as ada:
        answer = await ada.post("/v1/keys", json={"name": "another"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_keys")


async def test_a_key_makes_rotates_and_revokes_no_keys(connect: Connect) -> None:
    key = await made(connect)
    headers = bearing(str(key["secret"]))
    id = key["key"]["id"]  # type: ignore[index]
    async with connect(None) as program:
        for method, path in (
            ("POST", "/v1/keys"),
            ("POST", f"/v1/keys/{id}/rotate"),
            ("DELETE", f"/v1/keys/{id}"),
        ):
            answer = await program.request(
                method, path, json={"name": "x"} if path == "/v1/keys" else None, headers=headers
            )
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "session_needed")


async def test_a_rotated_key_has_a_new_secret_and_the_old_one_for_a_while(connect: Connect, service: Service) -> None:
    key = await made(connect)
    id = key["key"]["id"]  # type: ignore[index]
    async with connect("ada") as ada:
        new = (await ada.post(f"/v1/keys/{id}/rotate", json={"grace_hours": 1})).json()["secret"]
    async with connect(None) as program:
        for secret in (key["secret"], new):
            assert (await program.get("/v1/me", headers=bearing(str(secret)))).status_code == 200
    later = replace(service, now=lambda: datetime.now(UTC) + timedelta(hours=2))
    async with connect(None, served=later) as program:
        assert (await program.get("/v1/me", headers=bearing(str(key["secret"])))).status_code == 401
        assert (await program.get("/v1/me", headers=bearing(new))).status_code == 200


async def test_a_revoked_key_opens_nothing_nor_does_its_old_secret(connect: Connect) -> None:
    key = await made(connect)
    id = key["key"]["id"]  # type: ignore[index]
    async with connect("ada") as ada:
        new = (await ada.post(f"/v1/keys/{id}/rotate")).json()["secret"]
        assert (await ada.delete(f"/v1/keys/{id}")).status_code == 204
        assert (await ada.post(f"/v1/keys/{id}/rotate")).status_code == 404, "what is over stays over"
    async with connect(None) as program:
        for secret in (key["secret"], new):
            answer = await program.get("/v1/me", headers=bearing(str(secret)))
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "key_invalid")


@pytest.mark.parametrize("what", ["time", "tenant", "last letter", "nonsense"])
async def test_a_key_is_refused_for(connect: Connect, service: Service, what: str) -> None:
    secret = str((await made(connect, days=1))["secret"])
    match what:
        case "time":
            service = replace(service, now=lambda: datetime.now(UTC) + timedelta(days=2))
        case "tenant":
            await service.accounts.tenants.disable(TenantId("ada"), datetime.now(UTC))
        case "last letter":
            secret = secret[:-1] + ("A" if secret[-1] != "A" else "B")
        case "nonsense":
            secret = "mz_" + "x" * 5000
    async with connect(None, served=service) as program:
        answer = await program.get("/v1/me", headers=bearing(secret))
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "key_invalid")


async def test_a_disabled_tenants_tokens_are_refused(connect: Connect, service: Service) -> None:
    await made(connect)
    await service.accounts.tenants.disable(TenantId("ada"), datetime.now(UTC))
    async with connect("ada") as ada:
        answer = await ada.get("/v1/me")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "tenant_disabled")


async def test_a_new_tier_reaches_keys_at_once(connect: Connect, service: Service) -> None:
    secret = str((await made(connect))["secret"])
    await service.accounts.tenants.set_tier(TenantId("ada"), Tier.PRO)
    async with connect(None) as program:
        assert (await program.get("/v1/me", headers=bearing(secret))).json()["tier"] == "pro"


@pytest.mark.parametrize("id", ["key_0", "..%2f..", "%00", "x" * 64])
async def test_somebody_elses_key_and_nonsense_are_not_found(connect: Connect, id: str) -> None:
    key = await made(connect)
    async with connect("eve") as eve:
        for one in (id, key["key"]["id"]):  # type: ignore[index]
            assert (await eve.delete(f"/v1/keys/{one}")).status_code in {404, 405}
            assert (await eve.post(f"/v1/keys/{one}/rotate")).status_code in {404, 405}
    async with connect(None) as program:
        assert (await program.get("/v1/me", headers=bearing(str(key["secret"])))).status_code == 200


async def test_the_database_holds_no_secret(connect: Connect, service: Service) -> None:
    secret = str((await made(connect))["secret"])
    async with service.accounts.keys._database.read() as connection:
        rows = str((await connection.exec_driver_sql("SELECT * FROM keys")).all())
    assert secret[16:] not in rows
