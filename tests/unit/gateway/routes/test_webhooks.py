"""Webhooks are registered with addresses that can be reached, up to ten of them."""

from dataclasses import replace

import pytest

from mezzotint.gateway import Service
from mezzotint.gateway.safe_http import Allowlist, PublicOnlyClient
from tests.unit.gateway.conftest import Connect
from tests.unit.gateway.webhook_receiver import (
    UNUSABLE_HOSTS,
    Clock,
    Receiver,
    deliver_all,
    end_a_job,
    registered,
    sender_of,
)

pytestmark = pytest.mark.anyio


PRIVATE = [
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2002:808:808::",
    "64:ff9b:1::a00:1",
    "::10.0.0.1",
    "5f00::1",
    "3fff::1",
    "2001:0:7f00:1::f5ff:fffe",
    "2606:4700::5efe:10.0.0.1",
]


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_private_address_is_refused_however_it_is_written(connect: Connect, address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    async with connect() as ada:
        answer = await ada.post("/v1/webhooks", json={"url": f"https://{host}/hook"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "webhook_address_invalid")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook",
        "http://hooks.example/x",
        "ftp://hooks.example/x",
        "file:///etc/passwd",
        "https://",
        "https://user:word@hooks.example/x",
        "https://hooks.example@127.0.0.1/x",
        "https://hooks.example:0/x",
        "https://hooks.example:99999/x",
        "https://hooks.example/a b",
        "https://hooks.example/\r\nHost: evil",
        "https://höoks.example/x",
        "https://[::1/x",
        "https://hooks.example/" + "x" * 2000,
        "https://hooks.example/\x7f",
        *(f"https://{host}/x" for host in UNUSABLE_HOSTS),
    ],
)
async def test_an_unusable_address_is_refused(connect: Connect, url: str) -> None:
    async with connect() as ada:
        answer = await ada.post("/v1/webhooks", json={"url": url})
        assert answer.status_code == 422
        assert (await ada.get("/v1/webhooks")).json()["webhooks"] == []


async def test_the_operator_names_what_is_allowed_inside() -> None:
    inside = PublicOnlyClient(allowlist=Allowlist.read("hooks.corp, 10.1.0.0/16"))
    assert inside.find_url_fault("http://hooks.corp/x") is None
    assert inside.find_url_fault("http://10.1.2.3/x") is None
    assert inside.find_url_fault("http://10.2.0.1/x") == "Use https."
    assert inside.find_url_fault("https://10.2.0.1/x") == "The address is private."
    assert inside.find_url_fault("http://other.corp/x") == "Use https."


async def test_ten_are_enough_and_a_removed_one_hears_nothing(connect: Connect, service: Service) -> None:
    webhook_sender = sender_of(service, Clock())
    service = replace(service, webhook_sender=webhook_sender)
    async with Receiver().listening() as receiver, connect("ada", served=service) as ada:
        made = [await registered(connect, service, receiver) for _ in range(10)]
        more = await ada.post("/v1/webhooks", json={"url": "https://hooks.example/x"})
        assert (more.status_code, more.json()["error"]["code"]) == (429, "too_many_webhooks")
        await end_a_job(service)
        for webhook in made:
            assert (await ada.delete(f"/v1/webhooks/{webhook['id']}")).status_code == 204
        assert await deliver_all(webhook_sender) == 0
        assert receiver.got == []


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example",
        "https://hooks.example./x",
        "https://HOOKS.example:8443/x?a=b",
        "https://my_hooks.a-b.example/x",
        "https://xn--bcher-kva.example/x",
        "https://" + "a" * 63 + ".example/x",
        "https://8.8.8.8/x",
        "https://[2606:4700::1111]:443/x",
    ],
)
def test_a_usable_address_is_taken(url: str) -> None:
    assert PublicOnlyClient().find_url_fault(url) is None
