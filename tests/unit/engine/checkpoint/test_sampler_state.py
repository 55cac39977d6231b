"""What samplers and guiders hold: kept as differences to what a replay makes by itself."""

import threading
from collections import deque
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, PNDMScheduler, UniPCMultistepScheduler
from diffusers.guiders import AdaptiveProjectedGuidance
from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer

from mezzotint.domain.errors import CheckpointCorrupt
from mezzotint.engine.checkpoint.codec import VersionedTensor, copy_to_host, decode_into, encode
from mezzotint.engine.checkpoint.sampler_state import (
    Baseline,
    MemberState,
    find_changes,
    replace_output,
    restore,
    take_baseline,
)
from mezzotint.engine.errors import CannotCheckpoint

CPU = torch.device("cpu")


class Thing:
    """A plain object with the given attributes."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def saved(thing: Any, base: Baseline) -> MemberState:
    changed = copy_to_host(find_changes(thing, base), {})
    return MemberState(name=type(thing).__qualname__, baseline=base.digest(), changed=changed)


def stepped(cls: Any, steps: int, seed: int) -> tuple[Any, Baseline]:
    sampler = cls()
    sampler.set_timesteps(8)
    base = take_baseline(sampler)
    draw = torch.Generator().manual_seed(seed)
    for t in sampler.timesteps[:steps]:
        sampler.step(torch.randn(1, 2, 4, 4, generator=draw), t, torch.randn(1, 2, 4, 4, generator=draw))
    return sampler, base


def continued(sampler: Any, steps: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(99)
    sample = torch.randn(1, 2, 4, 4, generator=draw)
    for t in sampler.timesteps[steps:]:
        sample = sampler.step(torch.randn(1, 2, 4, 4, generator=draw), t, sample).prev_sample
    return sample


@pytest.mark.parametrize("cls", [DPMSolverMultistepScheduler, UniPCMultistepScheduler, PNDMScheduler])
def test_a_sampler_restored_onto_another_run_of_it_goes_on_as_the_first(cls: Any) -> None:
    first, base = stepped(cls, 5, seed=1)
    state = saved(first, base)
    replay, replay_base = stepped(cls, 5, seed=2)
    assert replay_base.digest() == base.digest()
    restore(replay, replay_base, state, CPU)
    assert torch.equal(continued(replay, 5), continued(first, 5))


@pytest.mark.parametrize("cls", [DPMSolverMultistepScheduler, UniPCMultistepScheduler, PNDMScheduler])
def test_tables_that_a_replay_makes_by_itself_are_not_kept(cls: Any) -> None:
    sampler, base = stepped(cls, 5, seed=1)
    changed = find_changes(sampler, base)
    assert changed
    assert not {"betas", "alphas_cumprod", "sigmas", "timesteps", "_internal_dict"} & set(changed)


def test_a_sampler_set_up_for_another_call_is_refused() -> None:
    first, base = stepped(DPMSolverMultistepScheduler, 5, seed=1)
    other = DPMSolverMultistepScheduler()
    other.set_timesteps(9)
    other_base = take_baseline(other)
    with pytest.raises(CheckpointCorrupt):
        restore(other, other_base, saved(first, base), CPU)
    unipc, unipc_base = stepped(UniPCMultistepScheduler, 5, seed=1)
    with pytest.raises(CheckpointCorrupt):
        restore(unipc, unipc_base, saved(first, base), CPU)


def test_what_a_replay_changed_and_the_saved_run_had_not_goes_back_to_the_baseline() -> None:
    def made() -> Thing:
        return Thing(table=torch.arange(3.0), order=[1, 2], count=0)

    first = made()
    base = take_baseline(first)
    first.count = 5
    state = saved(first, base)
    replay = made()
    replay_base = take_baseline(replay)
    replay.table.add_(1)
    replay.order.append(3)
    replay.extra = "new"
    replay.count = 9
    restore(replay, replay_base, state, CPU)
    assert torch.equal(replay.table, torch.arange(3.0))
    assert (replay.order, replay.count) == ([1, 2], 5)
    assert not hasattr(replay, "extra")


def test_changes_in_place_are_seen() -> None:
    thing = Thing(table=torch.zeros(3), history=[None, None], array=np.zeros(2), queue=deque([1], maxlen=2))
    base = take_baseline(thing)
    assert not find_changes(thing, base)
    thing.table[0] = 1
    thing.history[1] = torch.ones(1)
    thing.array[0] = 1
    thing.queue.append(2)
    assert set(find_changes(thing, base)) == {"table", "history", "array", "queue"}
    thing.table[0] = 0
    assert "table" not in find_changes(thing, base)


def test_a_boundary_that_was_overwritten_cannot_be_saved_any_more() -> None:
    latents = torch.zeros(3)
    seen = encode([latents])
    assert torch.equal(decode_into(None, copy_to_host(seen, {}), CPU)[0], latents)
    latents.add_(1)
    with pytest.raises(CannotCheckpoint):
        copy_to_host(seen, {})


def test_a_guiders_momentum_is_carried_over() -> None:
    def guider() -> AdaptiveProjectedGuidance:
        made = AdaptiveProjectedGuidance()
        made.momentum_buffer = MomentumBuffer(-0.5)
        return made

    first, replay = guider(), guider()
    base, replay_base = take_baseline(first), take_baseline(replay)
    first.momentum_buffer.update(torch.ones(2))
    replay.momentum_buffer.update(torch.zeros(2))
    restore(replay, replay_base, saved(first, base), CPU)
    first.momentum_buffer.update(torch.ones(2))
    replay.momentum_buffer.update(torch.ones(2))
    assert torch.equal(first.momentum_buffer.running_average, replay.momentum_buffer.running_average)


def test_a_generator_in_a_sampler_goes_on_where_it_was() -> None:
    first, replay = (Thing(noise=torch.Generator().manual_seed(3)) for _ in range(2))
    base, replay_base = take_baseline(first), take_baseline(replay)
    torch.randn(7, generator=first.noise)
    torch.randn(2, generator=replay.noise)
    restore(replay, replay_base, saved(first, base), CPU)
    assert torch.equal(torch.randn(3, generator=first.noise), torch.randn(3, generator=replay.noise))


def test_what_cannot_be_written_without_pickle_is_told() -> None:
    for foreign in (threading.Lock(), {1, 2}, iter([])):
        with pytest.raises(CannotCheckpoint):
            encode(foreign)
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(CannotCheckpoint):
        encode(endless)


def test_nothing_is_made_of_names_in_a_checkpoint() -> None:
    foreign = copy_to_host(encode(Thing(a=1)), {})
    for current in (None, 3, MomentumBuffer(0.5), {"a": 1}):
        with pytest.raises(CheckpointCorrupt):
            decode_into(current, foreign, CPU)


def test_latents_of_another_form_do_not_fit() -> None:
    current = (torch.zeros(1, 4), torch.zeros(1, 4))
    kept = replace_output(current, [VersionedTensor(torch.ones(1, 4))])
    assert torch.equal(kept[0], torch.ones(1, 4))
    assert torch.equal(kept[1], torch.zeros(1, 4))
    one, longer, wider = torch.ones(1, 4), torch.ones(1, 5), torch.ones(1, 4).double()
    for wrong in ([], [VersionedTensor(longer)], [VersionedTensor(wider)], [VersionedTensor(one)] * 3, ["text"]):
        with pytest.raises(CheckpointCorrupt):
            replace_output(current, wrong)


def test_single_values_of_any_stride_can_be_kept() -> None:
    thing = Thing(table=np.broadcast_to(np.float64(1), (1,)), tensor=torch.ones(1).as_strided((1,), (0,)))
    base = take_baseline(thing)
    assert len(base.digest()) == 64
    assert not find_changes(thing, base)


def test_a_digest_does_not_depend_on_where_the_configuration_came_from() -> None:
    one, other = DPMSolverMultistepScheduler(), DPMSolverMultistepScheduler()
    other.register_to_config(_name_or_path="another folder")
    assert take_baseline(one).digest() == take_baseline(other).digest()
    assert take_baseline(DPMSolverMultistepScheduler(solver_order=3)).digest() != take_baseline(one).digest()
