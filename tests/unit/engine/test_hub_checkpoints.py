"""Steps that are told, and runs that go on from their checkpoints."""

from typing import Any

import torch

from mezzotint.domain.errors import (
    CheckpointCorrupt,
    FingerprintMismatch,
    StepBudgetExceeded,
)
from mezzotint.engine import Hub, Snapshot
from mezzotint.engine.checkpoint.snapshot import verify
from tests.conformance.engine.driving import finish, run_alone, same_pictures, turn_until_idle
from tests.conformance.engine.zoo import flux, flux_request, sdxl, sdxl_request


def test_steps_before_a_checkpoint_count_against_the_budget(pipeline: Any) -> None:
    saved = run_alone(pipeline, flux_request(0, 6), checkpoint_at=3).checkpoint
    hub = Hub(pipeline)
    run = hub.submit(flux_request(0, 6), resume=saved, budget=5)
    turn_until_idle(hub)
    assert isinstance(run.error, StepBudgetExceeded)
    assert (run.steps, run.num_calls, run.num_replayed) == (5, 2, 3)


def test_steps_are_told_in_order_with_latents_and_their_number(pipeline: Any) -> None:
    told: list[tuple[int, int | None, tuple[int, ...]]] = []
    run = run_alone(
        pipeline,
        flux_request(0, 5),
        on_step=lambda run: told.append((run.steps, run.num_steps, tuple(run.latents.shape))),
    )
    assert [steps for steps, _, _ in told] == [1, 2, 3, 4, 5]
    assert {num for _, num, _ in told} == {5}
    assert {shape for _, _, shape in told} == {tuple(run.latents.shape)}


def test_a_listener_that_draws_random_numbers_changes_no_picture(pipeline: Any) -> None:
    request = {key: value for key, value in flux_request(0, 4).items() if key != "generator"}
    torch.manual_seed(3)
    plain = run_alone(pipeline, request)
    torch.manual_seed(3)
    noisy = run_alone(pipeline, request, on_step=lambda run: torch.randn(100))
    assert same_pictures(plain, noisy)


def test_a_function_says_after_each_step_how_many_lie_between_checkpoints() -> None:
    hub, taken = Hub(flux()), []
    every = {1: 5, 2: 2, 3: 2, 4: 9, 5: 9, 6: 4}
    run = hub.submit(
        flux_request(0, 7),
        checkpoint_every=lambda run: every.get(run.steps, 1),
        on_checkpoint=lambda run, snapshot: taken.append(snapshot),
    )
    finish(hub, run)
    assert [snapshot.steps for snapshot in taken] == [2, 6, 7]
    resumed = hub.submit(
        flux_request(0, 7),
        resume=taken[0].encode(),
        checkpoint_every=lambda run: 3,
        on_checkpoint=lambda run, snapshot: taken.append(snapshot),
    )
    finish(hub, resumed)
    assert [snapshot.steps for snapshot in taken[3:]] == [5]


def test_snapshots_come_every_n_steps_and_are_independent_of_the_run(pipeline: Any) -> None:
    taken: list[Snapshot] = []
    hub = Hub(pipeline)
    run = hub.submit(flux_request(0, 7), checkpoint_every=3, on_checkpoint=lambda run, s: taken.append(s))
    finish(hub, run)
    assert [s.steps for s in taken] == [3, 6]
    for snapshot in taken:
        hub = Hub(pipeline)
        resumed = hub.submit(flux_request(0, 7), resume=snapshot.encode())
        finish(hub, resumed)
        assert same_pictures(run, resumed)


def test_a_drain_saves_every_run_at_its_last_step(pipeline: Any) -> None:
    whole = [run_alone(pipeline, flux_request(i, 6)) for i in range(3)]
    hub = Hub(pipeline)
    runs = []
    for i in range(3):
        runs.append(hub.submit(flux_request(i, 6)))
        hub.turn()
    late = hub.submit(flux_request(4, 6))
    snapshots = [run.snapshot() for run in runs]
    assert late.snapshot() is None
    for run in (*runs, late):
        hub.cancel(run)
    assert [s.steps for s in snapshots if s] == [3, 2, 1]
    hub = Hub(pipeline)
    resumed = [hub.submit(flux_request(i, 6), resume=s.encode()) for i, s in enumerate(snapshots) if s]
    finish(hub, *resumed)
    assert all(same_pictures(a, b) for a, b in zip(whole, resumed, strict=True))


def test_a_resumed_run_is_silent_about_replayed_steps_and_can_be_saved_at_once(pipeline: Any) -> None:
    whole = run_alone(pipeline, flux_request(0, 6), checkpoint_at=4)
    told: list[int] = []
    hub = Hub(pipeline)
    run = hub.submit(flux_request(0, 6), resume=whole.checkpoint, on_step=lambda run: told.append(run.steps))
    assert run.steps == 4
    untouched = run.snapshot()
    assert untouched is not None
    assert untouched.encode() == whole.checkpoint
    hub.turn()
    again = run.snapshot()
    assert again is not None
    finish(hub, run)
    assert told == [5, 6]
    hub = Hub(pipeline)
    twice = hub.submit(flux_request(0, 6), resume=again.encode())
    finish(hub, twice)
    assert same_pictures(whole, twice)


def test_a_checkpoint_of_the_last_step_needs_no_denoiser_call(pipeline: Any) -> None:
    whole = run_alone(pipeline, flux_request(0, 3), checkpoint_at=3)
    hub = Hub(pipeline)
    run = hub.submit(flux_request(0, 3), resume=whole.checkpoint)
    finish(hub, run)
    assert same_pictures(whole, run)
    assert run.num_calls == 0
    assert hub.num_passes == 0


def test_a_damaged_checkpoint_ends_its_run_before_it_begins(pipeline: Any) -> None:
    good = run_alone(pipeline, flux_request(0, 3), checkpoint_at=2).checkpoint
    assert good is not None
    verify(good)
    hub = Hub(pipeline)
    for bad in (good[:-1], good[:50] + b"x" + good[51:], b""):
        run = hub.submit(flux_request(0, 3), resume=bad)
        assert run.done
        assert isinstance(run.error, CheckpointCorrupt)
    assert not hub.turn()


def test_a_checkpoint_of_another_call_or_pipeline_does_not_fit(pipeline: Any) -> None:
    saved = run_alone(pipeline, flux_request(0, 5), checkpoint_at=4).checkpoint
    hub = Hub(pipeline)
    others = [
        hub.submit(flux_request(0, 3), resume=saved),
        hub.submit(flux_request(0, 7), resume=saved),
        hub.submit(flux_request(0, 5) | {"height": 64}, resume=saved),
        hub.submit(flux_request(0, 5) | {"generator": None}, resume=saved),
    ]
    good = hub.submit(flux_request(0, 5), resume=saved)
    finish(hub, good)
    assert all(isinstance(run.error, CheckpointCorrupt) for run in others)
    elsewhere = Hub(sdxl(), allow_other_numerics=True).submit(sdxl_request(0, 5), resume=saved)
    assert isinstance(elsewhere.error, CheckpointCorrupt)


def test_a_checkpoint_of_other_numerics_is_refused_or_marked(pipeline: Any) -> None:
    saved = run_alone(pipeline, flux_request(0, 4), checkpoint_at=2).checkpoint
    fast = Hub(pipeline, exact=False)
    refused = fast.submit(flux_request(0, 4), resume=saved)
    assert isinstance(refused.error, FingerprintMismatch)
    lenient = Hub(pipeline, exact=False, allow_other_numerics=True)
    marked = lenient.submit(flux_request(0, 4), resume=saved)
    finish(lenient, marked)
    assert marked.resumed_elsewhere
    same = Hub(pipeline)
    unmarked = same.submit(flux_request(0, 4), resume=saved)
    finish(same, unmarked)
    assert not unmarked.resumed_elsewhere


def test_other_weights_have_another_fingerprint() -> None:
    one, other = flux(), flux()
    assert Hub(one).fingerprint == Hub(other).fingerprint
    with torch.no_grad():
        next(other.transformer.parameters()).view(-1)[0] += 1
    assert Hub(one).fingerprint != Hub(other).fingerprint


def test_runs_that_share_a_generator_object_do_not_disturb_each_other(pipeline: Any) -> None:
    shared = flux_request(0, 4)
    alone = run_alone(pipeline, shared)
    hub = Hub(pipeline)
    runs = [hub.submit(shared) for _ in range(3)]
    finish(hub, *runs)
    assert all(same_pictures(alone, run) for run in runs)


def test_a_resumed_run_takes_its_seed_from_the_checkpoint(pipeline: Any) -> None:
    whole = run_alone(pipeline, flux_request(0, 5), checkpoint_at=3)
    spent = flux_request(0, 5)
    torch.randn(10, generator=spent["generator"])
    hub = Hub(pipeline)
    run = hub.submit(spent, resume=whole.checkpoint)
    finish(hub, run)
    assert same_pictures(whole, run)
