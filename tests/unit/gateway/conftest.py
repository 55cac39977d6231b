"""The real application over a real store, without a worker: jobs stay where the tests put them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import httpx
import numpy as np
import pytest
from argon2 import PasswordHasher
from PIL import Image

from mezzotint.actions.finish import BackingServices
from mezzotint.actions.safety.overrides import OverridesFollower
from mezzotint.actions.screen import TextScreen
from mezzotint.domain.ids import TenantId
from mezzotint.domain.task import Task
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Issuer, Service
from mezzotint.gateway.wiring import Filters, build_service, utc_now
from mezzotint.main.safety.controls import build_controls
from mezzotint.media.uploads.decoder_pool import DecoderPool
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.safety.policy_file import load_policy
from mezzotint.safety.text.prefilter import PreFilter
from mezzotint.safety.text.text_filter import TextFilter
from mezzotint.store import Database, EventBus, Objects, Store
from mezzotint.store.accounts.passwords import Passwords
from tests.making import make_model
from tests.unit.gateway.applications import make_app

SECRET = b"s" * 32
QUICK_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Endless:
    """A body that never ends, and how many bytes of it were asked for."""

    num_read = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            self.num_read += 2**20
            yield bytes(2**20)


@pytest.fixture(scope="session")
def decoders() -> Iterator[DecoderPool]:
    """Processes that all tests share."""
    with closing(DecoderPool()) as pool:
        yield pool


@pytest.fixture
async def service(tmp_path: Path, database_file: Path, decoders: DecoderPool) -> AsyncIterator[Service]:
    database = Database(database_file)
    yield service_on(database, tmp_path, decoders, Passwords(QUICK_HASHER))
    await database.close()
    await join_connections()


@cache
def load_rules_once() -> PreFilter:
    """The built-in rules: to read them takes longer than most tests."""
    return PreFilter.load()


def service_on(database: Database, folder: Path, decoders: DecoderPool, passwords: Passwords | None = None) -> Service:
    """The gateway's parts as `serve` puts them together, over a migrated database and a folder for objects."""
    store = Store(database, passwords=passwords)
    backing = BackingServices(jobs=store.jobs, objects=Objects(folder / "objects"), bus=EventBus())
    follower = OverridesFollower(overrides=store.overrides, now=utc_now)
    rules = PreFilter(None, load_rules_once()._loaded, follower.read_current)
    text_filter = TextFilter(rules, load_policy(None), None, follower.read_current)
    service = build_service(
        store,
        backing,
        issuer=Issuer(SECRET),
        models=[make_model()],
        filters=Filters(
            screen=TextScreen(judge=text_filter.judge),
            image_filter=RedFilter(),
            safety=build_controls(store, follower, text_filter),
        ),
    )
    return replace(service, uploader=replace(service.uploader, decoders=decoders), is_ready=lambda: False)


async def join_connections() -> None:
    """Wait for the threads of connections that were being opened when a server was stopped by force.

    Each tells the loop how that went; of a loop that is closed by then, a later test would hear.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            while any("_connection_worker_thread" in thread.name for thread in threading.enumerate()):
                await asyncio.sleep(0.01)  # a thread's end has no event to wait for


class RedFilter:
    """An image filter that blocks what is mostly red, but not as an upload: the real ones have tests of their own."""

    def check(self, picture: Image.Image, tier: Tier) -> ImageVerdict:
        red, green, _ = np.asarray(picture, float).mean(axis=(0, 1))
        is_red = red > 200 and green < 50
        return ImageVerdict(
            verdict=SafetyVerdict.BLOCK if is_red else SafetyVerdict.ALLOW,
            category=SafetyCategory.VIOLENCE if is_red else None,
            scores={"red": {"violence": red / 255}},
            version="1",
        )

    def judge_upload(self, picture: Image.Image, tier: Tier) -> ImageVerdict:
        return ImageVerdict(verdict=SafetyVerdict.ALLOW, version="1")


@asynccontextmanager
async def database_away(service: Service, folder: Path) -> AsyncIterator[None]:
    """The database of `service`, which lies in the folder, cannot be opened within the block."""
    path = folder / "mezzotint.db"
    await service.backing.jobs._database.close()
    path.rename(folder / "away")
    path.mkdir()
    try:
        yield
    finally:
        path.rmdir()
        (folder / "away").rename(path)


Connect = Callable[..., httpx.AsyncClient]


@pytest.fixture
def able(service: Service) -> Service:
    """The service of a model that can do everything but edit."""
    return replace(
        service,
        admission=replace(
            service.admission,
            model=replace(service.admission.model, tasks=tuple(task for task in Task if task is not Task.EDIT)),
        ),
    )


@pytest.fixture
def connect(service: Service) -> Connect:
    """A client of a tenant; no tenant: without a token."""

    def connect(
        tenant: str | None = "ada", tier: Tier = Tier.FREE, served: Service = service, peer: str = "127.0.0.1"
    ) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(make_app(served), raise_app_exceptions=False, client=(peer, 1))
        headers = {}
        if tenant is not None:
            token = service.issuer.issue(TenantId(tenant), tier, datetime.now(UTC), timedelta(minutes=5))
            headers = {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400", headers=headers)

    return connect
