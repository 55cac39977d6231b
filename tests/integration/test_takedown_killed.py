"""A takedown whose process is killed goes on in the gateway of the same database, to the same end."""

import asyncio
import os
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from mezzotint.config import Settings
from mezzotint.domain.claims import Role
from mezzotint.main.data_folder import load_secret
from mezzotint.store import Database, Objects
from tests.acceptance.conftest import MEZZOTINT, Server
from tests.integration.conftest import Fleet
from tests.making_takedowns import draw_pixels, encode_picture, finish_with, make_work

NUM_PICTURES = 60


async def draw_pictures(address: str, folder: Path) -> None:
    database = Database(address)
    database.migrate()
    work = make_work(database, Objects(folder))
    for number in range(NUM_PICTURES):
        picture = encode_picture(draw_pixels(number, 64))
        await finish_with(work.backing, picture, tenant="ada", at=datetime.now(UTC))
    await database.close()


def count_files(folder: Path, prefix: str) -> int:
    """Without those that the store began to write when its process was killed: it names them `...#1`."""
    return sum(path.is_file() and "#" not in path.name for path in (folder / prefix).rglob("*"))


def wait_for(server: Server, phase: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {server.token('ops', 'pro', Role.ADMIN)}"}
    until = time.monotonic() + 120
    while time.monotonic() < until:
        (takedown,) = httpx.get(f"{server.url}/v1/admin/takedowns", headers=headers, timeout=30).json()["takedowns"]
        if takedown["phase"] == phase:
            found: dict[str, Any] = takedown
            return found
        time.sleep(0.2)  # polling another process: there is no event to wait for
    raise AssertionError(f"the takedown is still {takedown['phase']}")


def test_a_takedown_that_was_killed_is_finished_by_a_gateway_and_undone(fleet: Fleet) -> None:
    objects = fleet.folder / "data" / "objects"
    load_secret(Settings(data=fleet.folder / "data"))  # makes it, as the first process does
    asyncio.run(draw_pictures(fleet.environment["MEZZOTINT_DATABASE"], objects))
    command = [MEZZOTINT, "takedown", "create", "--tenant", "ada", "--reason", "reported", "--yes"]
    environment = {**os.environ, **fleet.environment, "MEZZOTINT_DATA": str(fleet.folder / "data")}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while count_files(objects, "quarantine") < 5 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)  # polling another process's files
    process.kill()
    assert process.wait() == -9, "it was killed in the middle"
    assert 0 < count_files(objects, "images") < 2 * NUM_PICTURES
    with fleet.gateway() as server, server.client("ada") as ada:
        assert ada.get("/v1/images").json()["images"] == [], "rows went first"
        done = wait_for(server, "done")
        assert (done["num_pictures"], done["num_moved"]) == (NUM_PICTURES, NUM_PICTURES)
        assert (count_files(objects, "images"), count_files(objects, "quarantine")) == (0, 2 * NUM_PICTURES)
        headers = {"Authorization": f"Bearer {server.token('ops', 'pro', Role.ADMIN)}"}
        address = f"{server.url}/v1/admin/takedowns/{done['id']}/undo"
        assert httpx.post(address, headers=headers, json={"reason": "mistaken"}, timeout=60).status_code == 200
        wait_for(server, "undone")
        assert (count_files(objects, "images"), count_files(objects, "quarantine")) == (2 * NUM_PICTURES, 0)
        pages = [ada.get("/v1/images", params={"limit": 100}).json()["images"]]
        assert len(pages[0]) == NUM_PICTURES
        assert ada.get(pages[0][0]["url"]).status_code == 200
