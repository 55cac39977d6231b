"""Tasks with a source, on the starter model: the same guarantees as a picture from noise."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import diffusers
import numpy as np
import pytest
from PIL import Image

from mezzotint.domain.ids import Sha256
from mezzotint.domain.job import Parameters
from mezzotint.domain.task import Task
from mezzotint.engine import Hub, Run, Tasks
from mezzotint.engine.canvas import place_source
from mezzotint.engine.models import files, load
from mezzotint.engine.request import find_guidance
from mezzotint.engine.tasks import takes_negative_prompt
from tests.making import make_parameters

SOURCE = Sha256("a" * 64)
STEPS = 6


@pytest.fixture(scope="module")
def tasks() -> Tasks:
    return Tasks(load.load_pipeline(files.locate("starter"), "cpu"))


@pytest.fixture(scope="module")
def hub(tasks: Tasks) -> Iterator[Hub]:
    return Hub(tasks.pipeline)


@pytest.fixture(scope="module")
def source() -> Image.Image:
    pixels = np.full((64, 64, 3), 255, np.uint8)
    pixels[16:48, 16:48] = (200, 30, 40)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def mask() -> Image.Image:
    """The right half is to be redrawn."""
    made = Image.new("L", (64, 64), 0)
    made.paste(255, (32, 0, 64, 64))
    return made


def parameters_of(task: Task, **more: Any) -> Parameters:
    made = replace(make_parameters(num_steps=STEPS), task=task, source=SOURCE, strength=1.0)
    return replace(made, **{"left": 0, "top": 0, "source_width": 64, "source_height": 64} | more)


VARIATION = parameters_of(Task.VARIATION, strength=0.7)
INPAINT = parameters_of(Task.INPAINT, mask=Sha256("b" * 64))
OUTPAINT = parameters_of(Task.OUTPAINT, width=80, left=16)


def submit(hub: Hub, tasks: Tasks, asked: Parameters, *pictures: Image.Image, **options: Any) -> Run:
    assignment = tasks.assign(asked, pictures[0] if pictures else None, pictures[1] if len(pictures) > 1 else None)
    run = hub.submit(assignment.kwargs, pipeline=assignment.pipeline, **options)
    run.finish_with = assignment.finish
    return run


def picture_of(run: Run) -> bytes:
    assert run.error is None, run.traceback
    finished: Image.Image = run.finish_with(run.output.images[0])
    return finished.tobytes()


def drive(hub: Hub) -> None:
    while hub.turn():
        pass


def test_no_weights_are_copied(tasks: Tasks, source: Image.Image) -> None:
    made = tasks.assign(VARIATION, source, None).pipeline
    assert type(made).__name__ == "StableDiffusionImg2ImgPipeline"
    assert made.unet is tasks.pipeline.unet
    assert made.vae is tasks.pipeline.vae
    assert made is tasks.assign(VARIATION, source, None).pipeline


def test_a_variation_makes_only_its_share_of_the_steps(hub: Hub, tasks: Tasks, source: Image.Image) -> None:
    run = submit(hub, tasks, VARIATION, source)
    drive(hub)
    assert run.steps == run.num_steps == VARIATION.num_sampled == 4


def test_a_weak_variation_stays_nearer_to_its_source(hub: Hub, tasks: Tasks, source: Image.Image) -> None:
    def distance(strength: float) -> float:
        run = submit(hub, tasks, replace(VARIATION, strength=strength), source)
        drive(hub)
        drawn = np.frombuffer(picture_of(run), np.uint8).astype(float)
        return float(np.abs(drawn - np.asarray(source).reshape(-1)).mean())

    assert distance(0.2) < distance(1.0)


@pytest.mark.parametrize("asked", [VARIATION, INPAINT, OUTPAINT], ids=lambda asked: asked.task)
def test_companions_and_a_resume_change_no_bit(
    hub: Hub, tasks: Tasks, source: Image.Image, mask: Image.Image, asked: Parameters
) -> None:
    pictures = (source, mask) if asked.mask else (source,)
    alone = submit(hub, tasks, asked, *pictures)
    drive(hub)
    merged = hub.num_merged
    beside = submit(hub, tasks, asked, *pictures, checkpoint_at=2)
    others = [submit(hub, tasks, make_parameters(num_steps=STEPS, seed=seed)) for seed in (1, 2)]
    drive(hub)
    assert all(other.error is None for other in others)
    assert picture_of(beside) == picture_of(alone)
    if asked.width == 64:
        assert hub.num_merged > merged, "runs of two pipelines over one denoiser share passes"
    resumed = submit(hub, tasks, asked, *pictures, resume=beside.checkpoint)
    drive(hub)
    assert picture_of(resumed) == picture_of(alone)
    assert resumed.num_replayed > 0
    assert resumed.num_calls == alone.num_calls - resumed.num_replayed


@pytest.mark.parametrize("asked", [INPAINT, OUTPAINT], ids=lambda asked: asked.task)
def test_what_the_mask_does_not_cover_keeps_every_bit_and_the_rest_is_drawn(
    hub: Hub, tasks: Tasks, source: Image.Image, mask: Image.Image, asked: Parameters
) -> None:
    given = mask if asked.mask else None
    run = submit(hub, tasks, asked, source, *([given] if given else []))
    drive(hub)
    drawn = np.frombuffer(picture_of(run), np.uint8).reshape(asked.height, asked.width, 3)
    placed = place_source(asked, source, given)
    kept = np.asarray(placed.mask) == 0
    before = np.asarray(placed.image)
    assert kept.any()
    assert not kept.all()
    assert np.array_equal(drawn[kept], before[kept])
    assert not np.array_equal(drawn[~kept], before[~kept])


def test_a_stranger_to_the_hub_is_refused(hub: Hub) -> None:
    other = load.load_pipeline(files.locate("starter"), "cpu")
    with pytest.raises(ValueError, match="unet"):
        hub.submit({}, pipeline=other)


def test_the_source_comes_to_lie_in_the_middle_of_a_larger_canvas(source: Image.Image) -> None:
    placed = place_source(parameters_of(Task.OUTPAINT, width=96, height=96, left=16, top=16), source, None)
    assert placed.image.crop((16, 16, 80, 80)).tobytes() == source.tobytes()
    assert placed.mask is not None
    assert placed.mask.getbbox() == (0, 0, 96, 96)
    assert placed.mask.crop((16, 16, 80, 80)).getbbox() is None


def test_source_and_mask_of_another_size_are_brought_to_it_alike(source: Image.Image, mask: Image.Image) -> None:
    large = place_source(INPAINT, source.resize((640, 640)), mask.resize((640, 640), Image.Resampling.NEAREST))
    assert large.mask is not None
    assert large.image.size == (64, 64)
    assert large.mask.tobytes() == mask.tobytes()


@pytest.mark.parametrize(
    ("pipeline", "heeds"),
    [
        ("StableDiffusionPipeline", True),
        ("StableDiffusionXLPipeline", True),
        ("StableDiffusion3Pipeline", True),
        ("FluxPipeline", False),  # it is only heeded by guidance that is off unless asked for
        ("QwenImagePipeline", True),
        ("LatentConsistencyModelPipeline", False),
    ],
)
def test_it_is_known_beforehand_whether_a_negative_prompt_is_heeded(pipeline: str, heeds: bool) -> None:
    assert takes_negative_prompt(getattr(diffusers, pipeline)) is heeds


@pytest.mark.parametrize(
    ("pipeline", "guidance"),
    [
        ("StableDiffusionPipeline", 7.5),
        ("FluxPipeline", 3.5),
        ("QwenImagePipeline", 4.0),
        ("QwenImageEditPlusPipeline", 4.0),
        ("Flux2KleinPipeline", 4.0),
        ("DiTPipeline", 4.0),
        ("StableCascadeCombinedPipeline", 1.0),  # it has a scale for each of its two models
    ],
)
def test_the_usual_guidance_is_of_the_argument_that_guides(pipeline: str, guidance: float) -> None:
    assert find_guidance(getattr(diffusers, pipeline))[1] == guidance
