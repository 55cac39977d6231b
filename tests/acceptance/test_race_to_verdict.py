"""No picture is reachable before its verdict, by any path: a whole service, and a filter that is held back.

Extend `list_addresses` when a new path can show a picture.
"""

import asyncio
import base64
import contextlib
import re
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from websockets.asyncio.client import connect

from mezzotint.config import Settings
from mezzotint.domain.claims import Role
from mezzotint.domain.ids import TenantId, WorkerId
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from mezzotint.main.served_models import build_catalog, find_models
from mezzotint.media import blur_picture, content_hash, encode
from mezzotint.media.uploads.decoder_pool import DecoderPool
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.store import Database
from mezzotint.worker import Catalog, CheckpointInterval, DeviceThread, LoadedModel, Worker, WorkerSettings
from tests.unit.gateway.conftest import service_on
from tests.unit.gateway.serving import serving
from tests.unit.gateway.webhook_receiver import Clock, Receiver, deliver_all, sender_of

pytestmark = pytest.mark.anyio
PICTURE = re.compile(rb"\x89PNG|RIFF....WEBP|data:image|iVBORw0KGgo|UklGR|/i/[0-9a-f]{64}", re.DOTALL)
"""A picture's file, its base64, or its address."""
ENOUGH_ROUNDS = 3
PATIENCE_S = 120


@dataclass
class HeldBackFilter:
    """Gives each verdict only when the test lets it, and keeps the pictures that it was shown."""

    verdict: SafetyVerdict
    shows_previews: bool
    may_judge: threading.Event = field(default_factory=threading.Event)
    may_judge_previews: threading.Event = field(default_factory=threading.Event)
    pictures: list[Image.Image] = field(default_factory=list)
    previews: list[Image.Image] = field(default_factory=list)

    def check(self, image: Image.Image, tier: Tier) -> ImageVerdict:
        self.pictures.append(image)
        assert self.may_judge.wait(PATIENCE_S)
        return ImageVerdict(verdict=self.verdict)

    def is_preview_blocked(self, image: Image.Image, tier: Tier) -> bool:
        self.previews.append(image)
        assert self.may_judge_previews.wait(PATIENCE_S)
        return not self.shows_previews


@dataclass
class Stage:
    """The service with its worker, and all that it sent to anybody: by path, the bytes."""

    service: Service
    address: str
    folder: Path
    image_filter: HeldBackFilter
    receiver: Receiver
    sent: dict[str, list[bytes]] = field(default_factory=dict)
    num_requests: Counter[str] = field(default_factory=Counter)

    def note(self, path: str, data: bytes) -> None:
        self.num_requests[path] += 1
        self.sent.setdefault(path, []).append(data)

    def client(self, *, admin: bool = False) -> httpx.AsyncClient:
        issuer = self.service.issuer
        role = Role.ADMIN if admin else Role.USER
        token = issuer.issue(TenantId("ada"), Tier.PRO, datetime.now(UTC), timedelta(minutes=9), role=role)
        return httpx.AsyncClient(
            base_url=f"http://{self.address}", headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE_S
        )

    def paths_with_pictures(self) -> set[str]:
        return {path for path, answers in self.sent.items() if any(PICTURE.search(data) for data in answers)}

    def stored_pictures(self) -> list[Path]:
        """Files of the object store and the database in which a picture can be recognised."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return [path for path in files if re.search(rb"\x89PNG|RIFF....WEBP|data:image", path.read_bytes(), re.DOTALL)]


Parts = tuple[DecoderPool, Catalog]


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    """Decoders and the starter model, loaded once for all tests."""
    settings = Settings(device="cpu", threads=1)
    catalog = build_catalog(settings, find_models(settings))
    kept: dict[str, LoadedModel] = {}

    def load(name: str, tell: Callable[[float], None]) -> LoadedModel:
        if name not in kept:
            kept[name] = catalog.load(name, tell)
        return kept[name]

    with contextlib.closing(DecoderPool()) as decoders:
        yield decoders, replace(catalog, load=load)


@asynccontextmanager
async def working(tmp_path: Path, parts: Parts, image_filter: HeldBackFilter) -> AsyncIterator[Stage]:
    # the filter's threads wait here: the default pool has no other ones left on a small machine
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(32))
    database = Database(tmp_path / "mezzotint.db")
    await asyncio.to_thread(database.migrate)
    decoders, catalog = parts
    service = service_on(database, tmp_path, decoders)
    service = replace(
        service,
        door=replace(service.door, model=find_models(Settings())[0].info),
        is_ready=lambda: True,
        webhook_sender=sender_of(service, Clock(datetime.now(UTC) + timedelta(minutes=5))),
    )
    worker_settings = WorkerSettings(id=WorkerId("w"), max_runs=4, lease_s=60, max_attempts=1)
    worker = Worker(service.desk, image_filter, worker_settings, lambda: datetime.now(UTC), CheckpointInterval(every=2))
    device = DeviceThread(catalog, worker.reporter(), worker.wants_preview, worker.interval, lambda: None)
    broken: list[BaseException] = []
    async with Receiver().listening() as receiver, serving(service) as address:
        async with worker.running(device, broken.append):
            yield Stage(service=service, address=address, folder=tmp_path, image_filter=image_filter, receiver=receiver)
            image_filter.may_judge.set()
            image_filter.may_judge_previews.set()
        assert broken == []
    await database.close()


async def listen_to_events(stage: Stage, job: str) -> None:
    async with stage.client() as client, client.stream("GET", f"/v1/jobs/{job}/events") as stream:
        async for line in stream.aiter_lines():
            stage.note("server-sent events", line.encode())


async def listen_to_socket(stage: Stage) -> None:
    headers = dict(stage.client().headers)
    address = f"ws://{stage.address}/v1/ws"
    with contextlib.suppress(asyncio.CancelledError):
        async with connect(address, additional_headers={"Authorization": headers["authorization"]}) as socket:
            while True:
                message = await socket.recv()
                stage.note("WebSocket", message.encode() if isinstance(message, str) else message)


async def ask_openai(stage: Stage, *, streams: bool) -> None:
    body: dict[str, Any] = {"prompt": "a blue car --seed 2 --steps 6", "size": "64x64"}
    if streams:
        body |= {"stream": True, "partial_images": 3}
    path = "OpenAI stream" if streams else "OpenAI"
    async with stage.client() as client, client.stream("POST", "/v1/images/generations", json=body) as answer:
        async for line in answer.aiter_lines():
            stage.note(path, line.encode())


async def ask_automatic1111(stage: Stage) -> None:
    async with stage.client() as client:
        body = {"prompt": "a green heart", "seed": 3, "width": 64, "height": 64, "steps": 6}
        stage.note("AUTOMATIC1111", (await client.post("/sdapi/v1/txt2img", json=body)).content)


async def wait_for_the_end(stage: Stage, job: str) -> None:
    async with stage.client() as client:
        stage.note("long poll", (await client.get(f"/v1/jobs/{job}?wait=60")).content)


def list_addresses(stage: Stage, job: str) -> dict[str, str]:
    """Everything that can be asked for, by a name: also the addresses that the pictures will have."""
    addresses = {
        "job": f"/v1/jobs/{job}",
        "jobs": "/v1/jobs",
        "history": "/v1/images",
        "search": "/v1/images?q=apple",
        "all jobs": "/v1/admin/jobs",
        "job of an admin": f"/v1/admin/jobs/{job}",
        "AUTOMATIC1111 progress": "/sdapi/v1/progress",
        "page": "/",
        "metrics": "/metrics",
    }
    for number, picture in enumerate(list(stage.image_filter.pictures)):
        for kind, data in name_files(picture).items():
            addresses[f"file {number} {kind}"] = f"/i/{content_hash(data)}.{kind}"
    return addresses


def name_files(picture: Image.Image) -> dict[str, bytes]:
    files = encode(picture)
    return {"png": files.png, "webp": files.webp}


async def ask_everything(stage: Stage, job: str) -> None:
    async with stage.client(admin=True) as client:
        for name, address in list_addresses(stage, job).items():
            stage.note(name, (await client.get(address)).content)
    await deliver_all(stage.service.webhook_sender)
    for _, body in stage.receiver.got:
        stage.note("webhook", body)


async def check_it_is_no_source(stage: Stage, job: str) -> None:
    """A picture that cannot be fetched must not be drawn upon either."""
    async with stage.client() as client:
        answer = await client.post("/v1/jobs", json={"prompt": "a pear", "task": "variation", "source": job})
    assert answer.status_code in {404, 422}, answer.text


async def poll_until(stage: Stage, job: str, is_reached: Callable[[], bool]) -> None:
    """Ask everything in turn until a moment, and some rounds more."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_reached():
            await ask_everything(stage, job)
            await asyncio.sleep(0.2)  # leaves the processor to the model
        for _ in range(ENOUGH_ROUNDS):
            await ask_everything(stage, job)


@asynccontextmanager
async def asking_for_pictures(stage: Stage) -> AsyncIterator[str]:
    """Four jobs by four interfaces, and everybody who listens; ends when all of them have their answer."""
    async with stage.client() as client:
        hook = {"url": f"http://receiver.test:{stage.receiver.port}/hook"}
        assert (await client.post("/v1/webhooks", json=hook)).status_code == 201
        made = await client.post("/v1/jobs", json={"prompt": "a red apple --seed 1 --steps 6"})
        job = made.json()["id"]
    socket = asyncio.create_task(listen_to_socket(stage))
    async with asyncio.TaskGroup() as group:
        group.create_task(listen_to_events(stage, job))
        group.create_task(wait_for_the_end(stage, job))
        group.create_task(ask_openai(stage, streams=True))
        group.create_task(ask_openai(stage, streams=False))
        group.create_task(ask_automatic1111(stage))
        yield job
    socket.cancel()
    await socket


async def test_no_path_shows_a_preview_or_a_picture_before_its_verdict_and_all_show_it_after(
    tmp_path: Path, parts: Parts
) -> None:
    image_filter = HeldBackFilter(SafetyVerdict.ALLOW, shows_previews=True)
    async with working(tmp_path, parts, image_filter) as stage:
        async with asking_for_pictures(stage) as job:
            await poll_until(stage, job, lambda: bool(image_filter.previews))
            assert stage.paths_with_pictures() == set(), "no preview was judged yet"
            image_filter.may_judge_previews.set()
            await poll_until(stage, job, lambda: len(image_filter.pictures) == 4)
            shown = stage.paths_with_pictures()
            assert shown <= {"server-sent events", "WebSocket", "OpenAI stream", "AUTOMATIC1111 progress"}, "previews"
            assert not any(re.search(rb"/i/[0-9a-f]{64}", data) for all in stage.sent.values() for data in all)
            assert [path for path in stage.stored_pictures() if "images" in path.parts] == []
            files = [data for picture in image_filter.pictures for data in name_files(picture).values()]
            assert not any(_shows(data, sent) for data in files for all in stage.sent.values() for sent in all)
            await check_it_is_no_source(stage, job)
            num_before = sum(stage.num_requests.values())
            image_filter.may_judge.set()
        await ask_everything(stage, job)
        assert num_before > 80
        # the same search finds them now: it could have found them before
        after = stage.paths_with_pictures()
        assert after >= {"job", "jobs", "history", "search", "long poll", "server-sent events", "WebSocket"}
        assert after >= {"OpenAI", "OpenAI stream", "AUTOMATIC1111", "webhook", "file 0 png", "file 0 webp"}


async def test_no_path_ever_shows_a_picture_that_is_blocked(tmp_path: Path, parts: Parts) -> None:
    image_filter = HeldBackFilter(SafetyVerdict.BLOCK, shows_previews=False)
    image_filter.may_judge_previews.set()
    image_filter.may_judge.set()
    async with working(tmp_path, parts, image_filter) as stage:
        async with asking_for_pictures(stage) as job:
            await poll_until(stage, job, lambda: len(image_filter.pictures) == 4)
        await ask_everything(stage, job)
        await check_it_is_no_source(stage, job)
        assert stage.paths_with_pictures() == set()
        assert stage.stored_pictures() == []


async def test_of_a_blurred_picture_only_the_blurred_file_is_reachable(tmp_path: Path, parts: Parts) -> None:
    image_filter = HeldBackFilter(SafetyVerdict.BLUR, shows_previews=False)
    image_filter.may_judge_previews.set()
    image_filter.may_judge.set()
    async with working(tmp_path, parts, image_filter) as stage:
        async with asking_for_pictures(stage) as job:
            await poll_until(stage, job, lambda: len(image_filter.pictures) == 4)
        await ask_everything(stage, job)
        async with stage.client() as client:
            answer = (await client.get(f"/v1/jobs/{job}")).json()
            (image,) = answer["images"]
            delivered = await client.get(image["png_url"])
        assert image["verdict"] == "blur"
        sharp = [data for picture in image_filter.pictures for data in name_files(picture).values()]
        blurred = [name_files(blur_picture(picture))["png"] for picture in image_filter.pictures]
        assert delivered.content in blurred
        assert not any(_shows(data, sent) for data in sharp for all in stage.sent.values() for sent in all)
        assert not set(sharp) & {path.read_bytes() for path in stage.stored_pictures()}


def _shows(file: bytes, sent: bytes) -> bool:
    return file in sent or base64.b64encode(file) in sent or content_hash(file).encode() in sent
