"""A free tenant who fills the server up on purpose: after a sweep a bounded number of rows and bytes is left."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from mezzotint.gateway.rate_limits import RateLimits
from mezzotint.gateway.service import Service
from mezzotint.policy.retention import Retention
from mezzotint.store import Database, Refusals, RetentionSweep

pytestmark = pytest.mark.anyio
Connect = Callable[..., httpx.AsyncClient]
KEPT = Retention(max_refusals=20, keeps_refused_prompts=True, max_unstarted=20)
NUM_TIMES = 60
LONG = "nude child" + " " * 3000


def counted(path: Path) -> dict[str, int]:
    """Rows by table, of those that have any."""
    with sqlite3.connect(path) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        rows = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for (name,) in tables}
    return {
        name: number
        for name, number in rows.items()
        if number and name not in {"alembic_version", "shares", "sqlite_sequence"}
    }


async def act_hostile(mallory: httpx.AsyncClient) -> None:
    webhook = await mallory.post("/v1/webhooks", json={"url": "https://hooks.test/x"})
    assert webhook.status_code == 201
    for n in range(NUM_TIMES):
        refused = await mallory.post("/v1/jobs", json={"prompt": f"{LONG} {n}"})
        assert refused.json()["error"]["code"] == "prompt_blocked"
        unknown = await mallory.post("/v1/jobs", json={"prompt": "a cat", "model": f"mallory-{n}"})
        assert unknown.json()["error"]["code"] == "model_not_found"
        headers = {"Idempotency-Key": f"key-{n}"}
        job = (await mallory.post("/v1/jobs", json={"prompt": f"a cat {n}"}, headers=headers)).json()
        assert (await mallory.delete(f"/v1/jobs/{job['id']}")).json()["state"] == "cancelled"


async def test_what_a_hostile_tenant_leaves_behind_is_bounded(
    connect: Connect, service: Service, tmp_path: Path
) -> None:
    path, database = tmp_path / "mezzotint.db", Database(tmp_path / "mezzotint.db")
    admission = replace(service.admission, refusals=Refusals(database, KEPT))
    served = replace(service, admission=admission, rate_limits=RateLimits(scale=0))
    async with connect("mallory", served=served) as mallory:
        await act_hostile(mallory)
    before = counted(path)
    assert before["refusals"] == KEPT.max_refusals, "bounded where they are written"
    assert before["jobs"] == before["changes"] / 2 == before["submissions"] == before["deliveries"] == NUM_TIMES
    with sqlite3.connect(path) as connection:
        (longest,) = connection.execute("SELECT max(length(raw_prompt)) FROM refusals").fetchone()
    assert longest < KEPT.max_refusal_chars + 40

    rows, now = RetentionSweep(database, KEPT), datetime.now(UTC)
    await rows.sweep(now)
    after = counted(path)
    assert after["jobs"] == after["changes"] / 2 == KEPT.max_unstarted

    later = now + timedelta(days=31)
    sweeping = replace(service.webhook_sender, now=lambda: later)
    await rows.sweep(later)
    await sweeping.sweep()
    await database.close()
    assert counted(path) == {"flows": 1, "webhooks": 1}, "of what is not swept there is one row a tenant, or ten"


async def test_no_metric_has_a_label_that_a_tenant_chooses(connect: Connect, service: Service) -> None:
    async with connect("mallory", served=replace(service, rate_limits=RateLimits(scale=0))) as mallory:
        await act_hostile(mallory)
    text = service.admission.metrics.text().decode()
    assert 'mezzotint_jobs_refused_total{code="model_not_found"}' in text
    assert "mallory" not in text
