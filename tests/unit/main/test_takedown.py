"""`mezzotint takedown` and `mezzotint audit`, beside no server."""

import asyncio
import csv
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from io import StringIO
from pathlib import Path
from textwrap import dedent
from typing import TypeVar

import pytest
from typer.testing import CliRunner, Result

from mezzotint.domain.errors import ArgumentInvalid
from mezzotint.domain.ids import TenantId
from mezzotint.main.commands import app
from mezzotint.main.takedown.arguments import parse_instant
from mezzotint.store import Database, Objects, Store
from tests.making import NOW
from tests.making_takedowns import draw_pixels, encode_picture, finish_with, make_work

PICTURES = [encode_picture(draw_pixels(number)) for number in range(3)]
T = TypeVar("T")


@pytest.fixture
def data(tmp_path: Path, database_file: Path) -> Path:
    """A data folder with three pictures of two tenants."""
    (tmp_path / "secret").write_text("s" * 64)

    async def draw(database: Database) -> None:
        work = make_work(database, Objects(tmp_path / "objects"))
        for number, tenant in enumerate(("ada", "ada", "bob")):
            prompt = "gore, a severed head" if number == 1 else "a red apple"
            await finish_with(work.backing, PICTURES[number], tenant=tenant, prompt=prompt, at=NOW)

    on_database(tmp_path, draw)
    return tmp_path


def on_database(data: Path, work: Callable[[Database], Coroutine[None, None, T]]) -> T:
    async def run() -> T:
        database = Database(data / "mezzotint.db")
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())


def shown(data: Path) -> set[str]:
    async def read(database: Database) -> set[str]:
        images = Store(database).images
        return {one.image.png for name in ("ada", "bob") for one in await images.of_tenant(TenantId(name), 9, None)}

    return on_database(data, read)


def run(data: Path, *words: str, input: str | None = None) -> Result:
    return CliRunner().invoke(app, [*words, "--data", str(data)], input=input)


def test_pictures_are_counted_taken_down_listed_and_brought_back(data: Path) -> None:
    everything = shown(data)
    counted = run(data, "takedown", "create", "--tenant", "ada", "--dry-run")
    assert counted.exit_code == 0, counted.output
    assert "2 pictures and 0 uploads" in counted.stdout
    asked = run(data, "takedown", "create", "--tenant", "ada", "--reason", "reported", input="n\n")
    assert (asked.exit_code, shown(data)) == (1, everything)
    made = run(data, "takedown", "create", "--tenant", "ada", "--reason", "reported", "--yes")
    assert made.exit_code == 0, made.output
    assert shown(data) == {PICTURES[2].png_hash}
    listed = run(data, "takedown", "list").stdout.splitlines()
    assert "done" in listed[1]
    undone = run(data, "takedown", "undo", listed[1].split()[0], "--reason", "mistaken")
    assert undone.exit_code == 0, undone.output
    assert shown(data) == everything
    assert run(data, "takedown", "secret").stdout.startswith("whsec_")


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["create", "--reason", "x"], "selects everything"),
        (["create", "--tenant", "ada"], "--reason"),
        (["create", "nonsense", "--reason", "x"], "is no picture"),
        (["create", "--since", "yesterday", "--reason", "x"], "is no time"),
        (["undo", "td_0", "--reason", "x"], "there is no takedown"),
    ],
)
def test_what_cannot_be_done_is_said(data: Path, words: list[str], wrong: str) -> None:
    failed = run(data, "takedown", *words)
    assert failed.exit_code in {1, 2}
    assert wrong in failed.stderr


def test_times_are_read() -> None:
    assert parse_instant("24h", NOW) == NOW - timedelta(days=1)
    assert parse_instant("2026-01-02T04:04:05+01:00", NOW) == NOW
    assert parse_instant("2026-01-02T03:04:05", NOW) == NOW
    with pytest.raises(ArgumentInvalid):
        parse_instant("99999999d", NOW)


def test_pictures_are_judged_again_and_taken_down(data: Path) -> None:
    plain = run(data, "audit", "pictures", "--since", "2026-01-01", "--format", "csv")
    assert plain.exit_code == 0, plain.output
    (found,) = csv.DictReader(StringIO(plain.stdout))
    assert (found["found_in"], found["category"], found["png"]) == ("prompt", "violence", PICTURES[1].png_hash)
    assert (found["before"], found["now"], found["score_before"]) == ("allow", "block", "")
    assert "3 pictures judged; 1 found" in plain.stderr
    over = run(data, "audit", "pictures", "--class", "sexual", "--score-over", "0", "--format", "json")
    lines = [json.loads(line) for line in over.stdout.splitlines()]
    assert {line["png"] for line in lines} == shown(data)
    assert all(line["category"] == "sexual" and 0 < line["score"] <= 1 for line in lines)
    assert {(line["before"], line["now"], line["score_before"]) for line in lines} == {("allow", "allow", None)}
    assert run(data, "audit", "pictures", "--until", "2026-01-01").stderr.endswith("0 pictures judged; 0 found\n")
    taken = run(data, "audit", "pictures", "--class", "violence", "--take-down", "--yes")
    assert taken.exit_code == 0, taken.output
    assert shown(data) == {PICTURES[0].png_hash, PICTURES[2].png_hash}
    listed = run(data, "audit", "list").stdout.splitlines()
    assert [line.split()[1] for line in listed[1:]] == ["done"] * 4
    again = run(data, "audit", "pictures", "--resume", listed[-1].split()[0], "--format", "csv")
    assert again.stdout == plain.stdout
    smaller = draw_pixels(1).resize((96, 96))

    async def draw_copy(database: Database) -> None:
        work = make_work(database, Objects(data / "objects"))
        await finish_with(work.backing, encode_picture(smaller), tenant="bob", at=NOW)

    on_database(data, draw_copy)
    copied = run(data, "audit", "pictures", "--tenant", "bob", "--format", "json")
    (line,) = [json.loads(line) for line in copied.stdout.splitlines()]
    assert (line["found_in"], line["before"], line["now"]) == ("picture", "allow", "block")
    assert line["score"] > 0.87, "the share of the bits that agree with the picture that was taken down"
    assert run(data, "audit", "pictures", "--class", "nonsense").exit_code == 2
    assert run(data, "audit", "pictures", "--resume", "aud_0").exit_code == 1


KILLED = """
    import asyncio, os, signal, sys
    from pathlib import Path
    from mezzotint.actions.takedown import audit
    from mezzotint.store import Database, Objects, Store
    from tests.making_takedowns import judge_brightness, make_work

    audit.PAGE = 1
    num_judged = 0

    def judge(pixels, tier):
        global num_judged
        num_judged += 1
        if num_judged == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return judge_brightness(pixels, tier)

    async def main(folder):
        database = Database(folder / "mezzotint.db")
        work = make_work(database, Objects(folder / "objects"))
        audits = audit.AuditWork(audits=Store(database).picture_audits, work=work, judge=judge)
        await audit.run_audit(audits, await audit.begin_audit(audits, audit.AuditCriteria(score_over=0.5)))

    asyncio.run(main(Path(sys.argv[1])))
"""


def test_an_audit_that_was_killed_goes_on_where_it_was(data: Path) -> None:
    from mezzotint.actions.takedown.audit import AuditCriteria, AuditWork, begin_audit, run_audit
    from tests.making_takedowns import judge_brightness

    killed = subprocess.run([sys.executable, "-c", dedent(KILLED), str(data)], check=False)
    assert killed.returncode == -signal.SIGKILL

    async def resume(database: Database) -> None:
        store, judged = Store(database), []
        work = make_work(database, Objects(data / "objects"))
        audits = AuditWork(
            audits=store.picture_audits,
            work=work,
            judge=lambda one, tier: judged.append(one) or judge_brightness(one, tier),
        )
        ((cut, num_found),) = await store.picture_audits.newest(9)
        assert (cut.phase, cut.num_seen, num_found > 0) == ("running", 2, True)
        done = await run_audit(audits, cut)
        assert (done.phase, done.num_seen, len(judged)) == ("done", 3, 1)
        fresh = await run_audit(audits, await begin_audit(audits, AuditCriteria(score_over=0.5)))
        found = [[one async for one in store.picture_audits.findings(id)] for id in (done.id, fresh.id)]
        assert found[0] == found[1]
        assert len(found[0]) == 3

    on_database(data, resume)


def test_the_image_filter_of_a_process_follows_the_blocklist(data: Path) -> None:
    from mezzotint.background import BackgroundTasks
    from mezzotint.main.takedown.wiring import build_blocklist_reader, follow_blocklist
    from mezzotint.policy.safety.verdicts import SafetyVerdict
    from mezzotint.safety.image.postfilter import PostFilter
    from mezzotint.safety.policy_file import load_policy

    image_filter = PostFilter([], load_policy(None))
    smaller = draw_pixels(0).resize((80, 80))
    assert image_filter.check(smaller).verdict is SafetyVerdict.ALLOW
    assert run(data, "takedown", "create", PICTURES[0].png_hash, "--reason", "reported", "--yes").exit_code == 0

    async def follow(database: Database) -> None:
        background = BackgroundTasks()
        reader = build_blocklist_reader(Store(database).takedowns, image_filter)
        async with background.running(follow_blocklist(reader, background)):
            async with asyncio.timeout(30):
                while image_filter.check(smaller).verdict is not SafetyVerdict.BLOCK:
                    await asyncio.sleep(0.01)  # the task tells nobody that it has read

    on_database(data, follow)
    assert image_filter.check(draw_pixels(0)).verdict is SafetyVerdict.BLOCK
    assert image_filter.check(draw_pixels(2)).verdict is SafetyVerdict.ALLOW
