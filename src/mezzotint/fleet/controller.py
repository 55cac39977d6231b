"""The fleet's controller: reads what is wanted and what is there, decides, carries it out, writes it down.

Its memory is the database. Ray restarts it where it died; then it takes over the workers that live, by name.
"""

import asyncio
import secrets
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import time

import ray
import structlog

from mezzotint.background import BackgroundTasks
from mezzotint.domain.errors import LeaseLost
from mezzotint.domain.fleet.desired_fleet import DesiredFleet, FleetDecision, FleetPhase, PoolTarget
from mezzotint.domain.fleet.fleet_worker import FleetWorker, FleetWorkerId
from mezzotint.domain.fleet.pool import Fleet
from mezzotint.domain.fleet.rollout import Release, Rollout
from mezzotint.domain.fleet.worker_state import FleetWorkerState
from mezzotint.fleet.programs import FleetProgram
from mezzotint.fleet.scaling import Scaling
from mezzotint.fleet.worker_actors import WorkerActors
from mezzotint.policy.fleet.cluster_checks import find_resources
from mezzotint.policy.fleet.reconcile import RoundPlan, plan_round
from mezzotint.policy.fleet.rollout_view import RolloutPlan, choose_release, digest_pool, is_new, plan_rollout
from mezzotint.policy.fleet.validation import read_document
from mezzotint.store import Database
from mezzotint.store.fleet.counts import FleetCount
from mezzotint.store.fleet.fleet_rows import FleetChanges, FleetRows
from mezzotint.store.fleet.rollouts import Rollouts

log = structlog.get_logger()
NAME = "controller"
"""The actor's, in the fleet's namespace."""
ROUND_S = 1.0


class ControllerActor:
    """The controller of a fleet."""

    def __init__(self, program: FleetProgram, namespace: str) -> None:
        self._program = program
        self._actors = WorkerActors(namespace, program)
        self._epoch: int | None = None
        self._is_over = False
        self._started_at = _now()
        threading.Thread(target=lambda: asyncio.run(self._run()), name="controller", daemon=True).start()

    def epoch(self) -> int | None:
        """The number of this start of the controller; None until it has written its first round."""
        return self._epoch

    async def _run(self) -> None:
        assert self._program.settings.database is not None, "`fleet up` checks it"
        database = Database(self._program.settings.database.get_secret_value())
        rows, scaling, rollouts = FleetRows(database), Scaling(database), Rollouts(database)
        epochs: list[int] = []
        over = asyncio.Event()

        async def run_round() -> None:
            if not epochs:
                epochs.append(await rows.take_control(ray.util.get_node_ip_address(), _now()))
            try:
                await self._run_round(rows, rollouts, scaling, epochs[0])
            except LeaseLost as error:
                log.warning("controller ends", why=str(error))
                self._is_over = True
            self._epoch = epochs[0]
            if self._is_over:
                over.set()

        background = BackgroundTasks()
        try:
            async with background.running(background.run_forever("fleet", ROUND_S, run_round)):
                await over.wait()
        finally:
            await database.close()

    async def _run_round(self, rows: FleetRows, rollouts: Rollouts, scaling: Scaling, epoch: int) -> None:
        """Raises: LeaseLost, StorageUnavailable."""
        wanted, workers, before = await rows.read(), await rows.workers(), await rows.targets()
        if wanted is None:
            return
        fleet, rolling = read_fleet(wanted.release), await read_rolling(rollouts, wanted)
        living = [worker.id for worker in workers if not worker.state.is_final]
        seen = await asyncio.to_thread(self._actors.observe, living)
        targets = await scaling.decide(fleet, wanted, workers, before, _now())
        rollout = None if rolling is None else plan_rollout(rolling, targets, workers, _now())
        leaving = {} if rollout is None else rollout.leaving
        plan = plan_round(targets, workers, seen, _now(), self._started_at, leaving=leaving)
        new = make_workers(plan.start, wanted.release, rollout)
        scalings = list_scalings(before, targets, _now())
        changes = FleetChanges(
            at=_now(),
            targets=[target for target in targets if target not in before],
            workers=[*plan.changed, *new],
            decisions=[*scalings, *list_phases(rollout, rolling), *list_decisions(workers, [*plan.changed, *new])],
            rollout=None if rolling is None or rollout is None else (rolling, rollout.rollout),
            counted=Counter((FleetCount.DECISIONS, scaling.find_cause(one.pool, wanted)) for one in scalings),
        )
        await rows.write_round(epoch, changes)  # before anything is done: a row without an actor gets one later
        for decision in changes.decisions:
            log.info("fleet decision", **log_fields(decision))
        created = await asyncio.to_thread(self._execute, plan, new, wanted.release, rolling)
        if wanted.is_autoscaled:
            await asyncio.to_thread(request_nodes, fleet, targets)
        if created:
            await rows.write_round(epoch, FleetChanges(at=_now(), workers=created))
        if wanted.phase is FleetPhase.STOPPING and not living and not created:
            await rows.set_phase(FleetPhase.DOWN, _now())
            self._is_over = True

    def _execute(
        self, plan: RoundPlan, new: Sequence[FleetWorker], present: Release, rolling: Rollout | None
    ) -> list[FleetWorker]:
        """Returns the workers whose actors were made."""
        created = []
        for worker in [*plan.create, *new]:
            release = rolling.release if rolling is not None and is_new(worker, rolling) else present
            if (pool := read_fleet(release).pool(worker.pool)) is not None:
                self._actors.create(worker, pool, release)
                created.append(replace(worker, is_created=True))
        for id in plan.drain:
            self._actors.drain(id)
        for id in plan.kill:
            self._actors.kill(id)
        return created


def read_fleet(release: Release) -> Fleet:
    fleet = read_document(release.document)
    assert isinstance(fleet, Fleet), "only a checked document is written"
    return fleet


async def read_rolling(rollouts: Rollouts, wanted: DesiredFleet) -> Rollout | None:
    """Read the rollout that is under way. Raises: StorageUnavailable."""
    newest = await rollouts.newest()
    is_over = newest is None or newest.phase.is_final or wanted.phase is not FleetPhase.UP
    return None if is_over else newest


def make_workers(start: Sequence[PoolTarget], present: Release, rollout: RolloutPlan | None) -> list[FleetWorker]:
    """Make the rows of the workers that start. present: the fleet's release."""
    made: list[FleetWorker] = []
    for target in start:
        for _ in range(target.num_workers):
            num_new = sum(rollout is not None and is_new(worker, rollout.rollout) for worker in made)
            made.append(make_worker(choose_release(rollout, target.pool, present, num_new), target))
    return made


def make_worker(release: Release, target: PoolTarget) -> FleetWorker:
    pool, now = read_fleet(release).pool(target.pool), _now()
    assert pool is not None, "all releases of a fleet have the same pools"
    return FleetWorker(
        id=FleetWorkerId(f"{pool.name}-{secrets.token_hex(4)}"),
        pool=pool.name,
        region=pool.region,
        version=release.version,
        digest=digest_pool(pool),
        state=FleetWorkerState.STARTING,
        created_at=now,
        changed_at=now,
        reason=f"wanted: {target.reason}",
    )


def list_decisions(before: Sequence[FleetWorker], after: Sequence[FleetWorker]) -> list[FleetDecision]:
    """An entry for each worker that is new, or whose state changed."""
    states = {worker.id: worker.state for worker in before}
    return [
        FleetDecision(
            at=worker.changed_at, pool=worker.pool, action=worker.state, reason=worker.reason, worker=worker.id
        )
        for worker in after
        if states.get(worker.id) is not worker.state
    ]


def list_scalings(before: Sequence[PoolTarget], after: Sequence[PoolTarget], now: datetime) -> list[FleetDecision]:
    """An entry for each pool that is to have another number of workers."""
    numbers = {target.pool: target.num_workers for target in before}
    return [
        FleetDecision(
            at=now,
            pool=target.pool,
            action=f"{numbers.get(target.pool, 0)} to {target.num_workers}",
            reason=target.reason,
        )
        for target in after
        if numbers.get(target.pool, 0) != target.num_workers
    ]


def list_phases(plan: RolloutPlan | None, before: Rollout | None) -> list[FleetDecision]:
    """An entry where a rollout enters another phase."""
    if plan is None or before is None or plan.rollout.phase is before.phase:
        return []
    after = plan.rollout
    pool, action = ", ".join(after.pools), f"rollout {after.phase}"
    return [FleetDecision(at=after.changed_at, pool=pool[:40], action=action, reason=after.reason)]


def log_fields(decision: FleetDecision) -> dict[str, str | None]:
    return {"pool": decision.pool, "worker": decision.worker, "now": decision.action, "why": decision.reason}


def request_nodes(fleet: Fleet, targets: Sequence[PoolTarget]) -> None:
    """Tell Ray's autoscaler what all wanted workers take together; the last request replaces the one before."""
    from ray.autoscaler.sdk import request_resources

    pools = [(fleet.pool(target.pool), target.num_workers) for target in targets]
    request_resources(bundles=[find_resources(pool) for pool, number in pools if pool for _ in range(number)])


def _now() -> datetime:
    return datetime.fromtimestamp(time(), UTC)
