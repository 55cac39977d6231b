"""People: passwords, session cookies, sign-up, and that another site can use none of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mezzotint.domain.claims import Role
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tenant import Tenant
from mezzotint.domain.tier import Tier
from mezzotint.domain.user import User
from mezzotint.gateway import Service
from mezzotint.gateway.routes.sign_in import new_user_id
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio
PASSWORD = "four words in a row"
ADA = {"name": "Ada@example.org", "password": PASSWORD}
OUR_PAGE = {"Sec-Fetch-Site": "same-origin"}
OTHER_SITES = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "null"},
]


@pytest.fixture
async def ada(service: Service) -> User:
    now = datetime.now(UTC)
    tenant = Tenant(id=TenantId("acme"), tier=Tier.PAID, created_at=now)
    user = User(id=new_user_id(), tenant=tenant.id, name=ADA["name"], role=Role.USER, created_at=now)
    assert await service.accounts.users.add(user, PASSWORD, tenant)
    return user


async def test_a_password_opens_a_session_of_the_users_tenant_and_tier(connect: Connect, ada: User) -> None:
    async with connect(None) as page:
        answer = await page.post("/v1/sign-in", json={**ADA, "name": "ada@EXAMPLE.org"})
        assert (answer.status_code, answer.json()["tenant"], answer.json()["tier"]) == (200, "acme", "paid")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        me = (await page.get("/v1/me")).json()
        assert (me["via"], me["user"], me["scopes"]) == ("session", ada.id, ["read", "write"])
        assert (await page.post("/v1/jobs", json={"prompt": "a cat"}, headers=OUR_PAGE)).status_code == 202


async def test_over_https_the_cookie_is_bound_to_host_and_transport(connect: Connect, ada: User) -> None:
    async with connect(None) as page:
        cookie = (await page.post("https://127.0.0.1:8400/v1/sign-in", json=ADA)).headers["set-cookie"]
        assert cookie.startswith("__Host-mezzotint_session=")
        assert "Secure" in cookie


async def test_a_wrong_password_and_an_unknown_name_are_told_apart_by_nothing(connect: Connect, ada: User) -> None:
    async with connect(None) as page:
        wrong = await page.post("/v1/sign-in", json={**ADA, "password": "another password"})
        unknown = await page.post("/v1/sign-in", json={"name": "nobody", "password": "another password"})
        assert (wrong.status_code, wrong.json()) == (401, unknown.json())
        assert wrong.json()["error"]["code"] == "password_wrong"
        assert "set-cookie" not in wrong.headers


@pytest.mark.parametrize("headers", [*OTHER_SITES, {}])
async def test_a_cookie_changes_nothing_unless_our_own_page_asks(
    connect: Connect, ada: User, headers: dict[str, str]
) -> None:
    async with connect(None) as page:
        assert (await page.post("/v1/sign-in", json=ADA)).status_code == 200
        answer = await page.post("/v1/jobs", json={"prompt": "a cat"}, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "cross_site")
        assert (await page.get("/v1/jobs")).json()["jobs"] == []


@pytest.mark.parametrize("headers", OTHER_SITES)
@pytest.mark.parametrize("path", ["/v1/sign-in", "/v1/sign-up", "/v1/sign-out"])
async def test_another_site_signs_nobody_in_or_out(
    connect: Connect, ada: User, headers: dict[str, str], path: str
) -> None:
    async with connect(None) as page:
        answer = await page.post(path, json=ADA, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "cross_site")


async def test_signing_out_ends_the_session_on_the_server(connect: Connect, ada: User) -> None:
    async with connect(None) as page:
        await page.post("/v1/sign-in", json=ADA)
        kept = dict(page.cookies)
        assert (await page.post("/v1/sign-out", headers=OUR_PAGE)).status_code == 204
        assert "mezzotint_session" not in page.cookies
        page.cookies.update(kept)
        assert (await page.get("/v1/me")).json()["error"]["code"] == "session_invalid"


@pytest.mark.parametrize("what", ["user", "tenant", "password", "time"])
async def test_a_session_ends_with(connect: Connect, service: Service, ada: User, what: str) -> None:
    now = datetime.now(UTC)
    async with connect(None) as page:
        await page.post("/v1/sign-in", json=ADA)
    match what:
        case "user":
            await service.accounts.users.disable(ada.name, now)
        case "tenant":
            await service.accounts.tenants.disable(ada.tenant, now)
        case "password":
            await service.accounts.users.set_password(ada.name, "quite another one")
        case "time":
            service = replace(service, now=lambda: now + timedelta(days=15))
    async with connect(None, served=service) as later:
        later.cookies = page.cookies
        assert (await later.get("/v1/me")).status_code == 401


async def test_a_disabled_user_or_tenant_cannot_sign_in(connect: Connect, service: Service, ada: User) -> None:
    async with connect(None) as page:
        await service.accounts.users.disable(ada.name, datetime.now(UTC))
        assert (await page.post("/v1/sign-in", json=ADA)).status_code == 401
        await service.accounts.users.disable(ada.name, None)
        await service.accounts.tenants.disable(ada.tenant, datetime.now(UTC))
        assert (await page.post("/v1/sign-in", json=ADA)).json()["error"]["code"] == "tenant_disabled"


async def test_changing_the_password_ends_other_sessions_and_keeps_this_one(connect: Connect, ada: User) -> None:
    async with connect(None) as here, connect(None) as elsewhere:
        await here.post("/v1/sign-in", json=ADA)
        await elsewhere.post("/v1/sign-in", json=ADA)
        change = {"old_password": PASSWORD, "new_password": "quite another one"}
        wrong = await here.put("/v1/password", json={**change, "old_password": "x"}, headers=OUR_PAGE)
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (403, "old_password_wrong")
        weak = await here.put("/v1/password", json={**change, "new_password": "short"}, headers=OUR_PAGE)
        assert weak.json()["error"]["code"] == "password_weak"
        assert (await here.put("/v1/password", json=change, headers=OUR_PAGE)).status_code == 200
        assert (await here.get("/v1/me")).status_code == 200
        assert (await elsewhere.get("/v1/me")).status_code == 401
        assert (await here.post("/v1/sign-in", json=ADA)).status_code == 401


async def test_a_token_cannot_change_a_password(connect: Connect, ada: User) -> None:
    async with connect("acme") as program:
        change = {"old_password": PASSWORD, "new_password": "quite another one"}
        answer = await program.put("/v1/password", json=change)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "session_needed")


async def test_strangers_sign_up_only_where_it_is_allowed(connect: Connect, service: Service) -> None:
    async with connect(None) as page:
        answer = await page.post("/v1/sign-up", json=ADA)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "sign_up_closed")
    opened = replace(service, accounts=replace(service.accounts, can_sign_up=True))
    async with connect(None, served=opened) as page:
        answer = await page.post("/v1/sign-up", json=ADA)
        assert (answer.status_code, answer.json()["tier"], answer.json()["scopes"]) == (201, "free", ["read", "write"])
        assert (await page.get("/v1/me")).json()["tenant"] == answer.json()["tenant"]
        again = await page.post("/v1/sign-up", json={**ADA, "name": "ADA@example.org"})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "name_taken")


@pytest.mark.parametrize(
    ("name", "password", "code"),
    [
        ("", PASSWORD, "name_invalid"),
        ("a b", PASSWORD, "name_invalid"),
        ("a\u0001b", PASSWORD, "name_invalid"),
        ("a\u0000b", PASSWORD, "field_invalid"),
        ("x" * 255, PASSWORD, "field_invalid"),
        ("ada", "short", "password_weak"),
        ("ada", "a" * 40, "password_weak"),
        ("ada@example.org", "ADA@example.org", "password_weak"),
        ("ada", "x" * 257, "field_invalid"),
    ],
)
async def test_unusable_names_and_passwords_are_refused(
    connect: Connect, service: Service, name: str, password: str, code: str
) -> None:
    opened = replace(service, accounts=replace(service.accounts, can_sign_up=True))
    async with connect(None, served=opened) as page:
        answer = await page.post("/v1/sign-up", json={"name": name, "password": password})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)
        assert password not in answer.text or not password


async def test_the_database_holds_neither_password_nor_session(connect: Connect, service: Service, ada: User) -> None:
    async with connect(None) as page:
        await page.post("/v1/sign-in", json=ADA)
        (secret,) = page.cookies.values()
    async with service.accounts.users._database.read() as connection:
        for table in ("users", "sessions"):
            rows = str((await connection.exec_driver_sql(f"SELECT * FROM {table}")).all())
            assert PASSWORD not in rows
            assert secret not in rows
        assert "$argon2id$" in str((await connection.exec_driver_sql("SELECT password FROM users")).all())
