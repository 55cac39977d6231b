"""The fleet's controller: reads what is wanted and what is there, decides, carries it out, writes it down.

Its memory is the database. Ray restarts it where it died; then it takes over the workers that live, by name.
"""

import asyncio
import hashlib
import secrets
import threading
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
from mezzotint.domain.fleet.pool import Fleet, Pool
from mezzotint.domain.fleet.worker_state import FleetWorkerState
from mezzotint.fleet.programs import FleetProgram
from mezzotint.fleet.scaling import Scaling
from mezzotint.fleet.worker_actors import WorkerActors
from mezzotint.policy.fleet.cluster_checks import find_resources
from mezzotint.policy.fleet.reconcile import RoundPlan, plan_round
from mezzotint.policy.fleet.validation import read_document
from mezzotint.store import Database
from mezzotint.store.fleet.fleet_rows import FleetChanges, FleetRows

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
        """Of this start of it; None until it has written its first round."""
        return self._epoch

    async def _run(self) -> None:
        assert self._program.settings.database is not None, "`fleet up` checks it"
        database = Database(self._program.settings.database.get_secret_value())
        rows, scaling = FleetRows(database), Scaling(database)
        epochs: list[int] = []
        over = asyncio.Event()

        async def run_round() -> None:
            if not epochs:
                epochs.append(await rows.take_control(ray.util.get_node_ip_address(), _now()))
            try:
                await self._run_round(rows, scaling, epochs[0])
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

    async def _run_round(self, rows: FleetRows, scaling: Scaling, epoch: int) -> None:
        """Raises: LeaseLost, StorageUnavailable."""
        wanted, workers, before = await rows.read(), await rows.workers(), await rows.targets()
        if wanted is None:
            return
        fleet = read_document(wanted.document)
        assert isinstance(fleet, Fleet), "only a checked document is written"
        living = [worker.id for worker in workers if not worker.state.is_final]
        seen = await asyncio.to_thread(self._actors.observe, living)
        targets = await scaling.decide(fleet, wanted, workers, before, _now())
        plan = plan_round(targets, workers, seen, _now(), self._started_at)
        new = [make_worker(fleet, wanted, target) for target in plan.start for _ in range(target.num_workers)]
        changes = FleetChanges(
            at=_now(),
            targets=[target for target in targets if target not in before],
            workers=[*plan.changed, *new],
            decisions=[*list_scalings(before, targets, _now()), *list_decisions(workers, [*plan.changed, *new])],
        )
        await rows.write_round(epoch, changes)  # before anything is done: a row without an actor gets one later
        created = await asyncio.to_thread(self._execute, fleet, plan, new)
        if wanted.is_autoscaled:
            await asyncio.to_thread(request_nodes, fleet, targets)
        if created:
            await rows.write_round(epoch, FleetChanges(at=_now(), workers=created))
        if wanted.phase is FleetPhase.STOPPING and not living and not created:
            await rows.set_phase(FleetPhase.DOWN, _now())
            self._is_over = True

    def _execute(self, fleet: Fleet, plan: RoundPlan, new: list[FleetWorker]) -> list[FleetWorker]:
        """Returns the workers whose actors were made."""
        created = []
        for worker in [*plan.create, *new]:
            if (pool := fleet.pool(worker.pool)) is not None:
                self._actors.create(worker, pool)
                created.append(replace(worker, is_created=True))
        for id in plan.drain:
            self._actors.drain(id)
        for id in plan.kill:
            self._actors.kill(id)
        return created


def make_worker(fleet: Fleet, wanted: DesiredFleet, target: PoolTarget) -> FleetWorker:
    pool, now = fleet.pool(target.pool), _now()
    assert pool is not None, "targets are of the fleet's pools"
    return FleetWorker(
        id=FleetWorkerId(f"{pool.name}-{secrets.token_hex(4)}"),
        pool=pool.name,
        region=pool.region,
        version=wanted.version,
        digest=digest_pool(pool),
        state=FleetWorkerState.STARTING,
        created_at=now,
        changed_at=now,
        reason=f"wanted: {target.reason}",
    )


def digest_pool(pool: Pool) -> str:
    """SHA-256, in hex, of what makes its workers differ from others: not of how many there are."""
    alike = replace(pool, min_workers=0, max_workers=1, warm_floor=0, price_per_hour=None)
    return hashlib.sha256(repr(alike).encode()).hexdigest()


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


def request_nodes(fleet: Fleet, targets: Sequence[PoolTarget]) -> None:
    """Tell Ray's autoscaler what all wanted workers take together; the last request replaces the one before."""
    from ray.autoscaler.sdk import request_resources

    pools = [(fleet.pool(target.pool), target.num_workers) for target in targets]
    request_resources(bundles=[find_resources(pool) for pool, number in pools if pool for _ in range(number)])


def _now() -> datetime:
    return datetime.fromtimestamp(time(), UTC)
