"""The fleet's rows: what is wanted, its workers, the controller's decisions."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mezzotint.actions.maintain import measure_fleet
from mezzotint.domain.errors import LeaseLost
from mezzotint.domain.fleet.desired_fleet import FleetDecision, PoolTarget
from mezzotint.domain.fleet.fleet_worker import FleetWorker, FleetWorkerId
from mezzotint.domain.fleet.rollout import Release
from mezzotint.domain.fleet.rollout_phase import RolloutPhase
from mezzotint.domain.fleet.worker_state import FleetWorkerState
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.metrics import Metrics
from mezzotint.store import Database, Jobs
from mezzotint.store.fleet import fleet_rows
from mezzotint.store.fleet.counts import FleetCount, FleetCounts, FleetNumbers
from mezzotint.store.fleet.fleet_rows import FleetChanges, FleetRows
from mezzotint.store.fleet.rollouts import Rollouts
from mezzotint.store.fleet.waiting import read_waiting
from tests.making import NOW, make_desired_fleet, make_job

pytestmark = pytest.mark.anyio
WANTED = make_desired_fleet({"name": "desk", "max": 2})
WORKER = FleetWorker(
    id=FleetWorkerId("desk-1"),
    pool="desk",
    region="default",
    version="0.1.0",
    digest="d",
    state=FleetWorkerState.STARTING,
    created_at=NOW,
    changed_at=NOW,
    reason="wanted",
)


async def test_what_a_controller_writes_another_reads(database: Database) -> None:
    rows = FleetRows(database)
    assert await rows.read() is None
    await rows.write(WANTED)
    epoch = await rows.take_control("node", NOW)
    target = PoolTarget(pool="desk", num_workers=1, reason="min")
    decision = FleetDecision(at=NOW, pool="desk", action="starting", reason="wanted", worker="desk-1")
    await rows.write_round(epoch, FleetChanges(at=NOW, targets=[target], workers=[WORKER], decisions=[decision]))
    ready = replace(WORKER, state=FleetWorkerState.READY, is_created=True, was_ready=True, seen_at=NOW)
    await rows.write_round(epoch, FleetChanges(at=NOW, workers=[ready]))
    assert (await rows.workers(), await rows.targets(), await rows.decisions(5)) == ([ready], [target], [decision])
    read = await rows.read()
    assert read == replace(WANTED, epoch=1, controller_node="node", controller_seen_at=NOW)


async def test_a_controller_that_was_replaced_writes_nothing_more(database: Database) -> None:
    rows = FleetRows(database)
    await rows.write(WANTED)
    old = await rows.take_control("a", NOW)
    new = await rows.take_control("b", NOW)
    with pytest.raises(LeaseLost):
        await rows.write_round(old, FleetChanges(at=NOW, workers=[WORKER]))
    assert await rows.workers() == []
    await rows.write(WANTED)  # `fleet up` again: the count goes on
    await rows.write_round(new, FleetChanges(at=NOW, workers=[WORKER]))
    await rows.end_all("down", NOW)
    with pytest.raises(LeaseLost):
        await rows.write_round(new, FleetChanges(at=NOW))
    assert [worker.state for worker in await rows.workers()] == [FleetWorkerState.LOST]


async def test_a_wish_to_drain_outlives_the_round_that_did_not_know_of_it(database: Database) -> None:
    rows = FleetRows(database)
    await rows.write(WANTED)
    epoch = await rows.take_control("a", NOW)
    await rows.write_round(epoch, FleetChanges(at=NOW, workers=[WORKER]))
    assert await rows.want_drain(WORKER.id)
    assert not await rows.want_drain(FleetWorkerId("nobody"))
    await rows.write_round(epoch, FleetChanges(at=NOW, workers=[replace(WORKER, is_created=True)]))
    assert [(worker.is_created, worker.is_drain_wanted) for worker in await rows.workers()] == [(True, True)]


async def test_pools_are_scaled_and_given_back_to_the_load(database: Database) -> None:
    rows = FleetRows(database)
    await rows.write(WANTED)
    await rows.scale("desk", 2, NOW)
    read = await rows.read()
    assert read is not None
    assert read.scaled == {"desk": 2}
    await rows.scale("desk", None, NOW)
    read = await rows.read()
    assert read is not None
    assert read.scaled == {}


async def test_old_decisions_and_ended_workers_are_forgotten(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_rows, "MAX_DECISIONS", 3)
    rows = FleetRows(database)
    await rows.write(WANTED)
    epoch = await rows.take_control("a", NOW)
    ended = replace(WORKER, state=FleetWorkerState.STOPPED, changed_at=NOW - timedelta(hours=2))
    for number in range(5):
        made = FleetDecision(at=NOW, pool="desk", action="starting", reason=str(number))
        await rows.write_round(epoch, FleetChanges(at=NOW, workers=[ended], decisions=[made]))
    assert [one.reason for one in await rows.decisions(10)] == ["4", "3", "2"]
    assert await rows.workers() == []


async def test_waiting_work_is_added_up_by_kind(database: Database) -> None:
    jobs = Jobs(database)
    for tenant, lane in (("ada", Tier.PRO), ("ada", Tier.PRO), ("acme", Tier.PRO), ("bob", Tier.FREE)):
        await jobs.add(make_job(tenant=tenant, tier=lane))
    later = NOW + timedelta(seconds=60)
    found = {(one.lane, one.tenant): one for one in await read_waiting(database, {TenantId("acme")}, later)}
    assert set(found) == {(Tier.PRO, None), (Tier.PRO, "acme"), (Tier.FREE, None)}
    assert found[Tier.PRO, None].work_s == pytest.approx(2 * found[Tier.PRO, TenantId("acme")].work_s)
    assert found[Tier.FREE, None].wait_s == 60.0
    assert len(await read_waiting(database, (), later)) == 2
    assert all(one.work_s > 0 for one in found.values())


RELEASE = Release(version="2", document={"pools": [{"name": "desk", "max": 3}]}, digest="e", changes={"model": "m"})


async def test_a_rollout_that_is_done_makes_its_release_the_fleets(database: Database) -> None:
    rows, rollouts = FleetRows(database), Rollouts(database)
    await rows.write(WANTED)
    epoch = await rows.take_control("a", NOW)
    await rows.write_round(epoch, FleetChanges(at=NOW, workers=[replace(WORKER, num_runs=9, num_failed=1)]))
    assert await rollouts.newest() is None
    assert await rollouts.begin(RELEASE, "0.1.0", ("desk",), NOW)
    assert not await rollouts.begin(RELEASE, "0.1.0", ("desk",), NOW), "one is under way"
    begun = await rollouts.newest()
    assert begun is not None
    assert (begun.release, begun.pools, begun.baseline) == (RELEASE, ("desk",), {"desk-1": (9, 1)})
    epoch = await rows.take_control("b", NOW)  # the first controller died: the second goes on with what is written
    stepped = replace(begun, step="desk-1 makes place")
    await rows.write_round(epoch, FleetChanges(at=NOW, rollout=(begun, stepped)))
    assert await rollouts.newest() == stepped
    done = replace(stepped, phase=RolloutPhase.DONE, reason="every worker has the new version")
    counted = {(FleetCount.DECISIONS, "backlog"): 2}
    await rows.write_round(epoch, FleetChanges(at=NOW, rollout=(stepped, done), counted=counted))
    wanted = await rows.read()
    assert wanted is not None
    assert (wanted.release, await rollouts.newest()) == (RELEASE, done)
    assert not await rollouts.go_back("too late", NOW)
    assert await rollouts.begin(replace(RELEASE, version="3"), "2", ("desk",), NOW)
    await rows.end_all("down", NOW)
    ended = await rollouts.newest()
    assert ended is not None
    assert (ended.phase, ended.reason) == (RolloutPhase.WENT_BACK, "the fleet ended meanwhile")


async def test_an_operator_is_faster_than_the_controllers_round(database: Database) -> None:
    rows, rollouts = FleetRows(database), Rollouts(database)
    await rows.write(WANTED)
    epoch = await rows.take_control("a", NOW)
    await rollouts.begin(RELEASE, "0.1.0", ("desk",), NOW)
    begun = await rollouts.newest()
    assert begun is not None
    assert await rollouts.go_back("an operator ended it", NOW)
    await rows.write_round(epoch, FleetChanges(at=NOW, rollout=(begun, replace(begun, phase=RolloutPhase.DONE))))
    now, wanted = await rollouts.newest(), await rows.read()
    assert now is not None
    assert wanted is not None
    assert (now.phase, now.reason, wanted.version) == (RolloutPhase.GOING_BACK, "an operator ended it", WANTED.version)
    await rows.write(WANTED)
    assert await rows.read() is not None


async def test_the_rows_of_workers_that_ended_stay_while_a_rollout_compares_them(database: Database) -> None:
    rows, rollouts = FleetRows(database), Rollouts(database)
    await rows.write(WANTED)
    epoch = await rows.take_control("a", NOW)
    stopped = replace(WORKER, state=FleetWorkerState.STOPPED, changed_at=NOW)
    decision = FleetDecision(at=NOW, pool="desk", action="stopped", reason="drained", worker="desk-1")
    await rollouts.begin(RELEASE, "0.1.0", ("desk",), NOW)
    later = NOW + timedelta(hours=2)
    await rows.write_round(epoch, FleetChanges(at=later, workers=[stopped], decisions=[decision]))
    assert await rows.workers() == [stopped]
    await rows.end_all("down", later)
    epoch = await rows.take_control("a", NOW)
    await rows.write_round(epoch, FleetChanges(at=later, decisions=[decision]))
    assert await rows.workers() == []


async def test_the_fleet_in_numbers_outlives_the_processes_that_count(database: Database) -> None:
    rows, counts = FleetRows(database), FleetCounts(database)
    assert await counts.read() == FleetNumbers()
    await rows.write(WANTED)
    epoch = await rows.take_control("a", NOW)
    for number in (1, 2):
        lost = replace(WORKER, id=FleetWorkerId("desk-2"), state=FleetWorkerState.LOST)
        target = PoolTarget(pool="desk", num_workers=number, reason="load")
        counted = {(FleetCount.DECISIONS, "backlog"): 1}
        changes = FleetChanges(at=NOW, workers=[WORKER, lost], targets=[target], counted=counted)
        await rows.write_round(epoch, changes)
    await Rollouts(database).begin(RELEASE, "0.1.0", ("desk",), NOW)
    await counts.add(FleetCount.SPOT_NOTICES, "aws")
    metrics = Metrics()
    await measure_fleet(metrics, counts)
    told = {line for line in metrics.text().decode().splitlines() if line.startswith("mezzotint_fleet_")}
    assert told == {
        'mezzotint_fleet_workers{pool="desk",state="starting"} 1.0',
        'mezzotint_fleet_workers_wanted{pool="desk"} 2.0',
        'mezzotint_fleet_decisions{cause="backlog"} 2.0',
        'mezzotint_fleet_rollouts{phase="rolling"} 1.0',
        'mezzotint_fleet_spot_notices{cloud="aws"} 1.0',
    }
    await rows.end_all("down", NOW)
    await measure_fleet(metrics, counts)
    assert metrics.registry.get_sample_value("mezzotint_fleet_workers", {"pool": "desk", "state": "starting"}) is None
