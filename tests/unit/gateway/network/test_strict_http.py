"""Requests that a proxy and this server might read in two ways, sent as bytes to a real server."""

import asyncio
import re

import pytest

from mezzotint.gateway import Service
from tests.raw_streams import connected
from tests.unit.gateway.serving import serving

pytestmark = pytest.mark.anyio
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
POST = "POST /v1/jobs HTTP/1.1\r\nHost: a\r\n"
REFUSED = {
    "length and coding": POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": POST + "Transfer-Encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "one length twice": POST + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "list of lengths": POST + "Content-Length: 5, 6\r\n\r\nhello",
    "length with a sign": POST + "Content-Length: +5\r\n\r\nhello",
    "length in hex": POST + "Content-Length: 0x5\r\n\r\nhello",
    "negative length": POST + "Content-Length: -5\r\n\r\nhello",
    "length of no number": POST + "Content-Length: five\r\n\r\nhello",
    "space before the colon": POST + "Content-Length : 5\r\n\r\nhello",
    "other coding": POST + "Transfer-Encoding: gzip\r\n\r\nhello",
    "coding after another": POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding twice": POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding with a tab in it": POST + "Transfer-Encoding: chun\tked\r\n\r\n0\r\n\r\n",
    "coding of HTTP/1.0": "POST /v1/jobs HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded header": "GET /healthz HTTP/1.1\r\nHost: a\r\nX-One: a\r\n b\r\n\r\n",
    "folded coding": POST + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "folded first line": "GET /healthz HTTP/1.1\r\n Host: a\r\nHost: b\r\n\r\n",
    "line ends without CR": "GET /healthz HTTP/1.1\nHost: a\n\n",
    "one line end without CR": "GET /healthz HTTP/1.1\r\nHost: a\nX-One: b\r\n\r\n",
    "last line end without CR": "GET /healthz HTTP/1.1\r\nHost: a\r\n\n",
    "CR without LF": "GET /healthz HTTP/1.1\r\nHost: a\r\nX-One: a\rX-Two: b\r\n\r\n",
    "NUL in a value": "GET /healthz HTTP/1.1\r\nHost: a\r\nX-One: a\0b\r\n\r\n",
    "control character": "GET /healthz HTTP/1.1\r\nHost: a\r\nX-One: a\x01b\r\n\r\n",
    "absolute target": "GET http://evil.example/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "authority as target": "CONNECT evil.example:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "asterisk as target": "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "target without a slash": "GET healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "space in the target": "GET /health z HTTP/1.1\r\nHost: a\r\n\r\n",
    "method in lower case": "get /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "method of signs": "G!T /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "no method": " /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "no version": "GET /healthz\r\nHost: a\r\n\r\n",
    "another version": "GET /healthz HTTP/3.0\r\nHost: a\r\n\r\n",
    "empty line first": "\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "no host": "GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "header without a name": "GET /healthz HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
    "header without a colon": "GET /healthz HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
    "long head": "GET /healthz HTTP/1.1\r\nHost: a\r\n" + "X-One: 1\r\n" * 2000 + "\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "chunk size of no number": POST + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "chunk without its end": POST + "Transfer-Encoding: chunked\r\n\r\n1\r\nabGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
}


async def ask(address: str, request: str, *, answers: int = 1) -> bytes:
    """What comes back until the server closes or has answered that often."""
    received = b""
    async with connected(address, request.encode("latin-1")) as (reader, _), asyncio.timeout(30):
        while len(STATUS.findall(received)) < answers or not received.endswith((b"}", b"</p>")):
            part = await reader.read(65536)
            if not part:
                break
            received += part
    return received


async def test_what_could_be_read_in_two_ways_is_refused(service: Service) -> None:
    async with serving(service) as address:
        for name, request in REFUSED.items():
            answer = await ask(address, request)
            assert STATUS.findall(answer) == [b"400"], (name, answer)
            assert b'"code":"request_malformed"' in answer, (name, answer)
            assert b"connection: close" in answer, (name, answer)


async def test_a_good_request_is_answered_in_every_form_that_clients_send(service: Service) -> None:
    good = {
        "plain": "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.0": "GET /healthz HTTP/1.0\r\nHost: a\r\n\r\n",
        "query": "GET /healthz?a=b&c=%20 HTTP/1.1\r\nHost: a\r\n\r\n",
        "tab in a value": "GET /healthz HTTP/1.1\r\nHost: a\r\nX-One: a\tb\r\n\r\n",
        "text beyond ASCII": "GET /healthz HTTP/1.1\r\nHost: a\r\nX-One: caf\xe9\r\n\r\n",
        "length in the name of another": "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Content-Length: 1\r\n\r\n",
    }
    async with serving(service) as address:
        for name, request in good.items():
            assert (await ask(address, request)).startswith(b"HTTP/1.1 200 "), name
        chunked = "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        assert (await ask(address, POST + chunked)).startswith(b"HTTP/1.1 401 ")


async def test_no_request_hides_behind_a_good_one(service: Service) -> None:
    good = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    early = "POST /v1/nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + "x" * 100_000
    async with serving(service) as address:
        for first in (good, early):
            answer = await ask(address, first + REFUSED["length and coding"], answers=2)
            assert STATUS.findall(answer)[1:] == [b"400"], answer
            assert b'"code":"request_malformed"' in answer


async def test_a_head_in_single_bytes_is_read_as_strictly(service: Service) -> None:
    async with serving(service) as address, connected(address) as (reader, writer):
        for byte in REFUSED["one line end without CR"].encode():
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")


async def test_strangers_do_not_fill_the_log(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    upgrade = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    async with serving(service) as address:
        assert STATUS.findall(await ask(address, REFUSED["TLS"])) == [b"400"]
        assert STATUS.findall(await ask(address, upgrade)) == [b"200"]
        assert not caplog.records
    counted = service.backing.metrics.registry.get_sample_value(
        "mezzotint_connections_ended_total", {"why": "malformed"}
    )
    assert counted == 1
