"""`mezzotint workers`, beside no server."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from typer.testing import CliRunner

from mezzotint.domain.ids import WorkerId
from mezzotint.main.commands import app
from mezzotint.store import Database, Workers


async def seen(data: Path, *ids: str) -> None:
    database = Database(data / "mezzotint.db")
    database.migrate()
    for id in ids:
        await Workers(database).record_heartbeat(WorkerId(id), datetime.now(UTC))
    await database.close()


async def is_drained(data: Path, id: str) -> bool:
    database = Database(data / "mezzotint.db")
    found = await Workers(database).is_drained(WorkerId(id))
    await database.close()
    return found


def test_a_worker_is_listed_drained_and_takes_jobs_again(tmp_path: Path) -> None:
    asyncio.run(seen(tmp_path, "one", "two"))
    at = ["--data", str(tmp_path)]
    run = CliRunner().invoke
    assert run(app, ["workers", "drain", "one", *at]).stdout == "one  drained\n"
    assert asyncio.run(is_drained(tmp_path, "one"))
    assert not asyncio.run(is_drained(tmp_path, "two"))
    lines = run(app, ["workers", "list", *at]).stdout.splitlines()
    assert [(line.split()[0], line.split()[-1]) for line in lines[1:]] == [("one", "draining"), ("two", "active")]
    assert run(app, ["workers", "resume", "one", *at]).stdout == "one  takes jobs\n"
    assert not asyncio.run(is_drained(tmp_path, "one"))


def test_all_workers_are_drained_at_once_and_an_unknown_one_is_said_to_be(tmp_path: Path) -> None:
    asyncio.run(seen(tmp_path, "one"))
    at = ["--data", str(tmp_path)]
    run = CliRunner().invoke
    assert run(app, ["workers", "drain", "--all", *at]).exit_code == 0
    assert asyncio.run(is_drained(tmp_path, "one that starts later"))
    assert run(app, ["workers", "drain", "none", *at]).exit_code == 1
    assert run(app, ["workers", "drain", *at]).exit_code == 2
    assert run(app, ["workers", "resume", "one", "--all", *at]).exit_code == 2
    assert run(app, ["workers", "resume", "--all", *at]).exit_code == 0
    assert not asyncio.run(is_drained(tmp_path, "one"))


def test_a_worker_is_told_to_end(tmp_path: Path) -> None:
    asyncio.run(seen(tmp_path, "one"))
    at, run = ["--data", str(tmp_path)], CliRunner().invoke
    assert run(app, ["workers", "drain", "one", "--end", *at]).stdout == "one  drained\n"
    assert asyncio.run(is_drained(tmp_path, "one"))
    assert run(app, ["workers", "drain", "--all", "--end", *at]).exit_code == 2
