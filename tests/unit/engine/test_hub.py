"""One run's fate is its own: what the hub does at the seam, on tiny real pipelines."""

import gc
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from mezzotint.domain.errors import (
    CheckpointCorrupt,
    DeadlineExceeded,
    FingerprintMismatch,
    NotFinite,
    OutOfMemory,
    StepBudgetExceeded,
)
from mezzotint.engine import Hub, Parked, Run, RunCancelled, Snapshot
from mezzotint.engine.checkpoint.snapshot import verify
from mezzotint.policy.device import batching
from tests.conformance.engine.driving import finish, pictures, run_alone, same_pictures, turn_until_idle
from tests.conformance.engine.zoo import SPECIES, flux, flux_request, sdxl, sdxl_request


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return flux()


def poison_at(step: int) -> Any:
    """A callback that makes the latents NaN after a step, as a broken kernel or an overflow would."""

    def callback(pipe: Any, i: int, t: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        return {"latents": kwargs["latents"] * float("nan")} if i + 1 == step else {}

    return callback


def break_at(step: int) -> Any:
    def callback(pipe: Any, i: int, t: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        if i + 1 == step:
            raise LookupError("broken on purpose")
        return {}

    return callback


def test_a_poisoned_run_fails_alone_and_its_seven_neighbours_draw_the_same_pictures(pipeline: Any) -> None:
    alone = [run_alone(pipeline, flux_request(i, 6)) for i in range(7)]
    hub = Hub(pipeline)
    runs = [hub.submit(flux_request(i, 6)) for i in range(7)]
    poisoned = hub.submit(flux_request(9, 6) | {"callback_on_step_end": poison_at(3)})
    finish(hub, *runs)
    assert isinstance(poisoned.error, NotFinite)
    assert poisoned.output is None
    assert poisoned.steps == 3
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))


def test_a_run_poisoned_from_its_first_call_does_not_spoil_the_verdict_on_merging(pipeline: Any) -> None:
    hub = Hub(pipeline)
    request = flux_request(9, 4)
    request["prompt_embeds"] = request["prompt_embeds"] * float("nan")
    poisoned = hub.submit(request)
    runs = [hub.submit(flux_request(i, 4)) for i in range(2)]
    finish(hub, *runs)
    assert isinstance(poisoned.error, NotFinite)
    assert hub.num_merged >= 3


def test_an_exception_in_one_run_is_its_error_and_nobody_elses(pipeline: Any) -> None:
    hub = Hub(pipeline)
    runs = [hub.submit(flux_request(i, 5)) for i in range(2)]
    broken = hub.submit(flux_request(3, 5) | {"callback_on_step_end": break_at(2)})
    wrong = hub.submit(flux_request(4, 5) | {"height": "tall"})
    unknown = hub.submit(flux_request(4, 5) | {"no_such_argument": 1})
    finish(hub, *runs)
    assert isinstance(broken.error, LookupError)
    assert "broken on purpose" in broken.traceback
    assert isinstance(wrong.error, Exception)
    assert isinstance(unknown.error, TypeError)
    assert all(same_pictures(run_alone(pipeline, flux_request(i, 5)), run) for i, run in enumerate(runs))


def test_an_interrupt_of_the_process_reaches_the_caller(pipeline: Any) -> None:
    def interrupt(run: Run) -> None:
        raise KeyboardInterrupt

    hub = Hub(pipeline)
    run = hub.submit(flux_request(0, 4), on_step=interrupt)
    with pytest.raises(KeyboardInterrupt):
        turn_until_idle(hub)
    assert run.done


def test_a_run_stops_at_its_step_budget(pipeline: Any) -> None:
    hub = Hub(pipeline)
    over = hub.submit(flux_request(0, 6), budget=4)
    within = hub.submit(flux_request(1, 6), budget=6)
    finish(hub, within)
    assert isinstance(over.error, StepBudgetExceeded)
    assert over.steps == 4
    assert over.num_calls == 4


def test_steps_before_a_checkpoint_count_against_the_budget(pipeline: Any) -> None:
    saved = run_alone(pipeline, flux_request(0, 6), checkpoint_at=3).checkpoint
    hub = Hub(pipeline)
    run = hub.submit(flux_request(0, 6), resume=saved, budget=5)
    turn_until_idle(hub)
    assert isinstance(run.error, StepBudgetExceeded)
    assert (run.steps, run.num_calls, run.num_replayed) == (5, 2, 3)


def test_a_cancelled_run_ends_at_once_and_the_others_go_on(pipeline: Any) -> None:
    hub = Hub(pipeline)
    runs = [hub.submit(flux_request(i, 5)) for i in range(3)]
    hub.turn()
    hub.turn()
    hub.cancel(runs[1])
    assert runs[1].done
    assert isinstance(runs[1].error, RunCancelled)
    hub.cancel(runs[1])
    finish(hub, runs[0], runs[2])
    assert all(same_pictures(run_alone(pipeline, flux_request(i, 5)), runs[i]) for i in (0, 2))


def test_a_run_that_has_not_begun_can_be_cancelled(pipeline: Any) -> None:
    hub = Hub(pipeline)
    run = hub.submit(flux_request(0, 5))
    hub.cancel(run)
    assert isinstance(run.error, RunCancelled)
    assert run.num_calls == 0
    assert not hub.turn()


def test_a_callback_may_cancel_any_run(pipeline: Any) -> None:
    hub = Hub(pipeline)
    first = hub.submit(flux_request(0, 5), on_step=lambda run: run.steps == 2 and hub.cancel(run))
    last = hub.submit(flux_request(1, 5))
    middle = hub.submit(flux_request(2, 5), on_step=lambda run: run.steps == 3 and hub.cancel(last))
    finish(hub, middle)
    assert isinstance(first.error, RunCancelled)
    assert first.steps == 2
    assert isinstance(last.error, RunCancelled)
    assert last.steps < 5


def test_a_pipeline_that_swallows_the_cancel_still_ends_cancelled(pipeline: Any) -> None:
    class Stubborn(type(pipeline)):  # type: ignore[misc]
        def __call__(self, **kwargs: Any) -> Any:
            try:
                return super().__call__(**kwargs)
            except BaseException:
                return "swallowed"

    stubborn = Stubborn(**pipeline.components)
    hub = Hub(stubborn)
    run = hub.submit(flux_request(0, 5))
    hub.turn()
    hub.cancel(run)
    assert isinstance(run.error, RunCancelled)
    assert run.output is None


def test_a_run_past_its_deadline_ends_and_the_others_go_on(pipeline: Any) -> None:
    now = [100.0]
    hub = Hub(pipeline, clock=lambda: now[0])
    late = hub.submit(flux_request(0, 6), deadline_at=110.0)
    other = hub.submit(flux_request(1, 6))
    hub.turn()
    hub.turn()
    now[0] = 110.0
    finish(hub, other)
    assert isinstance(late.error, DeadlineExceeded)
    assert late.steps == 2
    assert same_pictures(run_alone(pipeline, flux_request(1, 6)), other)


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


def test_costs_are_shared_by_rows_and_sum_up_to_the_time_of_the_passes(pipeline: Any) -> None:
    hub = Hub(pipeline)
    runs = [hub.submit(flux_request(i, 4)) for i in range(3)]
    finish(hub, *runs)
    assert sum(run.cost_s for run in runs) == pytest.approx(hub.pass_s)
    assert all(run.cost_s > 0 for run in runs)
    assert hub.num_passes < sum(run.num_calls for run in runs)


def test_a_policy_chooses_who_goes_next_and_cannot_stop_everyone(pipeline: Any) -> None:
    seen: list[Sequence[Parked]] = []

    def shortest_first(parked: Sequence[Parked]) -> Sequence[int]:
        seen.append(parked)
        return [min(parked, key=lambda p: (p.num_steps or 0, p.id)).id]

    hub = Hub(pipeline, choose=shortest_first)
    long, short = hub.submit(flux_request(0, 6), label="a"), hub.submit(flux_request(1, 2), label="b")
    ends = []
    while hub.turn():
        ends += [run for run in (short, long) if run.done and run not in ends]
    assert ends[0] is short
    assert hub.num_merged == 0
    assert {p.label for parked in seen for p in parked} == {"a", "b"}
    stubborn = Hub(pipeline, choose=lambda parked: [])
    run = stubborn.submit(flux_request(0, 2))
    finish(stubborn, run)


def test_wide_groups_are_split_at_the_row_cap(pipeline: Any) -> None:
    widths: list[int] = []
    handle = pipeline.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: widths.append(kwargs["hidden_states"].shape[0]), with_kwargs=True
    )
    hub = Hub(pipeline, max_rows=3)
    runs = [hub.submit(flux_request(i, 3)) for i in range(7)]
    finish(hub, *runs)
    handle.remove()
    assert max(widths) == 3


def test_memory_that_runs_out_parts_the_group_and_later_lets_it_grow(pipeline: Any) -> None:
    def full(module: Any, args: Any, kwargs: Any) -> None:
        if kwargs["hidden_states"].shape[0] > 2:
            raise torch.OutOfMemoryError("out of memory")

    alone = [run_alone(pipeline, flux_request(i, 6)) for i in range(5)]
    handle = pipeline.transformer.register_forward_pre_hook(full, with_kwargs=True)
    hub = Hub(pipeline)
    runs = [hub.submit(flux_request(i, 6)) for i in range(5)]
    finish(hub, *runs)
    handle.remove()
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))
    assert hub.num_merged > 0
    assert hub.unmerged_reasons["memory ran out at this width"] > 0


def test_memory_that_runs_out_for_one_run_alone_is_its_error(pipeline: Any) -> None:
    def full(module: Any, args: Any, kwargs: Any) -> None:
        if kwargs["hidden_states"].shape[1] > 100:
            raise torch.OutOfMemoryError("out of memory")

    handle = pipeline.transformer.register_forward_pre_hook(full, with_kwargs=True)
    hub = Hub(pipeline)
    small, big = hub.submit(flux_request(0, 3)), hub.submit(flux_request(1, 3) | {"height": 64})
    finish(hub, small)
    handle.remove()
    assert isinstance(big.error, OutOfMemory)
    assert "passes of 50% of that size did" in str(big.error)


def test_a_denoiser_that_mixes_rows_is_found_out_and_never_merged(pipeline: Any) -> None:
    def mix(module: Any, args: Any, output: Any) -> Any:
        return (output[0] + output[0].mean(dim=0, keepdim=True),)

    handle = pipeline.transformer.register_forward_hook(mix)
    alone = [run_alone(pipeline, flux_request(i, 4)) for i in range(3)]
    verdicts: dict[str, str] = {}
    hub = Hub(pipeline, verdicts=verdicts)
    runs = [hub.submit(flux_request(i, 4)) for i in range(3)]
    finish(hub, *runs)
    handle.remove()
    assert hub.num_merged == 0
    assert hub.unmerged_reasons["merged output differs from separate calls"] > 0
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))
    assert "wrong" in verdicts.values()


def test_a_denoiser_that_empties_the_list_it_is_given_may_be_called_again() -> None:
    """As HunyuanDiT's does with the residuals of its ControlNet. A call whose merged pass was wrong is made again."""
    (controlled,) = [one for one in SPECIES if one.name == "StableDiffusionControlNetPipeline"]
    name = "down_block_additional_residuals"

    def empty(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        given = kwargs[name]
        return args, kwargs | {name: [given.pop() for _ in range(len(given))][::-1]}

    pipeline = controlled.build()
    pipeline.unet.register_forward_hook(lambda module, args, output: (output[0] + output[0].mean(dim=0),))
    alone = [run_alone(pipeline, controlled.request(i, 3)) for i in range(3)]
    pipeline.unet.register_forward_pre_hook(empty, with_kwargs=True)
    hub = Hub(pipeline)
    runs = [hub.submit(controlled.request(i, 3)) for i in range(3)]
    finish(hub, *runs)
    assert hub.num_verifications > 0
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))


def test_a_run_that_breaks_a_trusted_pass_breaks_alone(pipeline: Any) -> None:
    def refuse(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if kwargs["encoder_hidden_states"].abs().max() > 50:
            raise ValueError("out of range")

    handle = pipeline.transformer.register_forward_pre_hook(refuse, with_kwargs=True)
    alone = [run_alone(pipeline, flux_request(i, 5)) for i in range(2)]
    hub = Hub(pipeline)
    finish(hub, *[hub.submit(flux_request(i, 3)) for i in range(3)])
    runs = [hub.submit(flux_request(i, 5)) for i in range(2)]
    request = flux_request(2, 5)
    broken = hub.submit(request | {"prompt_embeds": request["prompt_embeds"] * 100})
    finish(hub, *runs)
    handle.remove()
    assert isinstance(broken.error, ValueError)
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))
    assert hub.unmerged_reasons["merged call failed: ValueError: out of range"] > 0
    later = [hub.submit(flux_request(i, 3)) for i in range(3)]
    merged = hub.num_merged
    finish(hub, *later)
    assert hub.num_merged == merged + 3


def test_verdicts_that_are_kept_save_the_verification(pipeline: Any) -> None:
    verdicts: dict[str, str] = {}
    for expected in (True, False):
        hub = Hub(pipeline, verdicts=verdicts)
        runs = [hub.submit(flux_request(i, 3)) for i in range(3)]
        finish(hub, *runs)
        assert (hub.num_verifications > 0) == expected
        assert hub.num_merged == 3


def test_in_fast_mode_a_width_is_not_verified_again(pipeline: Any) -> None:
    hub = Hub(pipeline, exact=False)
    runs = [hub.submit(flux_request(i, 3 + i)) for i in range(4)]
    finish(hub, *runs)
    exact = Hub(pipeline, exact=True)
    finish(exact, *[exact.submit(flux_request(i, 3 + i)) for i in range(4)])
    assert 0 < hub.num_verifications < exact.num_verifications


def test_outside_of_a_turn_nothing_global_is_changed(pipeline: Any) -> None:
    def state() -> tuple[Any, ...]:
        return (
            torch.backends.mkldnn.enabled,
            torch._C._get_nnpack_enabled(),
            functional.linear,
            torch.is_grad_enabled(),
            torch.get_default_dtype(),
            torch.is_autocast_enabled("cpu"),
        )

    before, inside, stepping = state(), [], []
    hub = Hub(pipeline)
    pipeline.transformer.proj_out.register_forward_pre_hook(lambda *_: inside.append(state()))
    hub.submit(flux_request(0, 3), on_step=lambda run: stepping.append(state()))
    between = [state()]
    rng = torch.get_rng_state()
    while hub.turn():
        between.append(state())
    assert set(between) == {before}
    assert torch.equal(rng, torch.get_rng_state())
    assert inside
    assert stepping
    assert {found[:3] for found in stepping} == {before[:3]}, "a run's own code computes as usual"
    assert all(found[0] is False and found[2] is not before[2] for found in inside)


def test_ended_runs_leave_nothing_behind(pipeline: Any) -> None:
    hub = Hub(pipeline)
    traces = []
    for i in range(40):
        request = flux_request(i % 5, 2)
        traces.append(weakref.ref(request["prompt_embeds"]))
        if i % 4 == 0:
            request["callback_on_step_end"] = break_at(1)
        run = hub.submit(request, checkpoint_every=1)
        traces.append(weakref.ref(run))
        turn_until_idle(hub)
        if i % 4 == 1:
            hub.cancel(hub.submit(request))
        del request, run
    gc.collect()
    assert not [trace for trace in traces if trace() is not None]
    assert hub.num_live == 0


def test_the_output_is_that_of_the_stock_pipeline(pipeline: Any) -> None:
    stock = pictures(pipeline(**flux_request(0, 4)))
    assert np.abs(pictures(run_alone(pipeline, flux_request(0, 4)).output) - stock).max() < 1e-5
    fast = Hub(pipeline, exact=False)
    run = fast.submit(flux_request(0, 4))
    finish(fast, run)
    assert np.array_equal(pictures(run.output), stock)


def test_the_stepping_policy_drives_the_hub_and_sees_what_passes_cost(pipeline: Any) -> None:
    seen: list[Parked] = []

    def policy(parked: Sequence[Parked]) -> Sequence[int]:
        seen.extend(parked)
        return batching.choose_runs(parked, {"pro": 4.0}, max_rows=2)

    hub = Hub(pipeline, choose=policy)
    runs = [hub.submit(flux_request(i, 4), label="pro" if i == 0 else "free") for i in range(5)]
    ended: list[Run] = []
    while hub.turn():
        ended += [run for run in runs if run.done and run not in ended]
    assert all(run.error is None for run in runs)
    assert ended[0] is runs[0]
    assert set(seen[-1].pass_s) <= {1, 2}
    assert all(seconds > 0 for seconds in seen[-1].pass_s.values())


def test_runs_of_unequal_numbers_of_rows_share_passes() -> None:
    pipeline = sdxl()
    requests = [
        lambda: sdxl_request(0, 4),
        lambda: sdxl_request(1, 4) | {"guidance_scale": 1.0},
        lambda: sdxl_request(2, 4) | {"num_images_per_prompt": 2},
    ]
    alone = [run_alone(pipeline, request()) for request in requests]
    hub = Hub(pipeline)
    runs = [hub.submit(request()) for request in requests]
    finish(hub, *runs)
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))
    assert hub.num_passes < 12
    assert runs[2].cost_s > runs[0].cost_s > runs[1].cost_s


def test_an_exception_in_a_listener_ends_its_run_alone(pipeline: Any) -> None:
    def fail(run: Run, *_: Any) -> None:
        raise LookupError("the listener broke")

    hub = Hub(pipeline)
    good = hub.submit(flux_request(0, 4))
    bad = [
        hub.submit(flux_request(1, 4), on_step=fail),
        hub.submit(flux_request(2, 4), checkpoint_every=2, on_checkpoint=fail),
    ]
    finish(hub, good)
    assert all(isinstance(run.error, LookupError) for run in bad)
    assert [run.steps for run in bad] == [1, 2]


def test_runs_of_other_sizes_form_groups_of_their_own(pipeline: Any) -> None:
    def request(i: int) -> dict[str, Any]:
        return flux_request(i, 4) | {"height": 32 + 16 * (i % 2)}

    alone = [run_alone(pipeline, request(i)) for i in range(4)]
    hub = Hub(pipeline)
    runs = [hub.submit(request(i)) for i in range(4)]
    finish(hub, *runs)
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))
    assert hub.num_passes == 8
    assert not hub.unmerged_reasons
    lonely = [hub.submit(request(i)) for i in range(2)]
    finish(hub, *lonely)
    assert hub.unmerged_reasons["sizes, arguments, adapters or states differ"] == 8


def test_what_a_run_keeps_is_measured_grows_with_its_picture_and_is_nothing_after_its_end(pipeline: Any) -> None:
    hub = Hub(pipeline)
    requests = [flux_request(0, 3) | {"height": side, "width": side} for side in (16, 32)]
    small, large = (hub.submit(request) for request in requests)
    hub.turn()
    hub.turn()
    assert small.latents is not None
    assert large.latents is not None
    latents = large.latents.numel() * large.latents.element_size()
    assert large.held_bytes > latents + requests[1]["prompt_embeds"].nbytes
    assert large.held_bytes - small.held_bytes >= latents - small.latents.nbytes
    finish(hub, small, large)
    assert (small.held_bytes, large.held_bytes) == (0, 0)
