"""A server's files are its user's alone, whatever the umask it was started with."""

import os
import stat
from pathlib import Path

import pytest

from tests.acceptance.conftest import served


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_every_file_that_a_server_writes_is_its_users_alone(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        with served(tmp_path / "data") as server:
            with server.client() as ada:
                job = ada.post("/v1/jobs", json={"prompt": "a red apple --steps 12"}).json()
                while job["state"] not in {"succeeded", "failed"}:
                    job = ada.get(f"/v1/jobs/{job['id']}", params={"wait": 30}).json()
            assert job["state"] == "succeeded"
            found = {path: path.stat().st_mode for path in (server.data, *server.data.rglob("*"))}
    finally:
        os.umask(before)
    names = {path.name for path in found}
    assert {"mezzotint.db", "mezzotint.db-wal", "mezzotint.db-shm", "secret", "lock", "uptime.json"} <= names
    assert any(path.suffix == ".png" for path in found) or any("objects" in path.parts for path in found)
    open_to_others = {str(path): oct(mode) for path, mode in found.items() if stat.S_IMODE(mode) & 0o077}
    assert open_to_others == {}
