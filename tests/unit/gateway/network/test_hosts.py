"""Which Host headers a server takes: with --dev exactly this machine's, else those that the operator names."""

from dataclasses import replace

import pytest
from websockets.exceptions import InvalidStatus

from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from mezzotint.gateway.network.hosts import names_this_machine, read_hosts
from mezzotint.gateway.routes.about import DEV_LIFETIME, DEV_TENANT
from tests.sockets import connect_socket
from tests.unit.gateway.conftest import Connect
from tests.unit.gateway.serving import serving

OURS = ["localhost", "localhost:8400", "LocalHost:8400", "127.0.0.1", "127.0.0.1:8400", "[::1]", "[::1]:8400"]
NOT_OURS = [
    *("localhost.evil.example", "127.0.0.1.nip.io", "evil.example", "evil.example:8400", "localhost.", "127.0.0.1."),
    *("127.0.0.1:8400@evil.example", "evil.example@127.0.0.1", "localhost:evil", "localhost:", "localhost:84000000"),
    *("::1", "[::2]", "[::1", "[::1].evil.example", "127.1", "2130706433", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]"),
    *("", " ", "localhost evil.example", "localhost,evil.example", "localhost/evil", "localhost\\evil", "127.0.0.1#"),
]


@pytest.mark.parametrize("host", OURS)
def test_a_loopback_name_is_this_machine(host: str) -> None:
    assert names_this_machine(host)


@pytest.mark.parametrize("host", NOT_OURS)
def test_anything_else_is_not(host: str) -> None:
    assert not names_this_machine(host)


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/session", "/sdapi/v1/options", "/metrics", "/openapi.json"])
async def test_with_dev_no_route_answers_another_host(connect: Connect, service: Service, path: str) -> None:
    async with connect(None, served=replace(service, is_dev=True)) as page:
        for host in NOT_OURS:
            answer = await page.get(path, headers={"host": host})
            assert (answer.status_code, answer.json()["error"]["code"]) == (421, "host_unknown"), host
        for host in OURS:
            assert (await page.get("/healthz", headers={"host": host})).status_code == 200, host


@pytest.mark.anyio
async def test_with_dev_no_websocket_opens_for_another_host(service: Service) -> None:
    token = service.issuer.issue(DEV_TENANT, Tier.PRO, service.now(), DEV_LIFETIME)
    async with serving(replace(service, is_dev=True)) as address:
        headers = {"Authorization": f"Bearer {token}"}
        async with connect_socket(f"ws://{address}/v1/ws", additional_headers=headers):
            pass
        host, _, port = address.rpartition(":")
        with pytest.raises(InvalidStatus, match="421"):
            await connect_socket(f"ws://rebound.example:{port}/v1/ws", additional_headers=headers, host=host)


@pytest.mark.anyio
async def test_without_dev_any_host_is_served_until_the_operator_names_them(connect: Connect, service: Service) -> None:
    async with connect(None) as client:
        assert (await client.get("/healthz", headers={"host": "pictures.example"})).status_code == 200
    named = replace(service, allowed_hosts=read_hosts("pictures.example, Other.Example"))
    async with connect(None, served=named) as client:
        for host in ("pictures.example", "PICTURES.example:443", "other.example", "127.0.0.1:8400"):
            assert (await client.get("/healthz", headers={"host": host})).status_code == 200, host
        for host in ("evil.example", "pictures.example.evil.example", "pictures.example@evil.example"):
            assert (await client.get("/healthz", headers={"host": host})).status_code == 421, host


@pytest.mark.parametrize("text", ["http://pictures.example", "pictures.example:443", "*.example"])
def test_a_host_that_could_never_match_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="not a host name"):
        read_hosts(text)
