"""Every path by which a picture could reach somebody, asked of a whole service with its worker.

Extend `list_addresses` when a new path can show a picture.
"""

import asyncio
import base64
import contextlib
import re
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from mezzotint.config import Settings
from mezzotint.domain.claims import Role
from mezzotint.domain.ids import TenantId, WorkerId
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from mezzotint.main.served_models import find_models
from mezzotint.media import content_hash, encode
from mezzotint.media.uploads.decoder_pool import DecoderPool
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.store import Database
from mezzotint.worker import Catalog, CheckpointInterval, DeviceThread, Worker, WorkerSettings
from tests.sockets import connect_socket
from tests.unit.gateway.conftest import service_on
from tests.unit.gateway.serving import serving
from tests.unit.gateway.webhook_receiver import Clock, Receiver, deliver_all, sender_of

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
        admission=replace(service.admission, model=find_models(Settings())[0].info),
        is_ready=lambda: True,
        webhook_sender=sender_of(service, Clock(datetime.now(UTC) + timedelta(minutes=5))),
    )
    worker_settings = WorkerSettings(id=WorkerId("w"), max_runs=4, lease_s=60, max_attempts=1)
    worker = Worker(
        service.backing, image_filter, worker_settings, lambda: datetime.now(UTC), CheckpointInterval(every=2)
    )
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
        async with connect_socket(address, additional_headers={"Authorization": headers["authorization"]}) as socket:
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


def shows_file(file: bytes, sent: bytes) -> bool:
    return file in sent or base64.b64encode(file) in sent or content_hash(file).encode() in sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """begun_at: when the request was sent, in seconds of the loop's clock. shows: whether the answer has a picture, its
    address, or says that the client's copy is still good."""

    path: str
    begun_at: float
    shows: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnPictures:
    """Jobs that have ended, and the addresses and tags of their files."""

    jobs: tuple[str, ...]
    tags: dict[str, str]

    @classmethod
    async def read(cls, client: httpx.AsyncClient) -> "DrawnPictures":
        jobs = (await client.get("/v1/jobs")).json()["jobs"]
        addresses = [image[name] for job in jobs for image in job["images"] for name in ("url", "png_url")]
        tags = {address: (await client.get(address)).headers["etag"] for address in addresses}
        return cls(jobs=tuple(job["id"] for job in jobs), tags=tags)

    def list_requests(self) -> list[tuple[str, httpx.Request]]:
        """Requests that show the pictures or their addresses, each with the name of its path."""
        asked: list[tuple[str, str, str, dict[str, str]]] = []
        for address, tag in self.tags.items():
            asked += [
                ("file", "GET", address, {}),
                ("file, HEAD", "HEAD", address, {}),
                ("file, range", "GET", address, {"Range": "bytes=0-99"}),
                ("file, known", "GET", address, {"If-None-Match": tag}),
                ("file, any known", "GET", address, {"If-None-Match": "*"}),
            ]
        for job in self.jobs:
            asked += [
                ("job", "GET", f"/v1/jobs/{job}", {}),
                ("job, long poll", "GET", f"/v1/jobs/{job}?wait=5", {}),
                ("events", "GET", f"/v1/jobs/{job}/events", {}),
                ("events, replayed", "GET", f"/v1/jobs/{job}/events", {"Last-Event-ID": "1"}),
                ("job of an admin", "GET", f"/v1/admin/jobs/{job}", {}),
            ]
        for name, path in (
            ("jobs", "/v1/jobs"),
            ("jobs that succeeded", "/v1/jobs?state=succeeded"),
            ("history", "/v1/images"),
            ("search", "/v1/images?q=red"),
            ("all jobs", "/v1/admin/jobs"),
            ("AUTOMATIC1111 progress", "/sdapi/v1/progress"),
            ("page", "/"),
        ):
            asked.append((name, "GET", path, {}))
        return [(name, httpx.Request(method, f"http://x{path}", headers=more)) for name, method, path, more in asked]


async def probe(stage: Stage, address: str, drawn: DrawnPictures, answers: list[Answer]) -> None:
    """Ask one gateway for everything once, in turn."""
    loop = asyncio.get_running_loop()
    async with stage.client(admin=True) as client:
        client.base_url = httpx.URL(f"http://{address}")
        for name, request in drawn.list_requests():
            begun_at = loop.time()
            answer = await client.request(request.method, request.url.raw_path.decode(), headers=request.headers)
            is_file = name.startswith("file")
            shows = answer.status_code < 400 if is_file else PICTURE.search(answer.content) is not None
            answers.append(Answer(path=name, begun_at=begun_at, shows=shows))
        body = {"prompt": "a red apple --seed 1 --steps 6"}
        begun_at = loop.time()
        again = await client.post("/v1/jobs", json=body, headers={"Idempotency-Key": "the first"})
        answers.append(
            Answer(path="repeated request", begun_at=begun_at, shows=PICTURE.search(again.content) is not None)
        )
    begun_at = loop.time()
    answers.append(Answer(path="socket, replayed", begun_at=begun_at, shows=await replay_socket(stage, address)))


async def replay_socket(stage: Stage, address: str) -> bool:
    """Whether a socket that asks for everything since an hour ago is told of a picture."""
    since = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    headers = {"Authorization": stage.client().headers["authorization"]}
    shows = False
    async with connect_socket(f"ws://{address}/v1/ws?since={since}", additional_headers=headers) as socket:
        with contextlib.suppress(TimeoutError):
            while True:
                message = await asyncio.wait_for(socket.recv(), 0.3)
                data = message.encode() if isinstance(message, str) else message
                shows = shows or PICTURE.search(data) is not None
    return shows


async def probe_until(
    stage: Stage, address: str, drawn: DrawnPictures, answers: list[Answer], stop: asyncio.Event
) -> None:
    while not stop.is_set():
        await probe(stage, address, drawn, answers)
