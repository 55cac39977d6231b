"""`mezzotint fleet rollout`: write down the release that is wanted; the fleet's controller does the rest."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import typer

from mezzotint import __version__
from mezzotint.config import Settings
from mezzotint.domain.errors import ArgumentInvalid, NotKnown
from mezzotint.domain.fleet.desired_fleet import DesiredFleet, FleetPhase
from mezzotint.domain.fleet.pool import Fleet
from mezzotint.domain.fleet.rollout import Release, Rollout
from mezzotint.domain.fleet.rollout_phase import RolloutPhase
from mezzotint.main.fleet.fleet_file import parse_fleet_file, read_fleet
from mezzotint.main.fleet.up import digest_document
from mezzotint.main.served_models import find_models
from mezzotint.main.stores import migrate_database
from mezzotint.policy.fleet.rollout_view import choose_pools
from mezzotint.policy.fleet.validation import read_document
from mezzotint.store import Database
from mezzotint.store.fleet.fleet_rows import FleetRows
from mezzotint.store.fleet.rollouts import Rollouts

MAX_LABEL = 40
POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRequest:
    """file: None: the present one. version: None: made of the package's and the file's. changes: settings of the
    service, by name."""

    file: Path | None
    version: str | None
    changes: dict[str, str] = field(default_factory=dict)


async def begin_rollout(settings: Settings, database: Database, request: RolloutRequest) -> Release:
    """Check the new release, then let the controller begin. Raises: StartError."""
    wanted = await read_wanted(database)
    changes = {**wanted.changes, **request.changes}
    settings = settings.model_copy(update={n: Path(v) if n == "models" else v for n, v in changes.items()})
    document = dict(wanted.document)
    if request.file is not None:
        document = parse_fleet_file(request.file)
        await asyncio.to_thread(read_fleet, request.file, lambda: find_models(settings))
    else:
        await asyncio.to_thread(find_models, settings)
    digest = digest_document(document, changes)
    version = request.version or f"{__version__}-{digest[:7]}"
    if not (version.isprintable() and 0 < len(version) <= MAX_LABEL and " " not in version):
        raise ArgumentInvalid(f"version {version[:60]!r}: use at most {MAX_LABEL} characters without spaces")
    if version == wanted.version:
        raise ArgumentInvalid(f"the fleet runs version {version}: give the new one another label with --version")
    release = Release(version=version, document=document, digest=digest, changes=changes)
    old, new = read_document(wanted.document), read_document(document)
    assert isinstance(old, Fleet), "only a checked document is written"
    assert isinstance(new, Fleet), "it was just checked"
    if {pool.name for pool in old.pools} != {pool.name for pool in new.pools}:
        raise ArgumentInvalid("a rollout neither adds nor removes pools: do that with `mezzotint fleet up` first")
    replaces_all = request.version is not None or changes != dict(wanted.changes)
    pools = choose_pools(old, new, replaces_all=replaces_all)
    if not pools:
        raise ArgumentInvalid("nothing that makes workers differ is changed; --version LABEL replaces them all anyway")
    await migrate_database(settings, database)
    if not await Rollouts(database).begin(release, wanted.version, pools, datetime.now(UTC)):
        raise ArgumentInvalid(
            "a rollout is under way: wait for its end, or end it with `mezzotint fleet rollout --abort`"
        )
    return release


def read_changes(models: Path | None, model: str | None) -> dict[str, str]:
    """The settings of the service that flags change, with paths that mean the same in every process."""
    changes: dict[str, str] = {}
    if models is not None:
        changes["models"] = str(models.resolve())
    if model is not None:
        changes["model"] = str(Path(model).resolve()) if Path(model).exists() else model
    return changes


async def read_wanted(database: Database) -> DesiredFleet:
    """Read the fleet that is up. Raises: NotKnown."""
    wanted = await FleetRows(database).read()
    if wanted is None or wanted.phase is not FleetPhase.UP:
        raise NotKnown("no fleet is up on this database", "fleet up FILE")
    return wanted


async def abort_rollout(database: Database) -> None:
    """Raises: NotKnown."""
    if not await Rollouts(database).go_back("an operator ended it", datetime.now(UTC)):
        raise NotKnown("no rollout is under way that could go back", "fleet status")


async def wait_for_end(database: Database, wait_s: float) -> Rollout:
    """Wait until the newest rollout is over, or the time is; tell each step. Raises: StorageUnavailable."""
    until, told = time.monotonic() + wait_s, ""
    while True:
        rollout = await Rollouts(database).newest()
        assert rollout is not None, "it was begun"
        if (line := describe_rollout(rollout)) != told:
            typer.echo(line)
            told = line
        if rollout.phase.is_final or time.monotonic() >= until:
            return rollout
        await asyncio.sleep(POLL_S)


def describe_rollout(rollout: Rollout) -> str:
    step = "" if rollout.phase.is_final else f"; now: {rollout.step}"
    return f"rollout of {rollout.release.version}, {rollout.phase}: {rollout.reason}{step}"


def is_done(rollout: Rollout) -> bool:
    return rollout.phase is RolloutPhase.DONE
