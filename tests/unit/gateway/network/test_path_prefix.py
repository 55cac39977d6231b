"""Everything works under a path prefix, whoever takes it off; and nobody but a trusted proxy chooses it."""

import asyncio
import re
from dataclasses import replace

import httpx
import pytest

from mezzotint.actions.finish import image_key
from mezzotint.domain.event import Changed
from mezzotint.domain.ids import WorkerId
from mezzotint.gateway import Service
from mezzotint.gateway.network.forwarded import ForwardedClient, TrustedProxies
from mezzotint.gateway.network.hosts import read_hosts
from mezzotint.gateway.network.path_prefix import read_prefix
from mezzotint.store import WorkerOffer
from tests.making import make_ending, make_image
from tests.unit.gateway.applications import make_app
from tests.unit.gateway.streams.test_websocket import bearer

pytestmark = pytest.mark.anyio
PROXY, STRANGER = "10.0.0.1", "203.0.113.9"
BODY = {"prompt": "a red apple", "new": True}


def client_of(service: Service, peer: str = PROXY, **headers: str) -> httpx.AsyncClient:
    app = ForwardedClient(make_app(service), TrustedProxies.read(PROXY))
    sent = {
        "Host": "pictures.example.org",
        **bearer(service),
        **{name.replace("_", "-"): headers[name] for name in headers},
    }
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=(peer, 1)), base_url="http://inside", headers=sent
    )


async def draw_next(service: Service, content: str) -> None:
    """The next job gets its picture, as from a worker."""
    async with asyncio.timeout(30):
        while not (taken := await service.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), service.now(), 30)):
            await asyncio.sleep(0.01)  # until a request has made it
    (job,) = taken
    assert job.lease is not None
    picture = make_image(job, content)
    await service.backing.objects.put(image_key(picture.png, "png"), b"PNG")
    ended = await service.backing.jobs.finish(job.id, job.lease, make_ending(job, images=(picture,)))
    service.backing.bus.publish(job.id, Changed(job=ended))


async def ask_for_address(client: httpx.AsyncClient, service: Service) -> str:
    """Where OpenAI's API says that a picture lies."""
    body = {"prompt": "a red apple", "response_format": "url"}
    asking = asyncio.create_task(client.post("/v1/images/generations", json=body))
    await draw_next(service, "4b")
    return str((await asking).json()["data"][0]["url"]).removesuffix(f"/i/{'4b' * 32}.png")


@pytest.mark.parametrize("asked", ["/paint", ""], ids=["kept", "stripped"])
@pytest.mark.parametrize("by_header", [True, False])
async def test_links_have_the_prefix_whether_a_proxy_strips_it_or_not(
    service: Service, asked: str, by_header: bool
) -> None:
    served = service if by_header else replace(service, path_prefix="/paint")
    headers = {"X_Forwarded_Prefix": "/paint"} if by_header else {}
    async with client_of(served, **headers) as ada:
        made = await ada.post(f"{asked}/v1/jobs", json=BODY)
        await draw_next(service, "4b")
        assert made.headers["location"] == f"/paint/v1/jobs/{made.json()['id']}"
        (image,) = (await ada.get(f"{asked}/v1/images")).json()["images"]
        assert image["url"].startswith("/paint/i/")
        assert image["png_url"].startswith("/paint/i/")
        picture = await ada.get(image["png_url"].removeprefix("" if asked else "/paint"))
        assert (picture.status_code, picture.content) == (200, b"PNG")
        assert "immutable" in picture.headers["cache-control"]
        jobs = (await ada.get(f"{asked}/v1/jobs")).json()["jobs"]
        assert {link[:9] for job in jobs for one in job["images"] for link in (one["url"], one["png_url"])} == {
            "/paint/i/"
        }


async def test_the_page_finds_its_parts_under_the_prefix(service: Service) -> None:
    async with client_of(replace(service, path_prefix="/paint")) as ada:
        without = await ada.get("/paint?x=1")
        assert (without.status_code, without.headers["location"]) == (308, "/paint/?x=1")
        page = await ada.get("/paint/")
        assert page.headers["cache-control"] == "no-cache"
        links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(links) >= 3
        for link in links:
            address = httpx.URL("http://inside/paint/").join(link)
            assert address.path.startswith("/paint/assets/")
            assert "immutable" in (await ada.get(address)).headers["cache-control"]


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({}, "http://pictures.example.org"),
        (
            {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "public.example", "X_Forwarded_Prefix": "/paint"},
            "https://public.example/paint",
        ),
        ({"X_Forwarded_Host": "first.example, public.example:8443"}, "http://public.example:8443"),
        ({"X_Forwarded_Prefix": "/paint/"}, "http://pictures.example.org/paint"),
        ({"X_Forwarded_Prefix": "/a/b"}, "http://pictures.example.org/a/b"),
        *(({"X_Forwarded_Host": host}, "http://pictures.example.org") for host in ("a b", "a@b", "", "evil/x")),
        *(
            ({"X_Forwarded_Prefix": prefix}, "http://pictures.example.org")
            for prefix in (
                "paint",
                "//evil.example",
                "/..",
                "/a/../b",
                "/a b",
                "/v1",
                '/"><script>',
                "/a?b",
                "/" + "a" * 300,
            )
        ),
    ],
)
async def test_absolute_addresses_are_those_that_a_trusted_proxy_says(
    service: Service, headers: dict[str, str], address: str
) -> None:
    async with client_of(service, **headers) as ada:
        assert await ask_for_address(ada, service) == address


async def test_nobody_else_chooses_host_scheme_or_prefix(service: Service) -> None:
    said = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "evil.example", "X_Forwarded_Prefix": "/evil"}
    async with client_of(service, STRANGER, **said) as stranger:
        assert await ask_for_address(stranger, service) == "http://pictures.example.org"
        assert (await stranger.post("/v1/jobs", json=BODY)).headers["location"].startswith("/v1/jobs/")
        assert (await stranger.get("/evil/v1/me")).status_code == 404


async def test_the_name_that_a_proxy_is_reached_by_is_the_one_that_must_be_served(service: Service) -> None:
    named = replace(service, allowed_hosts=read_hosts("public.example"))
    for peer, host, status in (
        (PROXY, "public.example", 200),
        (PROXY, "evil.example", 421),
        (STRANGER, "public.example", 421),
    ):
        async with client_of(named, peer, X_Forwarded_Host=host) as client:
            assert (await client.get("/v1/me")).status_code == status


@pytest.mark.parametrize(
    "text", ["paint", "/v1", "/i/x", "/assets", "//x", "/a//b", "/..", "/.", "/a b", "/a%20b", "/ü"]
)
def test_a_prefix_that_could_not_be_served_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no path such as /paint"):
        read_prefix(text)


@pytest.mark.parametrize(("text", "prefix"), [("", ""), ("/", ""), ("/paint/", "/paint"), ("/a/b.c", "/a/b.c")])
def test_a_prefix_is_read_without_its_last_slash(text: str, prefix: str) -> None:
    assert read_prefix(text) == prefix
