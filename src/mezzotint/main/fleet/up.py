"""`mezzotint fleet up` and `down`: the only commands that speak to Ray; the others speak to the database."""

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import typer

from mezzotint import __version__
from mezzotint.config import Settings
from mezzotint.domain.errors import ClusterUnusable, NotKnown, SettingInvalid
from mezzotint.domain.fleet.desired_fleet import DesiredFleet, FleetPhase
from mezzotint.domain.fleet.pool import Fleet
from mezzotint.environment import set_ray_environment
from mezzotint.main.data_folder import make_ray_token, prepare_data_folder
from mezzotint.main.fleet.fleet_file import FleetInvalid, parse_fleet_file, read_fleet
from mezzotint.main.fleet.node_code import configure_worker, find_node_faults, run_fleet_worker
from mezzotint.main.served_models import find_models
from mezzotint.main.stores import check_objects, migrate_database, open_database, open_objects
from mezzotint.metrics import Metrics
from mezzotint.policy.fleet.cluster_checks import check_cluster
from mezzotint.store import Database
from mezzotint.store.fleet.fleet_rows import FleetRows

POLL_S = 0.2
T = TypeVar("T")
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpRequest:
    """ray: HOST:PORT of a cluster; None: one of this machine alone is started. is_autoscaled: its nodes come when
    workers want them."""

    file: Path
    ray: str | None
    is_autoscaled: bool


def bring_up(settings: Settings, request: UpRequest) -> None:
    """Check everything, then start the controller, which starts the workers. Raises: StartError."""
    settings = make_absolute(settings)
    if settings.database is None:
        raise SettingInvalid("a fleet needs --database postgresql://...; SQLite has one worker, in `mezzotint serve`")
    fleet = read_fleet(request.file, lambda: find_models(settings))
    document = parse_fleet_file(request.file)
    prepare_data_folder(settings.data)
    before = asyncio.run(_prepare_stores(settings))
    address, is_local = find_address(settings, request, before)
    from mezzotint.fleet import cluster
    from mezzotint.fleet.programs import FleetProgram

    num_nodes = check_nodes(settings, fleet, request, address)
    wanted = make_wanted(fleet, document, before, address)
    wanted = replace(wanted, is_local=is_local, is_autoscaled=request.is_autoscaled)
    in_database(settings, lambda rows: rows.write(wanted))
    program = FleetProgram(settings=settings, configure=configure_worker, run=run_fleet_worker)
    cluster.start_controller(program, wanted.namespace)
    typer.echo(f"The fleet is up on {address}; nodes: {num_nodes}, pools: {len(fleet.pools)}.")
    typer.echo("`mezzotint fleet status` shows it, `mezzotint fleet down` ends it.")


def check_nodes(settings: Settings, fleet: Fleet, request: UpRequest, address: str) -> int:
    """Connect to the cluster and let each node try what a worker there needs. Returns the number of nodes.

    Raises: ClusterUnusable, FleetInvalid.
    """
    from mezzotint.fleet import cluster

    cluster.connect(address)
    nodes = cluster.probe_nodes(settings, find_node_faults)
    if problems := check_cluster(fleet, nodes, __version__, is_autoscaled=request.is_autoscaled):
        raise FleetInvalid.of(request.file, problems)
    return len(nodes)


def check_on_cluster(settings: Settings, fleet: Fleet, request: UpRequest) -> int:
    """Find out whether `fleet up` could, and start nothing. Returns the number of nodes. Raises: StartError."""
    assert request.ray is not None, "a cluster is asked about"
    set_ray_environment(is_loopback=request.ray.startswith(LOOPBACK))
    return check_nodes(make_absolute(settings), fleet, request, request.ray)


def make_absolute(settings: Settings) -> Settings:
    """The settings with paths that mean the same in every process of this machine."""
    changes: dict[str, Any] = {"data": settings.data.resolve()}
    if settings.objects is not None and "://" not in settings.objects:
        changes["objects"] = str(Path(settings.objects).resolve())
    for name in ("models", "safety_policy", "prefilter_rules", "text_heads"):
        if (path := getattr(settings, name)) is not None:
            changes[name] = path.resolve()
    if Path(settings.model).exists():
        changes["model"] = str(Path(settings.model).resolve())
    return settings.model_copy(update=changes)


def find_address(settings: Settings, request: UpRequest, before: DesiredFleet | None) -> tuple[str, bool]:
    """The cluster's address, and whether it is one that this command started. Raises: ClusterUnusable."""
    if before is not None and before.phase is not FleetPhase.DOWN and request.ray not in (None, before.ray_address):
        raise ClusterUnusable(
            f"the fleet is up on {before.ray_address}: end it there with `mezzotint fleet down` first"
        )
    if request.ray is not None:
        set_ray_environment(is_loopback=request.ray.startswith(LOOPBACK))
        return request.ray, False
    if before is not None and before.phase is not FleetPhase.DOWN and not before.is_local:
        set_ray_environment(is_loopback=before.ray_address.startswith(LOOPBACK))
        return before.ray_address, False
    set_ray_environment(is_loopback=True, token_file=make_ray_token(settings.data))
    from mezzotint.fleet.local_ray import start_local_ray

    return start_local_ray(settings.data).address, True


def make_wanted(fleet: Fleet, document: dict[str, Any], before: DesiredFleet | None, address: str) -> DesiredFleet:
    """The fleet's row: as the file says; what was asked for by `fleet scale` is kept while the fleet is up."""
    is_up = before is not None and before.phase is FleetPhase.UP
    kept = {pool: number for pool, number in before.scaled.items() if fleet.pool(pool)} if before and is_up else {}
    return DesiredFleet(
        document=document,
        digest=digest_document(document, {}),
        phase=FleetPhase.UP,
        namespace=before.namespace if before is not None else f"mezzotint-{secrets.token_hex(4)}",
        ray_address=address,
        version=__version__,
        changed_at=utc_now(),
        scaled=kept,
    )


def digest_document(document: Mapping[str, Any], changes: Mapping[str, str]) -> str:
    """SHA-256, in hex, of a fleet's file and the settings of the service that differ from those of `fleet up`."""
    text = json.dumps(document, sort_keys=True) + (json.dumps(changes, sort_keys=True) if changes else "")
    return hashlib.sha256(text.encode()).hexdigest()


async def _prepare_stores(settings: Settings) -> DesiredFleet | None:
    """Bring the database to this version, try both stores. Returns the fleet's row."""
    database = open_database(settings, Metrics())
    try:
        await migrate_database(settings, database)
        await check_objects(settings, open_objects(settings, Metrics()))
        return await FleetRows(database).read()
    finally:
        await database.close()


def in_database(settings: Settings, work: Callable[[FleetRows], Any]) -> Any:
    """Run `work` on the fleet's rows."""

    async def run() -> Any:
        database: Database = open_database(settings, Metrics())
        try:
            return await work(FleetRows(database))
        finally:
            await database.close()

    return asyncio.run(run())


def bring_down(settings: Settings, *, is_now: bool, wait_s: float) -> None:
    """Drain all workers, end the controller, and the local cluster where `up` started one. Raises: StartError.

    is_now: end the processes at once; their jobs go on from their last checkpoints, when their leases have ended.
    """
    settings = make_absolute(settings)
    wanted = in_database(settings, lambda rows: rows.read())
    if wanted is None or wanted.phase is FleetPhase.DOWN:
        raise NotKnown("no fleet is up on this database", "fleet up FILE")
    in_database(settings, lambda rows: rows.set_phase(FleetPhase.STOPPING, utc_now()))
    token_file = make_ray_token(settings.data) if wanted.is_local else None
    set_ray_environment(is_loopback=wanted.ray_address.startswith(LOOPBACK), token_file=token_file)
    from mezzotint.fleet import cluster
    from mezzotint.fleet.local_ray import stop_local_ray

    if not is_now:
        _wait_until_down(settings, wait_s)
    try:
        cluster.connect(wanted.ray_address)
    except ClusterUnusable as error:
        typer.echo(f"note: {error}; what ran there is gone with it", err=True)
    else:
        cluster.kill_controller(wanted.namespace)
        living = [
            worker.id for worker in in_database(settings, lambda rows: rows.workers()) if not worker.state.is_final
        ]
        cluster.kill_workers(wanted.namespace, living)
    in_database(settings, lambda rows: rows.end_all("ended by `fleet down`", utc_now()))
    if wanted.is_local:
        stop_local_ray(settings.data)
    typer.echo("The fleet is down.")


def _wait_until_down(settings: Settings, wait_s: float) -> None:
    """Raises: ClusterUnusable."""
    until = time.monotonic() + wait_s

    async def wait(rows: FleetRows) -> bool:
        while time.monotonic() < until:
            wanted = await rows.read()
            if wanted is None or wanted.phase is FleetPhase.DOWN:
                return True
            await asyncio.sleep(POLL_S)
        return False

    if not in_database(settings, wait):
        raise ClusterUnusable(
            f"the workers did not end within {wait_s:.0f} s: `mezzotint fleet status` shows which; "
            "`mezzotint fleet down --now` ends them at once"
        )


def utc_now() -> datetime:
    return datetime.now(UTC)
