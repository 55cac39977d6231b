"""The fleet as `mezzotint fleet status` shows it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from mezzotint.domain.errors import NotKnown
from mezzotint.domain.fleet.desired_fleet import DesiredFleet, FleetDecision, FleetPhase, PoolTarget
from mezzotint.domain.fleet.fleet_worker import FleetWorker
from mezzotint.domain.fleet.rollout import Rollout
from mezzotint.domain.fleet.worker_state import FleetWorkerState
from mezzotint.main.fleet.regions import RegionStatus, print_regions, read_regions
from mezzotint.main.options import print_table
from mezzotint.policy.fleet.rollout_view import read_counts
from mezzotint.policy.fleet.versions import compare_fingerprints

if TYPE_CHECKING:
    from mezzotint.store import Database

SHOWN_DECISIONS = 10
QUIET_S = 30.0
"""A controller that wrote nothing for so long is being restarted, or cannot reach the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatus:
    """workers: those that live, and those that ended in the last hour. rollout: the newest. notes: what differs while
    two versions run beside each other."""

    wanted: DesiredFleet
    targets: Sequence[PoolTarget]
    workers: Sequence[FleetWorker]
    decisions: Sequence[FleetDecision]
    at: datetime
    regions: Sequence[RegionStatus] = ()
    rollout: Rollout | None = None
    notes: Sequence[str] = ()

    @property
    def controller_silent_s(self) -> float | None:
        seen = self.wanted.controller_seen_at
        return None if seen is None else (self.at - seen).total_seconds()

    def as_json(self) -> dict[str, Any]:
        return {
            "phase": self.wanted.phase,
            "cluster": self.wanted.ray_address,
            "version": self.wanted.version,
            "digest": self.wanted.digest,
            "controller": {
                "node": self.wanted.controller_node,
                "epoch": self.wanted.epoch,
                "silent_s": self.controller_silent_s,
            },
            "rollout": None if self.rollout is None else self._rollout_as_json(self.rollout),
            "pools": [
                {
                    "name": target.pool,
                    "wanted": target.num_workers,
                    "reason": target.reason,
                    "workers": {state: number for state, number in self._count(target.pool).items() if number},
                }
                for target in self.targets
            ],
            "workers": [
                {
                    "id": worker.id,
                    "pool": worker.pool,
                    "region": worker.region,
                    "version": worker.version,
                    "state": worker.state,
                    "worker": worker.worker,
                    "node": worker.node,
                    "device": worker.device,
                    "running": worker.num_running,
                    "runs": worker.num_runs,
                    "failed": worker.num_failed,
                    "reason": worker.reason,
                    "since": worker.changed_at.isoformat(),
                }
                for worker in self.workers
            ],
            "regions": [asdict(one) for one in self.regions],
            "decisions": [
                {
                    "at": one.at.isoformat(),
                    "pool": one.pool,
                    "worker": one.worker,
                    "action": one.action,
                    "reason": one.reason,
                }
                for one in self.decisions
            ],
        }

    def _rollout_as_json(self, rollout: Rollout) -> dict[str, Any]:
        new, old = read_counts(rollout, self.workers)
        return {
            "version": rollout.release.version,
            "old": rollout.old,
            "phase": rollout.phase,
            "reason": rollout.reason,
            "step": rollout.step,
            "pools": list(rollout.pools),
            "changes": dict(rollout.release.changes),
            "started": rollout.started_at.isoformat(),
            "since": rollout.changed_at.isoformat(),
            "new": asdict(new),
            "previous": asdict(old),
            "notes": list(self.notes),
        }

    def _print_rollout(self, rollout: Rollout) -> None:
        new, old = read_counts(rollout, self.workers)
        since_s = (self.at - rollout.changed_at).total_seconds()
        typer.echo(
            f"rollout from {rollout.old} to {rollout.release.version}: {rollout.phase} since {since_s:.0f} s, "
            f"{rollout.reason}\n"
            f"  pools {', '.join(rollout.pools)}; new workers failed {new.num_failed} of {new.num_runs} runs, old ones "
            f"{old.num_failed} of {old.num_runs}{'' if rollout.phase.is_final else f'; now: {rollout.step}'}"
        )
        for note in self.notes:
            typer.echo(f"  note: {note}")
        typer.echo("")

    def _count(self, pool: str) -> Counter[FleetWorkerState]:
        return Counter(worker.state for worker in self.workers if worker.pool == pool)

    def print(self) -> None:
        silent = self.controller_silent_s
        is_quiet = self.wanted.phase is not FleetPhase.DOWN and silent is not None and silent > QUIET_S
        seen = "has not started" if silent is None else f"on {self.wanted.controller_node}, seen {silent:.0f} s ago"
        typer.echo(
            f"fleet {self.wanted.phase} on {self.wanted.ray_address}, mezzotint {self.wanted.version}, "
            f"file {self.wanted.digest[:12]}; controller {seen}{' (QUIET)' if is_quiet else ''}\n"
        )
        if self.rollout is not None:
            self._print_rollout(self.rollout)
        pools = []
        for target in self.targets:
            counts = self._count(target.pool)
            numbers = [str(counts[state]) for state in FleetWorkerState]
            pools.append((target.pool, str(target.num_workers), *numbers, target.reason))
        print_table(("pool", "wanted", *map(str, FleetWorkerState), "why"), pools)
        if self.workers:
            typer.echo("")
            head = ("worker", "pool", "region", "version", "state", "jobs", "node", "device", "since", "why")
            print_table(head, [self._worker_row(worker) for worker in self.workers])
        if self.regions:
            typer.echo("")
            print_regions(self.regions)
        if self.decisions:
            typer.echo("\nlast decisions")
            rows = [
                (f"{one.at:%H:%M:%S}", one.pool, one.worker or "", one.action, one.reason) for one in self.decisions
            ]
            print_table(("at", "pool", "worker", "now", "why"), rows)

    def _worker_row(self, worker: FleetWorker) -> tuple[str, ...]:
        return (
            worker.id,
            worker.pool,
            worker.region,
            worker.version,
            worker.state,
            str(worker.num_running),
            worker.node or "-",
            worker.device or "-",
            f"{(self.at - worker.changed_at).total_seconds():.0f} s",
            worker.reason,
        )


async def read_view(database: "Database") -> FleetStatus:
    """Raises: NotKnown: there never was a fleet."""
    from mezzotint.store.fleet.devices import Devices
    from mezzotint.store.fleet.fleet_rows import FleetRows
    from mezzotint.store.fleet.rollouts import Rollouts

    rows, now = FleetRows(database), datetime.now(UTC)
    wanted = await rows.read()
    if wanted is None:
        raise NotKnown("no fleet was ever up on this database", "fleet up FILE")
    rollout = await Rollouts(database).newest()
    notes: list[str] = []
    if rollout is not None and not rollout.phase.is_final:
        heard = [one for one in await Devices(database).read_workers(now) if one.pool in rollout.pools]
        known = {
            version: [one.report.fingerprints for one in heard if one.version == version]
            for version in (rollout.old, rollout.release.version)
        }
        found = compare_fingerprints(known[rollout.old], known[rollout.release.version])
        notes = [f"{model}: {note}" for model, note in found]
    return FleetStatus(
        wanted=wanted,
        targets=await rows.targets(),
        workers=await rows.workers(),
        decisions=await rows.decisions(SHOWN_DECISIONS),
        at=now,
        regions=await read_regions(database, now),
        rollout=rollout,
        notes=notes,
    )
