"""Webhooks: signed, told again until taken, and never a way to what only this machine can reach."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from mezzotint.domain.ids import TenantId, WebhookId
from mezzotint.domain.webhook import Webhook
from mezzotint.gateway import Service
from mezzotint.gateway.safe_http import Allowlist, PublicOnlyClient, Unreachable, resolve
from mezzotint.gateway.webhook_delivery import PER_TENANT
from mezzotint.policy.redelivery import WAITS
from tests.making import NOW
from tests.raw_streams import listening
from tests.unit.gateway.conftest import Connect
from tests.unit.gateway.webhook_receiver import (
    UNUSABLE_HOSTS,
    Clock,
    Receiver,
    deliver_all,
    end_a_job,
    next_due,
    registered,
    sender_of,
)

pytestmark = pytest.mark.anyio


async def test_the_end_of_a_job_is_told_signed_and_once(connect: Connect, service: Service) -> None:
    webhook_sender = sender_of(service, Clock())
    service = replace(service, webhook_sender=webhook_sender)
    async with Receiver().listening() as receiver:
        webhook = await registered(connect, service, receiver)
        await end_a_job(service, tenant="eve")
        id = await end_a_job(service)
        assert await deliver_all(webhook_sender) == 1
        assert await deliver_all(webhook_sender) == 0
        ((headers, body),) = receiver.got
    message = json.loads(body)
    assert (message["type"], message["data"]["id"], message["data"]["state"]) == ("job.succeeded", id, "succeeded")
    key = base64.b64decode(webhook["secret"].removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    async with connect("ada", served=service) as ada:
        detail = (await ada.get(f"/v1/webhooks/{webhook['id']}")).json()
    assert "secret" not in detail
    ((told),) = detail["deliveries"]
    assert (told["job_id"], told["status"], told["attempts"], told["next_at"]) == (id, 204, 1, None)


async def test_a_receiver_that_is_away_is_tried_again_with_growing_waits_then_given_up(
    connect: Connect, service: Service
) -> None:
    clock = Clock()
    webhook_sender = sender_of(service, clock)
    service = replace(service, webhook_sender=webhook_sender)
    async with Receiver(answers=[500] * (len(WAITS) + 1)).listening() as receiver:
        webhook = await registered(connect, service, receiver)
        await end_a_job(service)
        tries = []
        while (due := await next_due(webhook_sender, webhook["id"])) is not None:
            clock.at = max(clock.at, due)
            tries.append(clock.at)
            assert await deliver_all(webhook_sender) == 1
        assert [later - earlier for earlier, later in pairwise(tries)] == list(WAITS)
        assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    (told,) = await webhook_sender.webhooks.deliveries_of(webhook["id"], 9)  # type: ignore[arg-type]
    assert (told.attempts, told.status, told.delivered_at) == (len(WAITS) + 1, 500, None)


async def test_a_try_that_nobody_finished_comes_due_again(connect: Connect, service: Service) -> None:
    clock = Clock()
    webhook_sender = sender_of(service, clock)
    service = replace(service, webhook_sender=webhook_sender)
    async with Receiver().listening() as receiver:
        webhook = await registered(connect, service, receiver)
        await end_a_job(service)
        chosen = [WebhookId(webhook["id"])]
        assert len(await webhook_sender.webhooks.take_due(chosen, clock.now())) == 1  # and the sender dies
        assert await deliver_all(webhook_sender) == 0, "held"
        clock.at += timedelta(minutes=3)
        assert await deliver_all(webhook_sender) == 1
        assert len(receiver.got) == 1


async def test_a_receiver_that_is_gone_is_told_nothing_more(connect: Connect, service: Service) -> None:
    webhook_sender = sender_of(service, Clock())
    service = replace(service, webhook_sender=webhook_sender)
    async with Receiver(answers=[410]).listening() as receiver:
        await registered(connect, service, receiver)
        await end_a_job(service)
        await deliver_all(webhook_sender)
        await end_a_job(service)
        assert await deliver_all(webhook_sender) == 0
        assert len(receiver.got) == 1
    (webhook,) = await webhook_sender.webhooks.of_tenant(TenantId("ada"))
    assert webhook.disabled_at is not None


async def test_a_redirect_is_not_followed(connect: Connect, service: Service) -> None:
    webhook_sender = sender_of(service, Clock())
    service = replace(service, webhook_sender=webhook_sender)
    async with Receiver(answers=[302]).listening() as receiver:
        webhook = await registered(connect, service, receiver)
        await end_a_job(service)
        await deliver_all(webhook_sender)
        assert len(receiver.got) == 1
    (told,) = await webhook_sender.webhooks.deliveries_of(webhook["id"], 9)  # type: ignore[arg-type]
    assert (told.status, told.delivered_at) == (302, None)


async def test_a_name_that_leads_inside_is_not_reached(connect: Connect, service: Service) -> None:
    webhook_sender = sender_of(service, Clock(), inside="")
    service = replace(service, webhook_sender=webhook_sender)
    async with Receiver().listening() as receiver, connect("ada", served=service) as ada:
        url = f"https://receiver.test:{receiver.port}/hook"
        webhook = (await ada.post("/v1/webhooks", json={"url": url})).json()
        await end_a_job(service)
        await deliver_all(webhook_sender)
        assert receiver.got == []
    (told,) = await webhook_sender.webhooks.deliveries_of(webhook["id"], 9)
    assert told.failure == "The name leads to a private address."
    assert told.next_at is not None


async def test_a_name_that_answers_differently_the_second_time_gains_nothing() -> None:
    """The connection goes to the address that was checked; the name is not asked again."""
    asked = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.9"] if len(asked) == 1 else ["127.0.0.1"]

    async with Receiver().listening() as receiver:
        inside = Allowlist.read("127.0.0.9/32")  # stands for a public address: nobody listens there
        with pytest.raises(Unreachable):
            await PublicOnlyClient(allowlist=inside, resolve=resolve).post(
                f"https://rebinding.test:{receiver.port}/", {}, b"{}"
            )
        assert receiver.got == []
    assert len(asked) == 1


@pytest.mark.parametrize("address", ["64:ff9b:1::7f00:1", "::127.0.0.1", "5f00::1", "3fff::1", "fec0::1", "fe80::1%lo"])
async def test_a_name_that_leads_to_a_special_network_is_not_connected_to(address: str) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return [address]

    with pytest.raises(Unreachable, match="private"):
        await PublicOnlyClient(resolve=resolve).post("https://special.test/", {}, b"{}")


async def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["8.8.8.8", "10.0.0.1"]

    with pytest.raises(Unreachable, match="private"):
        await PublicOnlyClient(resolve=resolve).post("https://mixed.test/", {}, b"{}")


async def add_unchecked(service: Service, tenant: str, url: str, number: int = 1) -> WebhookId:
    """A row as an earlier release took it."""
    id = WebhookId(f"wh_{number:016x}")
    webhook = Webhook(id=id, tenant=TenantId(tenant), url=url, created_at=NOW)
    assert await service.webhook_sender.webhooks.add(webhook, most=999)
    return id


@pytest.mark.parametrize("host", [*UNUSABLE_HOSTS, "h\u00f6oks.example", "", "[", "hooks.example/\x00", "\x00"])
async def test_an_unusable_address_that_is_stored_already_costs_its_own_delivery_alone(
    service: Service, host: str
) -> None:
    webhook_sender = replace(
        sender_of(service, Clock()), http_client=PublicOnlyClient(allowlist=Allowlist.read("127.0.0.0/8"))
    )
    bad = await add_unchecked(service, "eve", f"https://{host}/hook")
    async with Receiver().listening() as receiver:
        await add_unchecked(service, "ada", f"http://127.0.0.1:{receiver.port}/hook", 2)
        await end_a_job(service, tenant="eve")
        await end_a_job(service)
        assert await deliver_all(webhook_sender) == 2
        assert len(receiver.got) == 1
    (told,) = await webhook_sender.webhooks.deliveries_of(bad, 9)
    assert told.failure
    assert told.next_at is not None
    assert told.next_at > NOW


async def test_whatever_a_resolver_raises_is_that_deliverys_failure(service: Service) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise LookupError(host) if host == "odd.test" else UnicodeError(host)

    webhook_sender = replace(sender_of(service, Clock()), http_client=PublicOnlyClient(resolve=resolve))
    hosts = ("odd.test", "worse.test")
    ids = [await add_unchecked(service, "eve", f"https://{host}/", number) for number, host in enumerate(hosts)]
    await end_a_job(service, tenant="eve")
    assert await deliver_all(webhook_sender) == 2
    failures = [one.failure for id in ids for one in await webhook_sender.webhooks.deliveries_of(id, 9)]
    assert failures == ["The delivery failed: LookupError.", "UnicodeError: worse.test"]


@asynccontextmanager
async def hanging() -> AsyncIterator[tuple[int, list[str]]]:
    """Takes connections and never answers. Its port, and the requests that came."""
    came: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append((await reader.readuntil(b"\r\n")).decode())
        await reader.read()  # until the other side goes

    async with listening(serve) as port:
        yield port, came


async def test_hanging_receivers_of_one_tenant_delay_no_other_tenants_delivery(service: Service) -> None:
    webhook_sender = sender_of(service, Clock())
    async with hanging() as (port, came), Receiver().listening() as receiver, webhook_sender.cancel_at_end():
        for number in range(120):
            await add_unchecked(service, "eve", f"http://receiver.test:{port}/{number}", number)
        await end_a_job(service, tenant="eve")
        assert await webhook_sender.deliver_due() == PER_TENANT
        await add_unchecked(service, "ada", f"http://receiver.test:{receiver.port}/", 999)
        await end_a_job(service)
        assert await webhook_sender.deliver_due() == 1
        (told,) = [task for task, tenant in webhook_sender.in_flight.items() if tenant == "ada"]
        await told  # while all of eve's hang
        assert len(receiver.got) == 1
        assert len(webhook_sender.in_flight) == PER_TENANT
        assert len(came) <= PER_TENANT
    assert not webhook_sender.in_flight, "broken off at the end"
    assert webhook_sender.has_room.is_set()


async def test_name_servers_that_do_not_answer_hold_up_nothing_but_lookups(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()

    def hang(*args: object, **options: object) -> list[object]:
        is_over.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    lookups = [asyncio.create_task(resolve("slow.test", 443)) for _ in range(40)]
    await asyncio.sleep(0)  # each of them has asked its name server
    try:
        async with asyncio.timeout(20):
            assert await asyncio.to_thread(lambda: "done") == "done", "files and pictures have threads, too"
    finally:
        is_over.set()
        assert await asyncio.gather(*lookups) == [[]] * 40
