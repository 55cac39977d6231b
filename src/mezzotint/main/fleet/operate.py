"""`mezzotint fleet up | status | scale | drain | rollout | down`, and what they print."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mezzotint.config import read_settings
from mezzotint.domain.errors import ArgumentInvalid, NotKnown
from mezzotint.domain.fleet.desired_fleet import FleetPhase
from mezzotint.domain.fleet.fleet_worker import FleetWorkerId
from mezzotint.domain.fleet.pool import Fleet
from mezzotint.main.fleet.commands import AtDatabase, AtObjects, FleetFile, IsAutoscaled, Listed, One
from mezzotint.main.fleet.commands import app as app  # noqa: PLC0414 - it is exported
from mezzotint.main.fleet.view import read_view
from mezzotint.main.options import Data, ExitCode, report_errors
from mezzotint.main.with_database import with_database

if TYPE_CHECKING:
    from mezzotint.store import Database

AUTO = "auto"


@app.command()
def up(
    file: FleetFile,
    ray: Annotated[str | None, typer.Option(help="HOST:PORT of a Ray cluster; default: one of this machine.")] = None,
    autoscaled: IsAutoscaled = False,
    data: Data = None,
    database: AtDatabase = None,
    objects: AtObjects = None,
    models: Listed = None,
    model: One = None,
) -> None:
    """Check the file, the cluster and its nodes; then start the workers, or change what runs by the file."""
    from mezzotint.main.fleet.up import UpRequest, bring_up

    with report_errors():
        settings = read_settings(data=data, database=database, objects=objects, models=models, model=model)
        bring_up(settings, UpRequest(file=file, ray=ray, is_autoscaled=autoscaled))


@app.command()
def status(
    data: Data = None,
    database: AtDatabase = None,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="As JSON, for programs.")] = False,
) -> None:
    """Pools and workers: how many, in which state, what they run, and why the last decision was taken."""
    with report_errors():
        view = with_database(read_settings(data=data, database=database), read_view)
        if as_json:
            typer.echo(json.dumps(view.as_json(), indent=2))
        else:
            view.print()


@app.command()
def scale(
    pool: Annotated[str, typer.Argument(help="The pool's name.")],
    workers: Annotated[str, typer.Argument(help="How many workers, or `auto`: as the file and the load say.")],
    data: Data = None,
    database: AtDatabase = None,
) -> None:
    """Fix the number of a pool's workers. Those that go hand their jobs on with checkpoints; no step is lost."""
    with report_errors():
        with_database(read_settings(data=data, database=database), lambda found: set_scale(found, pool, workers))
        typer.echo(f"{pool}  {workers}")


@app.command()
def drain(
    worker: Annotated[str, typer.Argument(help="The worker, as `status` names it.")],
    data: Data = None,
    database: AtDatabase = None,
) -> None:
    """Let one worker hand its jobs on and end. Its pool starts another where it has too few."""
    from mezzotint.store.fleet.fleet_rows import FleetRows

    with report_errors():
        settings, id = read_settings(data=data, database=database), FleetWorkerId(worker)
        if not with_database(settings, lambda found: FleetRows(found).want_drain(id)):
            raise NotKnown(f"no worker {worker!r} of the fleet is alive", "fleet status")
        typer.echo(f"{worker}  drains")


@app.command()
def rollout(
    file: Annotated[Path | None, typer.Argument(help="The fleet's new file; default: the one that runs.")] = None,
    version: Annotated[
        str | None, typer.Option(help="Label of the new version; default: the package's, with the file's digest.")
    ] = None,
    abort: Annotated[bool, typer.Option("--abort", metavar="", help="Let the rollout that rolls go back.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for its end; fails where it went back.")] = 0.0,
    data: Data = None,
    database: AtDatabase = None,
    models: Listed = None,
    model: One = None,
) -> None:
    """Replace the workers one at a time by those of other settings, models or code; go back where they fail more."""
    from mezzotint.main.fleet import rollout as rollouts

    with report_errors():
        settings = read_settings(data=data, database=database)
        if abort:
            with_database(settings, rollouts.abort_rollout)
            typer.echo("The rollout goes back: the new workers drain, and old ones take their places.")
            return
        request = rollouts.RolloutRequest(file=file, version=version, changes=rollouts.read_changes(models, model))
        release = with_database(settings, lambda found: rollouts.begin_rollout(settings, found, request))
        typer.echo(f"rollout of {release.version}: the controller begins; `mezzotint fleet status` shows it")
        if wait and not rollouts.is_done(with_database(settings, lambda found: rollouts.wait_for_end(found, wait))):
            raise typer.Exit(ExitCode.FAILED)


@app.command()
def down(
    now: Annotated[
        bool, typer.Option("--now", metavar="", help="End the processes at once; jobs go on when their leases end.")
    ] = False,
    wait: Annotated[float, typer.Option(min=1, help="Seconds in which the workers may hand their jobs on.")] = 300.0,
    data: Data = None,
    database: AtDatabase = None,
) -> None:
    """Let all workers hand their jobs on and end; then end the controller, and the Ray that `up` started."""
    from mezzotint.main.fleet.up import bring_down

    with report_errors():
        bring_down(read_settings(data=data, database=database), is_now=now, wait_s=wait)


async def set_scale(database: "Database", pool: str, workers: str) -> None:
    """Raises: ArgumentInvalid, NotKnown."""
    from mezzotint.policy.fleet.validation import read_document
    from mezzotint.store.fleet.fleet_rows import FleetRows

    rows = FleetRows(database)
    wanted = await rows.read()
    if wanted is None or wanted.phase is not FleetPhase.UP:
        raise NotKnown("no fleet is up on this database", "fleet up FILE")
    fleet = read_document(wanted.document)
    found = fleet.pool(pool) if isinstance(fleet, Fleet) else None
    if found is None:
        names = ", ".join(entry["name"] for entry in wanted.document["pools"])
        raise NotKnown(f"the fleet has no pool {pool!r}; it has {names}", "fleet status")
    if workers != AUTO and not workers.isdecimal():
        raise ArgumentInvalid(f"{workers[:40]!r} workers: use a number, or `auto`")
    number = None if workers == AUTO else int(workers)
    if number is not None and not found.min_workers <= number <= found.max_workers:
        raise ArgumentInvalid(f"{number} workers: the file allows {found.min_workers} to {found.max_workers} in {pool}")
    await rows.scale(pool, number, datetime.now(UTC))
