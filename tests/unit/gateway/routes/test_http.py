"""HTTP as caches, browsers and download managers speak it: HEAD, conditions, ranges, compression, wrong methods."""

from email.utils import parsedate_to_datetime

import pytest

from mezzotint.actions.finish import image_key
from mezzotint.domain.ids import WorkerId
from mezzotint.gateway.app import PAGE
from mezzotint.gateway.middleware.compression import COMPRESSED
from mezzotint.gateway.picture_response import PictureVersion
from mezzotint.gateway.service import Service
from mezzotint.store import WorkerOffer
from tests.making import NOW, make_ending, make_image, make_job
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio
needs_page = pytest.mark.skipif(not (PAGE / "index.html").exists(), reason="the page is not built")


async def publish(service: Service, data: bytes = b"RIFF") -> str:
    """Publish `data` as a picture. Returns its path."""
    job = make_job()
    picture = make_image(job)
    await service.backing.jobs.add(job)
    (taken,) = await service.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    assert taken.lease is not None
    await service.backing.objects.put(image_key(picture.webp, "webp"), data)
    await service.backing.jobs.finish(job.id, taken.lease, make_ending(job, images=(picture,)))
    return f"/i/{picture.webp}.webp"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/models", "/v1/me", "/openapi.json", "/v1/jobs"])
async def test_head_answers_as_get_does_without_a_body(connect: Connect, path: str) -> None:
    async with connect() as ada:
        head, read = await ada.head(path), await ada.get(path)
    assert (head.status_code, head.content) == (read.status_code, b"")
    assert head.headers["content-type"] == read.headers["content-type"]
    assert head.headers["content-length"] == read.headers["content-length"]


async def test_head_of_an_event_stream_ends(connect: Connect) -> None:
    async with connect() as ada:
        job = (await ada.post("/v1/jobs", json={"prompt": "a red apple"})).json()["jobs"][0]
        head = await ada.head(f"/v1/jobs/{job['id']}/events")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")


async def test_head_of_what_is_not_there_is_404_and_of_what_takes_no_get_405(connect: Connect) -> None:
    async with connect() as ada:
        assert (await ada.head("/v1/nothing")).status_code == 404
        assert (await ada.head("/v1/uploads")).status_code == 405


async def test_a_picture_that_somebody_has_is_not_sent_again(connect: Connect, service: Service) -> None:
    path = await publish(service)
    async with connect(None) as stranger:
        whole = await stranger.get(path)
        etag = whole.headers["etag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            answer = await stranger.get(path, headers={"If-None-Match": known})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
            assert answer.headers["cache-control"] == whole.headers["cache-control"]
        assert (await stranger.get(path, headers={"If-None-Match": '"other"'})).status_code == 200
        head = await stranger.head(path)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(whole.content)))
    assert "content-disposition" not in head.headers  # it would win over the name that the page's link gives the file


@pytest.mark.parametrize(
    ("wanted", "status", "begin", "end"),
    [
        ("bytes=0-3", 206, 0, 4),
        ("bytes=2-", 206, 2, 10),
        ("bytes=-3", 206, 7, 10),
        ("bytes=-99", 206, 0, 10),
        ("bytes=8-99", 206, 8, 10),
        ("bytes=10-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=5-2", 200, 0, 10),
        ("bytes=-", 200, 0, 10),
        ("bytes=0-1,4-5", 200, 0, 10),
        ("lines=0-1", 200, 0, 10),
    ],
)
async def test_a_part_of_a_picture_is_sent(
    connect: Connect, service: Service, wanted: str, status: int, begin: int, end: int
) -> None:
    data = b"0123456789"
    path = await publish(service, data)
    async with connect(None) as stranger:
        answer = await stranger.get(path, headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (status, data[begin:end])
    span = {206: f"bytes {begin}-{end - 1}/10", 416: "bytes */10"}.get(status)
    assert answer.headers.get("content-range") == span


async def test_a_part_of_another_picture_is_not_put_together(connect: Connect, service: Service) -> None:
    path = await publish(service, b"0123456789")
    async with connect(None) as stranger:
        etag = (await stranger.get(path)).headers["etag"]
        for condition, status in ((etag, 206), ('"other"', 200), (f"W/{etag}", 200)):
            answer = await stranger.get(path, headers={"Range": "bytes=0-3", "If-Range": condition})
            assert answer.status_code == status


@needs_page
async def test_scripts_and_styles_are_compressed_and_pictures_are_not(connect: Connect, service: Service) -> None:
    script = next((PAGE / "assets").glob("*.js"))
    path, picture = f"/assets/{script.name}", await publish(service)
    async with connect(None) as stranger:
        packed = await stranger.get(path, headers={"Accept-Encoding": "gzip"})
        plain = await stranger.get(path, headers={"Accept-Encoding": "identity"})
        part = await stranger.get(path, headers={"Accept-Encoding": "gzip", "Range": "bytes=0-9"})
        again = await stranger.get(path, headers={"If-None-Match": packed.headers["etag"]})
        drawn = await stranger.get(picture, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["vary"]
    assert packed.content == plain.content == script.read_bytes()
    assert "content-encoding" not in plain.headers
    assert (part.status_code, part.content) == (206, script.read_bytes()[:10])
    assert again.status_code == 304
    assert "content-encoding" not in drawn.headers


@needs_page
@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("POST", "/v1/nothing", 404, None),
        ("DELETE", "/nothing", 404, None),
        ("POST", "/v1/images/nothing", 404, None),
        ("POST", "/sdapi/v1/nothing", 404, None),
        ("GET", "/v1/uploads", 405, "POST"),
        ("PUT", "/v1/jobs", 405, "GET, HEAD, POST"),
        ("GET", "/v1/images/generations", 405, "POST"),
        ("GET", "/sdapi/v1/txt2img", 405, "POST"),
        ("POST", "/", 405, "GET, HEAD"),
    ],
)
async def test_a_wrong_address_is_404_and_a_wrong_method_405_in_the_shape_of_its_api(
    connect: Connect, method: str, path: str, status: int, allow: str | None
) -> None:
    async with connect() as ada:
        answer = await ada.request(method, path)
    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)
    if path.startswith("/sdapi/"):
        assert answer.json()["error"] in {"not_found", "method_not_allowed"}
        assert answer.json()["detail"]
    else:
        assert answer.json()["error"]["code"] in {"not_found", "method_not_allowed"}
        assert ("type" in answer.json()["error"]) is path.startswith("/v1/images/")


@pytest.mark.parametrize(("path", "field"), [("/sdapi/v1/txt2img", "detail"), ("/v1/images/generations", "error")])
async def test_a_body_too_large_is_refused_in_the_shape_of_its_api(connect: Connect, path: str, field: str) -> None:
    async with connect() as ada:
        answer = await ada.post(path, content=b" " * 70_000, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert "larger" in str(answer.json()[field])


def test_a_list_of_tags_is_read_by_the_weak_comparison() -> None:
    version = PictureVersion(etag='"a"', modified_at=NOW)
    assert version.has_tag('W/"a" , "b"')
    assert not version.has_tag('"ab"')


async def test_a_picture_that_is_no_newer_than_the_clients_is_not_sent_again(
    connect: Connect, service: Service
) -> None:
    path = await publish(service, b"0123456789")
    async with connect(None) as stranger:
        modified = (await stranger.get(path)).headers["last-modified"]
        assert parsedate_to_datetime(modified) == NOW
        for since, status in (
            (modified, 304),
            ("Fri, 01 Jan 2100 00:00:00 GMT", 304),
            ("Thu, 01 Jan 2026 00:00:00 GMT", 200),
            ("Thursday, 01-Jan-26 00:00:00 GMT", 200),
            ("yesterday", 200),
            ("0", 200),
            ("", 200),
        ):
            answer = await stranger.get(path, headers={"If-Modified-Since": since})
            assert answer.status_code == status, since
        both = {"If-Modified-Since": modified, "If-None-Match": '"other"'}
        assert (await stranger.get(path, headers=both)).status_code == 200, "a tag says more than a date"
        for if_range, status in ((modified, 206), ("Thu, 01 Jan 2026 00:00:00 GMT", 200)):
            answer = await stranger.get(path, headers={"Range": "bytes=0-3", "If-Range": if_range})
            assert answer.status_code == status


@pytest.mark.parametrize("path", ["/openapi.json", "/v1/jobs", "/metrics"])
async def test_long_answers_without_secrets_are_compressed_for_those_who_take_it(connect: Connect, path: str) -> None:
    async with connect() as ada:
        for number in range(3):
            (await ada.post("/v1/jobs", json={"prompt": f"a red apple {number}"})).raise_for_status()
        plain = await ada.get(path, headers={"Accept-Encoding": "identity"})
        small = await ada.get(path, headers={"Accept-Encoding": "gzip"})
    assert plain.headers.get("content-encoding") is None
    assert small.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in small.headers["vary"].lower()
    assert path == "/metrics" or small.content == plain.content
    assert int(small.headers["content-length"]) < len(plain.content) / 2


def test_no_answer_with_a_secret_is_compressed() -> None:
    for path in ("/v1/keys", "/v1/webhooks", "/v1/session", "/v1/sign-in", "/v1/me", "/v1/uploads", "/i/a.png"):
        assert COMPRESSED.fullmatch(path) is None
    for path in ("/v1/jobs/job_0/events", "/v1/images/generations", "/sdapi/v1/txt2img", "/v1/jobs/x"):
        assert COMPRESSED.fullmatch(path) is None


async def test_an_event_stream_is_never_compressed(connect: Connect) -> None:
    async with connect() as ada:
        job = (await ada.post("/v1/jobs", json={"prompt": "a red apple"})).json()["jobs"][0]
        (await ada.delete(f"/v1/jobs/{job['id']}")).raise_for_status()
        answer = await ada.get(f"/v1/jobs/{job['id']}/events", headers={"Accept-Encoding": "gzip"})
    assert answer.headers.get("content-encoding") is None
    assert "event: cancelled" in answer.text
