"""deploy/nginx.conf, run by a real nginx in front of a real server: only ports, names, files and times are changed."""

import asyncio
import re
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mezzotint.gateway import Service
from mezzotint.gateway.network.connections import ConnectionLimits
from mezzotint.gateway.network.forwarded import TrustedProxies
from mezzotint.gateway.network.hosts import read_hosts
from mezzotint.gateway.rate_limits import RateLimits
from mezzotint.main.dev_up.nginx_server import embed_site, find_nginx
from mezzotint.store import LocalBuckets
from tests.making import make_job
from tests.raw_streams import connected
from tests.servers import free_port
from tests.sockets import connect_socket
from tests.unit.gateway.routes.test_uploads import picture
from tests.unit.gateway.serving import serving
from tests.unit.gateway.streams.test_websocket import bearer, heard

NGINX = find_nginx()
SHIPPED = Path(__file__).parents[4] / "deploy" / "nginx.conf"
NAME = "pictures.example.org"
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(NGINX is None, reason="nginx is not installed")]


@dataclass(frozen=True)
class Proxy:
    url: str
    port: int
    trust: ssl.SSLContext

    def client(self, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
        """As one that found the proxy by its name."""
        named = {"Host": f"{NAME}:{self.port}", **(headers or {})}
        return httpx.AsyncClient(base_url=self.url, verify=self.trust, headers=named, timeout=60)


def make_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    signed = made.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8
    (folder / "privkey.pem").write_bytes(key.private_bytes(pem, plain, serialization.NoEncryption()))
    (folder / "fullchain.pem").write_bytes(signed.public_bytes(pem))


def configured(folder: Path, upstream: str, port: int, changes: dict[str, str]) -> str:
    """The shipped file with its marked lines changed, in the least that nginx needs around it."""
    site = SHIPPED.read_text()
    changes = {
        "127.0.0.1:8400": upstream,
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/mezzotint": str(folder),
        **changes,
    }
    for before, after in changes.items():
        assert before in site, before
        site = site.replace(before, after)
    return embed_site(site, folder)


@asynccontextmanager
async def proxied(service: Service, folder: Path, **changes: str) -> AsyncIterator[Proxy]:
    """nginx before the service, which trusts it and answers to its name alone."""
    make_certificate(folder)
    limits = ConnectionLimits(proxies=TrustedProxies.read("127.0.0.1"))
    port = free_port()
    async with serving(replace(service, allowed_hosts=read_hosts(NAME)), limits) as upstream:
        path = folder / "nginx.conf"
        path.write_text(configured(folder, upstream, port, changes))
        process = subprocess.Popen([str(NGINX), "-e", str(folder / "error.log"), "-c", str(path)])
        trust = ssl.create_default_context(cafile=str(folder / "fullchain.pem"))
        trust.check_hostname = False
        try:
            await until_it_listens(process, port, folder / "error.log")
            yield Proxy(f"https://127.0.0.1:{port}", port, trust)
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 30)


async def until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    async with asyncio.timeout(30):
        while True:
            assert process.poll() is None, log.read_text()
            try:
                async with connected(f"127.0.0.1:{port}"):
                    return
            except OSError:
                await asyncio.sleep(0.02)  # another process's start: there is no event to wait for


async def raw(proxy: Proxy, sent: bytes) -> bytes:
    """What comes back until the proxy closes."""
    async with connected(f"127.0.0.1:{proxy.port}", sent, trust=proxy.trust) as (reader, _), asyncio.timeout(30):
        try:
            return await reader.read()
        except (ConnectionResetError, ssl.SSLError):
            return b""


async def test_everything_comes_through_unbuffered_where_it_must(service: Service, tmp_path: Path) -> None:
    job = make_job()
    await service.backing.jobs.add(job)
    async with proxied(service, tmp_path) as proxy, proxy.client(bearer(service)) as ada:
        assert (await ada.get("/v1/me")).json()["tenant"] == "ada"
        assert (await ada.post("/v1/uploads", content=picture())).status_code == 201
        async with ada.stream("GET", f"/v1/jobs/{job.id}/events") as events:
            async with asyncio.timeout(30):
                first = await anext(events.aiter_lines())
        assert first, "an event of a job that does not end comes at once"
        url, headers = f"wss://{NAME}:{proxy.port}/v1/ws", bearer(service)
        async with connect_socket(url, ssl=proxy.trust, additional_headers=headers, host="127.0.0.1") as socket:
            assert (await heard(socket))["type"] == "hello"


async def test_a_client_cannot_choose_the_address_that_it_is_counted_by(service: Service, tmp_path: Path) -> None:
    counted = replace(service, rate_limits=RateLimits(buckets=LocalBuckets(clock=lambda: 1000.0)))
    async with proxied(counted, tmp_path) as proxy, proxy.client() as nobody:
        remaining = []
        for header in ("203.0.113.1", "garbage", "127.0.0.1"):
            answer = await nobody.get("/healthz", headers={"X-Forwarded-For": header})
            remaining.append(answer.headers["RateLimit-Remaining"])
        assert remaining == ["299", "298", "297"], "even this machine counts where a proxy speaks for it"
        assert (await nobody.get("/metrics")).status_code == 403


async def test_another_host_is_refused(service: Service, tmp_path: Path) -> None:
    async with proxied(service, tmp_path) as proxy, proxy.client() as nobody:
        assert (await nobody.get("/healthz", headers={"Host": "evil.example"})).status_code == 421


async def test_slow_clients_cost_the_server_nothing(service: Service, tmp_path: Path) -> None:
    token = bearer(service)["Authorization"]
    post = f"POST /v1/uploads HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: {token}\r\nContent-Length: 9999\r\n\r\nx"
    async with proxied(service, tmp_path, **{"10s;": "1s;"}) as proxy:
        head, body = await asyncio.gather(raw(proxy, b"GET /healthz HTTP/1.1\r\nHost: "), raw(proxy, post.encode()))
        assert (head, body.partition(b" ")[2][:3]) in {(b"", b""), (b"", b"408")}
        assert not service.bodies.reserved, "the server never heard of the body"


async def test_bodies_and_requests_are_bounded(service: Service, tmp_path: Path) -> None:
    async with proxied(service, tmp_path) as proxy, proxy.client(bearer(service)) as ada:
        assert (await ada.post("/v1/uploads", content=bytes(25 * 2**20))).status_code == 413
        head = f"POST /v1/jobs HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert (await raw(proxy, head.encode() + b"0\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


async def test_one_address_has_so_many_requests_at_once(service: Service, tmp_path: Path) -> None:
    job = make_job()
    await service.backing.jobs.add(job)
    limit = {"mezzotint_connections 100;": "mezzotint_connections 3;"}
    async with proxied(service, tmp_path, **limit) as proxy, proxy.client(bearer(service)) as ada:
        async with AsyncExitStack() as streams:
            for _ in range(3):
                stream = ada.stream("GET", f"/v1/jobs/{job.id}/events")
                assert (await streams.enter_async_context(stream)).status_code == 200
            assert (await ada.get("/healthz")).status_code == 429
        async with asyncio.timeout(30):
            while (await ada.get("/healthz")).status_code != 200:
                await asyncio.sleep(0.02)  # until nginx saw the streams close


@pytest.mark.parametrize("slash", ["/", ""], ids=["taken off", "left on"])
async def test_everything_comes_through_under_a_path(service: Service, tmp_path: Path, slash: str) -> None:
    job = make_job()
    await service.backing.jobs.add(job)
    changes = {
        "location / {": "location /paint/ {",
        "proxy_pass http://mezzotint;": f"proxy_pass http://mezzotint{slash};",
        'X-Forwarded-Prefix "";  #': "X-Forwarded-Prefix /paint;  #",
    }
    async with proxied(service, tmp_path, **changes) as proxy, proxy.client(bearer(service)) as ada:
        assert (await ada.get("/paint/v1/me")).json()["tenant"] == "ada"
        assert (await ada.get("/v1/me")).status_code == 404, "nginx knows nothing else"
        assert (await ada.post("/paint/v1/uploads", content=picture())).status_code == 201
        made = await ada.post("/paint/v1/jobs", json={"prompt": "a red apple", "new": True})
        assert (await ada.get(made.headers["location"])).json()["id"] == made.json()["id"]
        page = await ada.get("/paint/")
        for link in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            assert (await ada.get(page.url.join(link))).status_code == 200
        async with ada.stream("GET", f"/paint/v1/jobs/{job.id}/events") as events:
            async with asyncio.timeout(30):
                assert await anext(events.aiter_lines())
        url, headers = f"wss://{NAME}:{proxy.port}/paint/v1/ws", bearer(service)
        async with connect_socket(url, ssl=proxy.trust, additional_headers=headers, host="127.0.0.1") as socket:
            assert (await heard(socket))["type"] == "hello"
        address = f"https://{NAME}:{proxy.port}"
        said = {"Origin": address, "X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil"}
        signed = await ada.post("/paint/v1/sign-in", json={"name": "x", "password": "y"}, headers=said)
        assert signed.json()["error"]["code"] == "password_wrong", "it comes from the page of this very host"


async def test_nginx_overwrites_what_clients_say_of_host_and_prefix(service: Service, tmp_path: Path) -> None:
    async with proxied(service, tmp_path) as proxy, proxy.client(bearer(service)) as ada:
        said = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil"}
        made = await ada.post("/v1/jobs", json={"prompt": "a red apple"}, headers=said)
        assert made.status_code == 202, "not 421"
        assert made.headers["location"].startswith("/v1/jobs/")
