"""No picture is reachable before its verdict, nor after its takedown, by any path: a whole service is asked."""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from mezzotint.actions.takedown.execute import withdraw_late_arrivals
from mezzotint.config import Settings
from mezzotint.main.served_models import build_catalog, find_models
from mezzotint.media import blur_picture
from mezzotint.media.uploads.decoder_pool import DecoderPool
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.store import Database
from mezzotint.worker import LoadedModel
from tests.acceptance.paths import (
    PICTURE,
    Answer,
    DrawnPictures,
    HeldBackFilter,
    Parts,
    ask_everything,
    asking_for_pictures,
    check_it_is_no_source,
    name_files,
    poll_until,
    probe,
    probe_until,
    shows_file,
    working,
)
from tests.unit.gateway.conftest import service_on
from tests.unit.gateway.serving import serving
from tests.unit.gateway.webhook_receiver import deliver_all

pytestmark = pytest.mark.anyio


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
            assert not any(shows_file(data, sent) for data in files for all in stage.sent.values() for sent in all)
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
        assert not any(shows_file(data, sent) for data in sharp for all in stage.sent.values() for sent in all)
        assert not set(sharp) & {path.read_bytes() for path in stage.stored_pictures()}


async def test_no_path_of_any_gateway_gives_a_picture_after_its_takedown(tmp_path: Path, parts: Parts) -> None:
    image_filter = HeldBackFilter(SafetyVerdict.ALLOW, shows_previews=True)
    image_filter.may_judge_previews.set()
    image_filter.may_judge.set()
    other = Database(tmp_path / "mezzotint.db")
    answers: list[Answer] = []
    async with working(tmp_path, parts, image_filter) as stage, stage.client(admin=True) as admin:
        async with asking_for_pictures(stage):
            pass
        body = {"prompt": "a red apple --seed 1 --steps 6"}
        named = {"Idempotency-Key": "the first"}
        assert (await admin.post("/v1/jobs", json=body, headers=named)).status_code == 202
        await wait_for_all(admin)
        drawn = await DrawnPictures.read(admin)
        assert (len(drawn.jobs), len(drawn.tags)) == (5, 6), "two pairs of jobs drew the same bytes"
        gateway = service_on(other, tmp_path, parts[0])
        async with serving(gateway) as second:
            gateways = (stage.address, second)
            await probe(stage, second, drawn, answers)
            before = Counter(answer.path for answer in answers if answer.shows)
            assert set(before) == {answer.path for answer in answers} - {"page", "AUTOMATIC1111 progress"}
            await deliver_all(stage.service.webhook_sender)
            num_told = len(stage.receiver.got)
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for address in gateways:
                    group.create_task(probe_until(stage, address, drawn, answers, stop))
                taken = await admin.post("/v1/admin/takedowns", json={"tenant": "ada", "reason": "reported"})
                answered_at = asyncio.get_running_loop().time()
                assert (taken.status_code, taken.json()["phase"]) == (201, "done"), taken.text
                await probe(stage, stage.address, drawn, answers)
                stop.set()
            later = [answer for answer in answers if answer.begun_at >= answered_at]
            assert [answer.path for answer in later if answer.shows] == []
            assert {answer.path for answer in later} == {answer.path for answer in answers}
            assert len(later) > len(drawn.list_requests()), len(answers)
            anew = {"prompt": "a red apple --seed 1 --steps 6", "size": "64x64"}
            drawn_again = await admin.post("/v1/images/generations", json=anew)
            assert PICTURE.search(drawn_again.content) is None, "the same bytes are on the blocklist"
            await withdraw_late_arrivals(stage.service.takedowns)
            await probe(stage, second, drawn, answers)
            assert not any(answer.shows for answer in answers if answer.begun_at >= answered_at)
        await deliver_all(stage.service.webhook_sender)
        told = [body for _, body in stage.receiver.got[num_told:]]
        assert told, "their owner's webhook hears of it"
        assert not any(PICTURE.search(body) for body in told)
        assert stage.stored_pictures() == [], "what is in quarantine cannot be read"
    await other.close()


async def wait_for_all(client: httpx.AsyncClient) -> None:
    for job in (await client.get("/v1/jobs")).json()["jobs"]:
        assert (await client.get(f"/v1/jobs/{job['id']}?wait=60")).json()["state"] == "succeeded"
