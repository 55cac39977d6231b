"""Seven samplers, resumed at every kind of step in random company, at one thread and two: equal bit for bit."""

import random
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
)

from mezzotint.engine import Hub
from tests.conformance.engine.driving import finish, run_alone, same_pictures
from tests.conformance.engine.zoo.classic import BETAS, parts, text_to_image
from tests.conformance.engine.zoo.flows import sd3_parts, sd3_request
from tests.conformance.engine.zoo.parts import Species, seeded, species

# tensors of latents' size that each keeps from step to step
HISTORY = {
    "DDIMScheduler": 0,
    "EulerDiscreteScheduler": 0,
    "EulerAncestralDiscreteScheduler": 0,
    "DPMSolverMultistepScheduler": 2,
    "UniPCMultistepScheduler": 3,
    "HeunDiscreteScheduler": 2,
    "FlowMatchEulerDiscreteScheduler": 0,
}


def classic(sampler: Any) -> Species:
    return species(seeded(lambda: StableDiffusionPipeline(**parts(sampler))), text_to_image, type(sampler))


SAMPLERS = [
    classic(DDIMScheduler(**BETAS, clip_sample=False)),
    classic(EulerDiscreteScheduler(**BETAS)),
    classic(EulerAncestralDiscreteScheduler(**BETAS)),
    classic(DPMSolverMultistepScheduler(**BETAS)),
    classic(UniPCMultistepScheduler(**BETAS)),
    classic(HeunDiscreteScheduler(**BETAS)),
    species(seeded(lambda: StableDiffusion3Pipeline(**sd3_parts())), sd3_request, FlowMatchEulerDiscreteScheduler),
]


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request: pytest.FixtureRequest) -> Any:
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(1)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: s.name)
def test_a_run_moved_to_other_company_at_a_random_step_ends_in_the_same_bits(sampler: Species, threads: int) -> None:
    dice = random.Random(f"{sampler.name} {threads}")
    pipeline = sampler.build()
    num_steps = 7
    whole = run_alone(pipeline, sampler.request(0, num_steps))
    for at in (1, dice.randint(2, whole.steps - 2), whole.steps - 1):
        before = Hub(pipeline)
        companions = [before.submit(sampler.request(10 + i, dice.randint(4, 8))) for i in range(dice.randint(0, 2))]
        moved = before.submit(sampler.request(0, num_steps), checkpoint_at=at)
        finish(before, moved, *companions)
        after = Hub(pipeline)
        others = [after.submit(sampler.request(20 + i, dice.randint(4, 8))) for i in range(dice.randint(1, 3))]
        for _ in range(dice.randint(0, 3)):
            after.turn()
        resumed = after.submit(sampler.request(0, num_steps), resume=moved.checkpoint)
        finish(after, resumed, *others)
        assert same_pictures(whole, moved)
        assert same_pictures(whole, resumed)
        assert resumed.num_calls == whole.num_calls - resumed.num_replayed


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: s.name)
def test_a_checkpoint_holds_latents_and_history_and_little_else(sampler: Species) -> None:
    run = run_alone(sampler.build(), sampler.request(0, 8), checkpoint_at=5)
    assert run.checkpoint is not None
    assert run.latents is not None
    latents = run.latents.numel() * run.latents.element_size()
    assert len(run.checkpoint) <= latents * (1 + HISTORY[sampler.name]) + 4096
