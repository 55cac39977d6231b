"""Takedowns on every database and every object store: what goes, what stays, and that it comes back."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL.Image import Transpose

from mezzotint.actions.finish import image_key
from mezzotint.actions.takedown.begin import UndoRefusal, begin_takedown, undo_takedown
from mezzotint.actions.takedown.blocklist import BlocklistReader
from mezzotint.actions.takedown.execute import (
    run_open_takedowns,
    run_takedown,
    take_step,
    withdraw_late_arrivals,
)
from mezzotint.actions.takedown.select import name_copies, plan_takedown
from mezzotint.actions.takedown.work import TakedownWork
from mezzotint.domain.ids import OwnerId, TenantId
from mezzotint.domain.job import JobState
from mezzotint.domain.safety.takedown import PictureSelection, Takedown, TakedownPhase
from mezzotint.domain.task import Task
from mezzotint.safety.image.perceptual_hash import HashIndex, hash_picture
from mezzotint.store import Changes, Database, Images, Objects, Store
from tests.making import NOW, make_job, make_parameters
from tests.making_takedowns import days, draw_pixels, encode_picture, finish_with, keep_upload, make_work

pytestmark = pytest.mark.anyio
ADA, BOB = TenantId("ada"), TenantId("bob")
PICTURES = [encode_picture(draw_pixels(number)) for number in range(6)]


@pytest.fixture
def local(database: Database, tmp_path) -> TakedownWork:  # type: ignore[no-untyped-def]
    """Objects in a folder: what the database does is tested by itself."""
    return make_work(database, Objects(tmp_path / "objects"))


async def take_down(work: TakedownWork, **selection: object) -> Takedown:
    return await begin_takedown(
        work,
        PictureSelection(**selection),
        reason="reported",
        made_by="ops/ada",  # type: ignore[arg-type]
    )


async def shown(database: Database, *tenants: TenantId) -> list[str]:
    """Hashes of the pictures in the lists of tenants."""
    return [entry.image.png for one in tenants for entry in await Images(database).of_tenant(one, 100, None)]


async def keys(objects: Objects) -> list[str]:
    return sorted(await objects.keys("images/") + await objects.keys("uploads/"))


async def test_all_bytes_move_to_quarantine_and_come_back(database: Database, objects: Objects) -> None:
    work, store = make_work(database, objects), Store(database)
    job, image = await finish_with(work.backing, PICTURES[0], tenant="ada")
    await finish_with(work.backing, PICTURES[1], tenant="ada")
    await keep_upload(store, objects, "bob", PICTURES[0])
    before = await keys(objects)
    done = await take_down(work, contents=(image.webp,))
    assert (done.phase, done.num_pictures, done.num_uploads, done.num_moved) == (TakedownPhase.DONE, 1, 1, 2)
    assert [key for key in await keys(objects) if image.png in key or image.webp in key] == []
    hidden = await objects.keys("quarantine/")
    assert len(hidden) == 3
    for key in hidden:
        sealed = await objects.get(key)
        assert sealed is not None
        assert not sealed.startswith((b"\x89PNG", b"RIFF"))
        assert PICTURES[0].png[8:40] not in sealed
    assert await shown(database, ADA) == [PICTURES[1].png_hash]
    assert await store.uploads.find(BOB, image.png, NOW) is None
    undone = await undo_takedown(work, done, undone_by="ops/ada", reason="mistaken")
    assert isinstance(undone, Takedown)
    assert undone.phase is TakedownPhase.UNDONE
    assert await keys(objects) == before
    assert await objects.keys("quarantine/") == []
    assert await objects.get(f"images/{image.webp[:2]}/{image.webp}.webp") == PICTURES[0].webp
    assert await shown(database, ADA) == [PICTURES[1].png_hash, image.png], "in their old order"
    assert await store.uploads.find(BOB, image.png, NOW) is not None
    assert not await store.takedowns.is_listed([image.png])
    again = await store.jobs.get(job.id)
    assert again is not None
    assert (again.state, again.error, again.images) == (JobState.SUCCEEDED, None, (image,))
    entries = [entry for _, entry in await store.safety_audit.page(10)]
    assert [(one.action, one.subject, one.change.author, one.change.reason) for one in entries] == [
        ("takedown_undone", done.id, "ops/ada", "mistaken"),
        ("taken_down", done.id, "ops/ada", "reported"),
    ]
    logged = [change.state for change in await Changes(database).of_job(job.id, 0)]
    assert logged[-3:] == [JobState.SUCCEEDED, JobState.BLOCKED, JobState.SUCCEEDED], "watchers hear of both"


async def test_everybodys_picture_of_the_same_bytes_goes(database: Database, local: TakedownWork) -> None:
    first, _ = await finish_with(local.backing, PICTURES[0], tenant="ada")
    second, _ = await finish_with(local.backing, PICTURES[0], tenant="bob", owner="usr_1")
    other, _ = await finish_with(local.backing, PICTURES[1], tenant="bob")
    done = await take_down(local, jobs=(first.id,))
    assert done.num_pictures == 2
    assert await shown(database, ADA, BOB) == [PICTURES[1].png_hash]
    rows = [await local.backing.jobs.get(job.id) for job in (first, second, other)]
    assert [(row.state, row.error and row.error.code) for row in rows if row] == [
        (JobState.BLOCKED, "picture_taken_down"),
        (JobState.BLOCKED, "picture_taken_down"),
        (JobState.SUCCEEDED, None),
    ]
    owners = await local.takedowns.owners_of_withdrawn(PICTURES[0].webp_hash)
    assert sorted(owners) == [(ADA, OwnerId("")), (BOB, OwnerId("usr_1"))]
    logged = [change.state for change in await Changes(database).of_job(first.id, 0)]
    assert logged[-1] is JobState.BLOCKED, "a watcher that comes back hears of it"


CONDITIONS: list[tuple[PictureSelection, list[int]]] = [
    (PictureSelection(tenant=ADA), [0, 1, 2]),
    (PictureSelection(tenant=ADA, words=("apple",)), [0, 2]),
    (PictureSelection(words=("APPLE", "red")), [0, 3]),
    (PictureSelection(categories=("violence",)), [1, 4]),
    (PictureSelection(categories=("violence",), tenant=BOB), [4]),
    (PictureSelection(since=NOW + days(2), until=NOW + days(4)), [2, 3]),
    (PictureSelection(since=NOW + days(2), until=NOW + days(4), tenant=BOB), [3]),
    (PictureSelection(words=("%",)), []),
    (PictureSelection(contents=(PICTURES[0].png_hash, PICTURES[3].webp_hash)), [0, 3]),
    (PictureSelection(contents=(PICTURES[0].png_hash, PICTURES[3].webp_hash), tenant=BOB), [3]),
]


async def test_conditions_narrow_each_other(database: Database, local: TakedownWork) -> None:
    prompts = ["a red apple", "two men fight", "a green Apple", "a red APPLE pie", "a fight"]
    for number, (prompt, tenant) in enumerate(zip(prompts, ("ada", "ada", "ada", "bob", "bob"), strict=True)):
        await finish_with(local.backing, PICTURES[number], at=NOW + days(number), tenant=tenant, prompt=prompt)
    for selection, gone in CONDITIONS:
        planned = await plan_takedown(local, selection)
        files = [PICTURES[number] for number in gone]
        assert planned.plan.num_bytes == sum(len(one.png) + len(one.webp) for one in files), selection
        assert (planned.plan.num_pictures, planned.is_complete) == (len(gone), True)
    everything = set(await shown(database, ADA, BOB))
    assert len(everything) == 5, "a plan changes nothing"
    selection, gone = CONDITIONS[-1]
    await begin_takedown(local, selection, reason="r", made_by="m")
    await withdraw_late_arrivals(local)
    left = set(await shown(database, ADA, BOB))
    assert everything - left == {PICTURES[number].png_hash for number in gone}, "ada keeps what is named, too"


async def test_a_near_copy_goes_and_is_not_let_in_again(database: Database, local: TakedownWork) -> None:
    small = draw_pixels(0).resize((64, 64)).resize((128, 128))
    copy = encode_picture(small)
    await finish_with(local.backing, copy, tenant="bob")
    await finish_with(local.backing, PICTURES[1], tenant="bob")
    _, image = await finish_with(local.backing, PICTURES[0], tenant="ada")
    with_copies = await name_copies(local, PictureSelection(contents=(image.webp,)))
    await take_down(local, contents=(image.png,))
    (listed,) = await local.takedowns.blocked_pictures()
    known: list[HashIndex] = []
    reader = BlocklistReader(local.takedowns, known.append)
    await reader.refresh()
    await reader.refresh()
    (index,) = known  # it did not change in between
    assert index.find(small) is not None
    assert index.find(draw_pixels(1)) is None
    assert await local.takedowns.is_listed([image.webp])
    assert with_copies.near == (listed.pdq,)
    done = await take_down(local, near=with_copies.near)
    assert done.num_pictures == 1
    assert await shown(database, BOB) == [PICTURES[1].png_hash]


class CountedObjects(Objects):
    """Remembers which objects were read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.read: list[str] = []

    async def get(self, key: str) -> bytes | None:
        self.read.append(key)
        return await super().get(key)


async def test_near_copies_are_found_by_the_hashes_of_rows(database: Database, tmp_path: Path) -> None:
    objects = CountedObjects(tmp_path / "objects")
    work = make_work(database, objects)
    mirrored = draw_pixels(0).transpose(Transpose.FLIP_LEFT_RIGHT)
    copy = encode_picture(mirrored)
    await finish_with(work.backing, copy, tenant="bob", pixels=mirrored)
    for number in range(1, 5):
        await finish_with(work.backing, PICTURES[number], tenant="ada", pixels=draw_pixels(number))
    near = (hash_picture(draw_pixels(0)).pdq,)
    planned = await plan_takedown(work, PictureSelection(near=near))
    assert planned.plan.pictures_of == {BOB: 1}
    assert objects.read == [image_key(copy.png_hash, "png")], "files that their hash rules out are not read"


async def test_a_takedown_that_is_cut_off_anywhere_goes_on(database: Database, local: TakedownWork) -> None:
    for number in range(4):
        await finish_with(local.backing, PICTURES[number], tenant="ada")
    begun = await begin_takedown(local, PictureSelection(tenant=ADA), reason="r", made_by="m", within_s=0)
    assert begun.phase is TakedownPhase.WITHDRAWING
    seen = {begun.phase}
    while (now := await local.takedowns.get(begun.id)) is not None and now.phase.is_under_way:
        seen.add(now.phase)
        await asyncio.gather(*(take_step(local, now) for _ in range(3)))  # as several processes would
    assert seen == {TakedownPhase.WITHDRAWING, TakedownPhase.QUARANTINING, TakedownPhase.PURGING}
    assert now is not None
    assert (now.phase, now.num_pictures, now.num_moved) == (TakedownPhase.DONE, 4, 4)
    assert await shown(database, ADA) == []
    assert len(await local.backing.objects.keys("quarantine/")) == 8


async def test_what_a_job_writes_in_the_moment_of_the_takedown_is_found(
    database: Database, local: TakedownWork
) -> None:
    done = await take_down(local, contents=(PICTURES[0].png_hash,))
    assert (done.phase, done.num_pictures) == (TakedownPhase.DONE, 0)
    _, image = await finish_with(local.backing, PICTURES[0], tenant="ada")
    assert await Images(database).published_at(image.png) is None, "hidden at once"
    assert await withdraw_late_arrivals(local) == 1
    assert await shown(database, ADA) == []
    assert await keys(local.backing.objects) == []
    late = await local.takedowns.get(done.id)
    assert late is not None
    assert (late.num_pictures, late.num_moved) == (1, 1)


async def test_jobs_that_would_begin_with_it_are_cancelled(local: TakedownWork) -> None:
    _, image = await finish_with(local.backing, PICTURES[0], tenant="ada")
    parameters = replace(make_parameters(), task=Task.VARIATION, source=image.png, strength=0.5)
    waiting = make_job(tenant="bob", parameters=parameters)
    other = make_job(tenant="bob")
    await local.backing.jobs.add(waiting)
    await local.backing.jobs.add(other)
    await take_down(local, contents=(image.png,))
    states = [row.state for job in (waiting, other) if (row := await local.backing.jobs.get(job.id))]
    assert states == [JobState.CANCELLED, JobState.QUEUED]


async def test_named_jobs_that_have_not_ended_draw_nothing(local: TakedownWork) -> None:
    bow, fight = (replace(make_job(tenant="ada"), raw_prompt=prompt) for prompt in ("a bow", "a fight"))
    other = make_job(tenant="ada")
    for job in (bow, fight, other):
        await local.backing.jobs.add(job)
    named = {"jobs": (bow.id, fight.id)}

    async def read_states() -> list[JobState]:
        return [row.state for job in (bow, fight, other) if (row := await local.backing.jobs.get(job.id))]

    for elsewhere in ({"tenant": BOB}, {"words": ("sword",)}, {"categories": ("hate",)}, {"until": NOW - days(1)}):
        await take_down(local, **named, **elsewhere)
    assert await read_states() == [JobState.QUEUED] * 3
    assert (await plan_takedown(local, PictureSelection(**named))).plan.num_open_jobs == 2
    await take_down(local, **named, tenant=ADA, words=("FIGHT",), categories=("violence",))
    assert await read_states() == [JobState.QUEUED, JobState.CANCELLED, JobState.QUEUED]
    await take_down(local, **named)
    assert await read_states() == [JobState.CANCELLED, JobState.CANCELLED, JobState.QUEUED]


async def test_the_same_selection_again_is_the_same_takedown(local: TakedownWork) -> None:
    await finish_with(local.backing, PICTURES[0], tenant="ada")
    first = await take_down(local, tenant=ADA)
    again = await take_down(local, tenant=ADA)
    assert again == first
    await finish_with(local.backing, PICTURES[1], tenant="ada")
    more = await take_down(local, tenant=ADA)
    assert (more.id != first.id, more.num_pictures) == (True, 1)
    assert await undo_takedown(local, first, undone_by="m", reason="r") == await undo_takedown(
        local, first, undone_by="m", reason="r"
    )


async def test_it_is_undone_within_its_time_and_not_later(database: Database, local: TakedownWork) -> None:
    await finish_with(local.backing, PICTURES[0], tenant="ada")
    done = await take_down(local, tenant=ADA)
    early = make_work(database, local.backing.objects, NOW + days(29))
    await run_open_takedowns(early)
    assert len(await local.backing.objects.keys("quarantine/")) == 2
    late = make_work(database, local.backing.objects, NOW + days(30))
    assert await undo_takedown(late, done, undone_by="m", reason="r") is UndoRefusal.ERASED
    await run_open_takedowns(late)
    assert await local.backing.objects.keys("quarantine/") == []
    erased = await local.takedowns.get(done.id)
    assert erased is not None
    assert erased.phase is TakedownPhase.ERASED
    assert await undo_takedown(early, erased, undone_by="m", reason="r") is UndoRefusal.ERASED
    assert await local.takedowns.is_listed([PICTURES[0].png_hash]), "it stays blocked"


async def test_one_under_way_is_not_undone(local: TakedownWork) -> None:
    await finish_with(local.backing, PICTURES[0], tenant="ada")
    begun = await begin_takedown(local, PictureSelection(tenant=ADA), reason="r", made_by="m", within_s=0)
    assert await undo_takedown(local, begun, undone_by="m", reason="r") is UndoRefusal.UNDER_WAY
    await run_takedown(local, begun.id)


async def test_an_order_to_purge_is_repeated_until_it_is_taken(local: TakedownWork) -> None:
    _, image = await finish_with(local.backing, PICTURES[0], tenant="ada")
    orders: list[Sequence[str]] = []

    async def purge(takedown: Takedown, paths: Sequence[str]) -> str | None:
        orders.append(paths)
        return "It answered 503." if len(orders) == 1 else None

    waits = replace(local, purge=purge)
    stuck = await take_down(waits, tenant=ADA)
    assert (stuck.phase, stuck.failure, stuck.attempts) == (TakedownPhase.PURGING, "It answered 503.", 1)
    assert await local.backing.objects.keys("images/") == [], "bytes do not wait for caches"
    await run_open_takedowns(waits)
    assert len(orders) == 1, "not before its time"
    done = await run_takedown(replace(waits, now=lambda: NOW + days(1)), stuck.id)
    assert done is not None
    assert (done.phase, done.failure) == (TakedownPhase.DONE, None)
    assert orders == [[f"/i/{image.webp}.webp", f"/i/{image.png}.png"]] * 2
