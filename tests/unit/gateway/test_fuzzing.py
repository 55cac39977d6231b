"""Fuzzed requests to every route: none meets an error of the server, and none holds the event loop."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mezzotint.domain.claims import Role
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from tests.fuzzing.asgi import Fuzzed, send
from tests.fuzzing.corpus import Corpus
from tests.fuzzing.gateway import routes_of, served
from tests.fuzzing.loop_lag import CLIENT, LoopLag, measured
from tests.servers import Postgres
from tests.unit.gateway.applications import make_app
from tests.unit.gateway.conftest import SECRET

pytestmark = pytest.mark.anyio
MOST_HELD_S = 0.05
PATIENCE_S = 1.0  # some requests are accepted, and would wait for a picture that nobody draws
LARGE_S = 60.0
NUM_FUZZED = 1200


def corpus_of(app: Any, service: Service) -> Corpus:
    claims = {"lifetime": timedelta(hours=1), "role": Role.ADMIN}  # an admin: no route hides behind a refusal
    token = service.issuer.issue(TenantId("fuzz"), Tier.FREE, datetime.now(UTC), **claims)  # type: ignore[arg-type]
    return Corpus(routes_of(app), token, SECRET)


async def faults_of(app: Any, requests: Iterable[Fuzzed], within_s: float, lag: LoopLag) -> list[str]:
    """Send one after the other. Returns which met an error of the server."""
    faults = []
    await send(app, Fuzzed(label="first", method="GET", target="/healthz"), within_s)  # builds the routes
    for request in requests:
        await asyncio.sleep(0)
        lag.label = request.label
        answered = await send(app, request, within_s)
        if answered.status == 500:
            faults.append(f"{request.label}: {answered.error!r}")
        await asyncio.sleep(0)
        lag.label = CLIENT
    return faults


async def test_no_fuzzed_request_fails_the_server_or_holds_the_loop(tmp_path: Path) -> None:
    async with served(tmp_path, None) as service:
        app = make_app(service)
        with measured() as lag:
            lag.label = CLIENT
            assert await faults_of(app, corpus_of(app, service).requests(NUM_FUZZED), PATIENCE_S, lag) == []
        assert lag.worst[1] < MOST_HELD_S, lag.worst


async def test_no_fuzzed_request_fails_the_server_on_postgresql(postgres: Postgres, tmp_path: Path) -> None:
    """Its columns and driver refuse more than SQLite's do: null characters, half surrogates, integers of 64 bits."""
    async with served(tmp_path, postgres.database()) as service:
        app = make_app(service)
        requests = corpus_of(app, service).requests(NUM_FUZZED)
        assert await faults_of(app, requests, PATIENCE_S, LoopLag()) == []


async def test_no_body_of_the_largest_size_fails_the_server_or_holds_the_loop(tmp_path: Path) -> None:
    async with served(tmp_path, None) as service:
        app = make_app(service)
        with measured() as lag:
            lag.label = CLIENT
            assert await faults_of(app, corpus_of(app, service).large(), LARGE_S, lag) == []
        assert lag.worst[1] < MOST_HELD_S, lag.worst
