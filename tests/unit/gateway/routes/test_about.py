import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mezzotint.background import BackgroundTasks
from mezzotint.domain.event import LoadProgress
from mezzotint.gateway import Service
from tests.unit.gateway.conftest import Connect, database_away

pytestmark = pytest.mark.anyio


async def test_health_answers_while_the_model_loads(connect: Connect) -> None:
    async with connect(None) as nobody:
        health = (await nobody.get("/healthz")).json()
        assert health["status"] == "starting"
        assert health["model"] == {"name": "mezzotint-starter", "state": "loading", "share": None}


async def test_health_tells_how_much_of_the_models_weights_is_read(connect: Connect, service: Service) -> None:
    loading = replace(service, loading=lambda: LoadProgress(model="mezzotint-starter", share=0.4))
    async with connect(None, served=loading) as nobody:
        assert (await nobody.get("/healthz")).json()["model"]["share"] == 0.4


async def test_health_is_ok_once_the_model_is_loaded(connect: Connect, service: Service) -> None:
    async with connect(None, served=replace(service, is_ready=lambda: True)) as nobody:
        assert (await nobody.get("/healthz")).json()["status"] == "ok"


async def test_the_model_says_what_it_knows_and_how_to_load_another(connect: Connect) -> None:
    async with connect(None) as nobody:
        model = (await nobody.get("/v1/model")).json()
        assert model["knows"] == ["fruit"]
        assert "--model" in model["load_another"]


async def test_without_dev_no_token_is_handed_out(connect: Connect) -> None:
    async with connect(None) as nobody:
        answer = await nobody.post("/v1/session")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "sign_in_required")


async def test_with_dev_a_page_of_this_machine_gets_a_token_that_works(connect: Connect, service: Service) -> None:
    async with connect(None, served=replace(service, is_dev=True)) as page:
        token = (await page.post("/v1/session")).json()["token"]
        me = (await page.get("/v1/me", headers={"Authorization": f"Bearer {token}"})).json()
        assert (me["tier"], me["step_budget"]) == ("pro", 80)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-host": "evil.example"},
        {"x-real-ip": "203.0.113.7"},
        {"x-forwarded-for": "203.0.113.7"},
        {"forwarded": "for=203.0.113.7"},
        {"via": "1.1 proxy"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_with_dev_nobody_else_gets_a_token(connect: Connect, service: Service, headers: dict[str, str]) -> None:
    async with connect(None, served=replace(service, is_dev=True)) as stranger:
        assert (await stranger.post("/v1/session", headers=headers)).status_code == 403


async def test_with_dev_another_machine_gets_no_token(connect: Connect, service: Service) -> None:
    async with connect(None, served=replace(service, is_dev=True), peer="203.0.113.7") as stranger:
        assert (await stranger.post("/v1/session")).status_code == 403


async def test_unknown_addresses_and_methods_have_the_error_shape(connect: Connect) -> None:
    async with connect() as ada:
        assert (await ada.put("/v1/jobs")).json()["error"]["code"] == "method_not_allowed"
        assert (await ada.get("/v1/nothing")).json()["error"]["code"] == "not_found"


async def test_the_page_is_asked_for_anew_and_its_assets_never(connect: Connect) -> None:
    """Built by installation: an editable one too."""
    async with connect(None) as nobody:
        page = await nobody.get("/")
        assert page.headers["cache-control"] == "no-cache"
        (asset,) = re.findall(r'src="\./(assets/[^"]+\.js)"', page.text)
        assert "immutable" in (await nobody.get(asset)).headers["cache-control"]


async def test_every_answer_carries_the_security_headers(connect: Connect) -> None:
    async with connect() as ada:
        for path in ("/", "/healthz", "/v1/jobs", "/v1/nothing"):
            headers = (await ada.get(path)).headers
            assert "default-src 'self'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"


async def test_readiness_is_given_while_nothing_is_missing(connect: Connect, service: Service) -> None:
    async with connect(None, served=replace(service, is_ready=lambda: True)) as nobody:
        answer = await nobody.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


@pytest.mark.parametrize(
    "missing",
    [
        "models are being loaded",
        "the worker is drained",
        "the server is stopping",
        "'tend' keeps failing",
        "the disk of objects is full: 63 KiB are free",
        "the object store does not answer",
    ],
)
async def test_readiness_says_what_is_missing_while_liveness_stays(
    connect: Connect, service: Service, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "disk" in missing:
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=2**16 - 1))
    if "object store" in missing:
        (tmp_path / "objects").rename(tmp_path / "away")
    ready = replace(service, is_ready=lambda: True)
    broken = {
        "models are being loaded": replace(service, is_ready=lambda: False),
        "the worker is drained": replace(service, is_ready=lambda: True, is_drained=lambda: True),
        "the server is stopping": replace(ready, is_stopping=lambda: True),
        "'tend' keeps failing": replace(service, is_ready=lambda: True, background=Failing()),
    }
    async with connect(None, served=broken.get(missing, ready)) as nobody:
        answer = await nobody.get("/readyz")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
        assert missing in answer.json()["error"]["hint"]
        assert int(answer.headers["retry-after"]) > 0
        assert (await nobody.get("/healthz")).status_code == 200


class Failing(BackgroundTasks):
    @property
    def failing(self) -> list[str]:
        return ["tend"]


async def test_readiness_ends_with_the_database_and_comes_back_with_it(
    connect: Connect, service: Service, tmp_path: Path
) -> None:
    async with connect(None, served=replace(service, is_ready=lambda: True)) as nobody:
        async with database_away(service, tmp_path):
            answer = await nobody.get("/readyz")
            assert answer.status_code == 503
            assert "the database does not answer" in answer.json()["error"]["hint"]
        assert (await nobody.get("/readyz")).status_code == 200
