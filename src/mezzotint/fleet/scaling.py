"""Decide from the load, every few seconds, how many workers the pools are to have."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mezzotint.domain.fleet.desired_fleet import DesiredFleet, FleetPhase, PoolTarget
from mezzotint.domain.fleet.fleet_worker import FleetWorker
from mezzotint.domain.fleet.pool import Fleet
from mezzotint.policy.fleet.autoscale import FleetView, ScaleDecision, autoscale
from mezzotint.policy.fleet.placement import measure_speeds
from mezzotint.policy.fleet.pool_readings import PoolMeter
from mezzotint.policy.fleet.targets import choose_targets, pin_pools, restore_states
from mezzotint.store import Database, Devices
from mezzotint.store.fleet.waiting import read_waiting

LOOK_EVERY = timedelta(seconds=5)


@dataclass(slots=True)
class Scaling:
    database: Database
    _meter: PoolMeter = field(default_factory=PoolMeter)
    _decisions: dict[str, ScaleDecision] = field(default_factory=dict)
    _speeds: dict[str, float] = field(default_factory=dict)
    _decided_for: tuple[str, object] | None = None
    _decided_at: datetime | None = None

    async def decide(
        self,
        fleet: Fleet,
        wanted: DesiredFleet,
        workers: Sequence[FleetWorker],
        before: Sequence[PoolTarget],
        now: datetime,
    ) -> tuple[PoolTarget, ...]:
        """before: the targets that were written last. Raises: StorageUnavailable."""
        pinned = pin_pools(fleet, wanted)
        readings = self._meter.read(fleet, workers, now)
        asked = wanted.digest, dict(wanted.scaled)
        is_due = self._decided_at is None or now - self._decided_at >= LOOK_EVERY
        if is_due or asked != self._decided_for:
            work = await read_waiting(self.database, {one for pool in fleet.pools for one in pool.tenants}, now)
            heard = await Devices(self.database).read_workers(now)
            self._speeds |= measure_speeds((worker.pool, worker.report.pace_s) for worker in heard)
            readings = {name: replace(reading, speed=self._speeds.get(name, 1.0)) for name, reading in readings.items()}
            states = {name: decision.state for name, decision in self._decisions.items()} or restore_states(before)
            view = FleetView(work=work, readings=readings, states=states)
            self._decisions = {decision.pool: decision for decision in autoscale(pinned, view, now)}
            self._decided_for, self._decided_at = asked, now
        return choose_targets(fleet, wanted, self._decisions)

    def find_cause(self, pool: str, wanted: DesiredFleet) -> str:
        """The cause of the pool's target, in a word."""
        if wanted.phase is not FleetPhase.UP:
            return "fleet_ends"
        return "operator" if pool in wanted.scaled else str(self._decisions[pool].reason.cause)
