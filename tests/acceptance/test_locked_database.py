"""Another process holds SQLite's lock for longer than a writer waits: the server lives, and no job is lost."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.acceptance.conftest import finished, pixels_of, served
from tests.acceptance.test_crash import wait_for_step

HELD_S = 24.0
"""Longer than a writer waits for its turn (10 s) and then for the lock (10 s)."""


@contextmanager
def locked(path: Path, for_s: float) -> Iterator[None]:
    """As a backup that takes too long would do it."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    release = threading.Timer(for_s, connection.execute, ("ROLLBACK",))
    release.start()
    try:
        yield
    finally:
        release.join()
        connection.close()


def test_a_lock_held_for_long_answers_503_and_costs_neither_the_server_nor_a_job(tmp_path: Path) -> None:
    data = tmp_path / "data"
    body = {"prompt": "a red apple --seed 7 --steps 40", "width": 128, "height": 128}
    with served(data, MEZZOTINT_LEASE_S="10") as server, server.client() as ada:
        whole = finished(ada, ada.post("/v1/jobs", json=body).json())
        job = ada.post("/v1/jobs", json=body, headers={"Idempotency-Key": "again"}).json()
        wait_for_step(ada, job, 2)
        with locked(data / "mezzotint.db", HELD_S):
            refused = ada.post("/v1/jobs", json={"prompt": "a rocket"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "storage_unavailable")
            assert int(refused.headers["retry-after"]) > 0
            assert ada.get(f"/v1/jobs/{job['id']}").status_code == 200, "readers go on"
            assert httpx.get(f"{server.url}/healthz", timeout=30).status_code == 200
        after = accepted(ada, {"prompt": "a rocket --steps 4"})
        assert finished(ada, after)["state"] == "succeeded"
        ended = finished(ada, job)
        assert httpx.get(f"{server.url}/readyz", timeout=30).status_code == 200
        assert pixels_of(ada, ended) == pixels_of(ada, whole)
        assert server.stop() == 0
    assert "it will be run again" not in server.log.read_text()


def accepted(client: httpx.Client, body: dict[str, object]) -> dict[str, object]:
    """The job, once the server takes it; it may need a moment after the lock is gone."""
    for _ in range(20):
        answer = client.post("/v1/jobs", json=body)
        if answer.status_code == 202:
            job: dict[str, object] = answer.json()
            return job
        assert answer.status_code == 503
        time.sleep(0.5)
    raise AssertionError("the server takes no jobs after the lock is gone")
