"""The meter: what stands in it, and who may read it."""

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from tests.unit.gateway.conftest import Connect, database_away

pytestmark = pytest.mark.anyio


def value(text: str, sample: str) -> float:
    """The value of a sample such as `name{label="x"}`."""
    (line,) = [line for line in text.splitlines() if line.startswith(sample + " ")]
    return float(line.split()[-1])


async def scraped(client: httpx.AsyncClient) -> str:
    response = await client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return response.text


async def test_the_queues_length_and_accepted_jobs_are_told_by_lane(connect: Connect) -> None:
    async with connect(tier=Tier.PRO) as ada:
        for _ in range(2):
            assert (await ada.post("/v1/jobs", json={"prompt": "a red apple", "new": True})).status_code == 202
        assert (await ada.post("/v1/jobs", json={"prompt": ""})).status_code == 422
        text = await scraped(ada)
    assert value(text, 'mezzotint_jobs_queued{lane="pro"}') == 2
    assert value(text, 'mezzotint_jobs_queued{lane="free"}') == 0
    assert value(text, 'mezzotint_jobs_accepted_total{lane="pro"}') == 2
    assert value(text, 'mezzotint_jobs_refused_total{code="prompt_empty"}') == 1
    assert 0 <= value(text, 'mezzotint_oldest_queued_seconds{lane="pro"}') < 60


async def test_without_a_scrape_token_only_the_servers_machine_reads_it(connect: Connect) -> None:
    async with connect(tenant=None, peer="192.0.2.7") as stranger:
        response = await stranger.get("/metrics")
    assert (response.status_code, response.json()["error"]["code"]) == (403, "operators_only")
    async with connect(tenant=None) as local:
        await scraped(local)
        assert (await local.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"})).status_code == 403


@pytest.mark.parametrize(("sent", "status"), [("scrape-me", 200), ("guess", 403), ("é", 403), (None, 403)])
async def test_a_scrape_token_is_asked_for_even_on_loopback(
    service: Service, connect: Connect, sent: str | None, status: int
) -> None:
    guarded = replace(service, metrics_token="scrape-me")
    headers = {} if sent is None else {"Authorization": f"Bearer {sent}".encode("latin-1")}
    async with connect(tenant=None, served=guarded) as client:
        assert (await client.get("/metrics", headers=headers)).status_code == status


async def test_a_tenants_token_does_not_read_it_from_afar(connect: Connect) -> None:
    async with connect(tenant="ada", peer="192.0.2.7") as ada:
        assert (await ada.get("/metrics")).status_code == 403


async def test_the_meter_is_read_while_the_database_is_away(connect: Connect, service: Service, tmp_path: Path) -> None:
    service.backing.metrics.count_restart("claims")
    async with connect(None) as operator, database_away(service, tmp_path):
        text = await scraped(operator)
    assert value(text, 'mezzotint_task_restarts_total{task="claims"}') == 1
