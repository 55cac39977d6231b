"""Notices of spot machines, from a local server that speaks the answers of AWS and Google."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from mezzotint.worker.fleet.spot import Cloud, SpotPoller, make_metadata_client

pytestmark = pytest.mark.anyio
ACTION = {"action": "terminate", "time": "2026-11-29T08:22:00Z"}


class Metadata(ThreadingHTTPServer):
    """action: of AWS. preempted: of Google. tokens: those that are valid; requests: what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.action: bytes | None = None
        self.preempted = "FALSE"
        self.flavor: str | None = "Google"
        self.tokens: set[str] = set()
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    server: Metadata

    def do_PUT(self) -> None:
        self.server.requests.append(f"PUT {self.path}")
        if self.path != "/latest/api/token" or not self.headers.get("X-aws-ec2-metadata-token-ttl-seconds"):
            self._answer(400, b"")
            return
        token = f"token {len(self.server.requests)}"
        self.server.tokens.add(token)
        self._answer(200, token.encode())

    def do_GET(self) -> None:
        self.server.requests.append(f"GET {self.path}")
        if self.path == "/latest/meta-data/spot/instance-action":
            if self.headers.get("X-aws-ec2-metadata-token") not in self.server.tokens:
                self._answer(401, b"")
            elif self.server.action is None:
                self._answer(404, b"<?xml version='1.0'?><html>Not Found</html>")
            else:
                self._answer(200, self.server.action)
        elif self.path == "/computeMetadata/v1/instance/preempted":
            is_asked_rightly = self.headers.get("Metadata-Flavor") == "Google"
            self._answer(200 if is_asked_rightly else 403, self.server.preempted.encode())
        else:
            self._answer(404, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if self.server.flavor and self.path.startswith("/computeMetadata"):
            self.send_header("Metadata-Flavor", self.server.flavor)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    with serving(Metadata()) as server:
        yield server


@contextmanager
def serving(server: Metadata) -> Iterator[Metadata]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_poller(cloud: Cloud, url: str, client: httpx.AsyncClient, told: list[str]) -> SpotPoller:
    async def on_notice(notice: str) -> None:
        told.append(notice)

    return SpotPoller(cloud=cloud, client=client, on_notice=on_notice, address=url)


async def test_aws_tells_of_the_end_once_its_action_is_there(metadata: Metadata) -> None:
    told: list[str] = []
    async with make_metadata_client() as client:
        poller = make_poller(Cloud.AWS, metadata.url, client, told)
        await poller.look()
        assert told == []
        metadata.tokens.clear()  # the session ran out
        metadata.action = json.dumps(ACTION).encode()
        for _ in range(4):
            await poller.look()
    assert told == ["the cloud will terminate this machine at 2026-11-29T08:22:00Z"]
    assert metadata.requests.count("PUT /latest/api/token") == 2


async def test_google_tells_of_the_end_by_one_word(metadata: Metadata) -> None:
    told: list[str] = []
    async with make_metadata_client() as client:
        poller = make_poller(Cloud.GCP, metadata.url, client, told)
        await poller.look()
        assert told == []
        metadata.preempted = "TRUE"
        await poller.look()
        await poller.look()
    assert told == ["the cloud preempts this machine"]


@pytest.mark.parametrize("cloud", list(Cloud))
async def test_whatever_is_no_metadata_server_gives_no_notice(metadata: Metadata, cloud: Cloud) -> None:
    told: list[str] = []
    metadata.flavor, metadata.preempted = None, "TRUE"
    async with make_metadata_client() as client:
        for action in (b"[]", b"{", b'{"action": "terminate"}', b"x" * 100_000):
            metadata.action = action
            await make_poller(cloud, metadata.url, client, told).look()
        await make_poller(cloud, "http://127.0.0.1:9", client, told).look()
    assert told == []


def test_the_addresses_are_those_of_the_clouds() -> None:
    addresses = {cloud: make_poller(cloud, "", httpx.AsyncClient(), []).address for cloud in Cloud}
    assert addresses == {Cloud.AWS: "http://169.254.169.254", Cloud.GCP: "http://metadata.google.internal"}
