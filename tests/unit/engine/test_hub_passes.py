"""Passes of the hub: which runs share them, how wide they are, what they cost."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch.nn import functional

from mezzotint.domain.errors import (
    NotFinite,
    OutOfMemory,
)
from mezzotint.engine import Hub, Parked, Run
from mezzotint.policy.device import batching
from tests.conformance.engine.driving import finish, run_alone, same_pictures
from tests.conformance.engine.zoo import SPECIES, flux_request, sdxl, sdxl_request


def test_a_run_poisoned_from_its_first_call_does_not_spoil_the_verdict_on_merging(pipeline: Any) -> None:
    hub = Hub(pipeline)
    request = flux_request(9, 4)
    request["prompt_embeds"] = request["prompt_embeds"] * float("nan")
    poisoned = hub.submit(request)
    runs = [hub.submit(flux_request(i, 4)) for i in range(2)]
    finish(hub, *runs)
    assert isinstance(poisoned.error, NotFinite)
    assert hub.num_merged >= 3


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
