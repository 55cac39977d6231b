"""Draw with a loaded model as jobs do, once for each of its tasks, at the smallest size that it offers."""

from typing import TYPE_CHECKING

from mezzotint.domain.errors import ModelUnsupported
from mezzotint.domain.ids import Sha256
from mezzotint.domain.job import Parameters
from mezzotint.domain.task import Task
from mezzotint.main.served_models import ServedModel

if TYPE_CHECKING:
    from mezzotint.worker import LoadedModel

STEPS = 4
STEPS_AT_LOAD = 2
STRENGTH = 0.75
SOURCE = Sha256("0" * 64)
"""Stands for the stored picture that a job would name."""


def smallest_px(offer: ServedModel) -> int:
    """The smallest side that admission lets through, on the model's grid."""
    grid = offer.info.grid_px
    return -(-offer.info.min_px // grid) * grid


def draw_smallest(loaded: "LoadedModel", offer: ServedModel, num_steps: int = STEPS) -> None:
    """Draw one picture a task, by the pipelines, the hub and the encoder. Raises: ModelUnsupported, naming the task."""
    from PIL import Image

    from mezzotint.media.encoding import encode

    side = smallest_px(offer)
    for task in offer.info.tasks:
        parameters = _parameters(offer, task, side, num_steps)
        inner = side if task is not Task.OUTPAINT else side // 2
        source = None if task is Task.GENERATE else Image.linear_gradient("L").resize((inner, inner)).convert("RGB")
        mask = Image.linear_gradient("L").resize((side, side)) if task is Task.INPAINT else None
        try:
            assignment = loaded.tasks.assign(parameters, source, mask)
            run = loaded.hub.submit(assignment.kwargs, pipeline=assignment.pipeline)
            while loaded.hub.turn():
                pass
            if run.error is not None:
                raise run.error
            picture = assignment.finish(run.output.images[0])
            encode(picture)
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
            raise ModelUnsupported(f"{offer.info.name}: {task} at {side} x {side} px fails: {reason}") from error
        if picture.size != (side, side):
            width, height = picture.size
            raise ModelUnsupported(f"{offer.info.name}: {task} at {side} x {side} px gives {width} x {height} px")


def _parameters(offer: ServedModel, task: Task, side: int, num_steps: int) -> Parameters:
    is_outpaint = task is Task.OUTPAINT
    return Parameters(
        prompt=offer.info.examples[0] if offer.info.examples else "a red apple",
        negative_prompt="a green pear" if offer.info.takes_negative_prompt else "",
        seed=0,
        num_steps=num_steps,
        guidance_scale=offer.info.default_guidance,
        width=side,
        height=side,
        task=task,
        source=None if task is Task.GENERATE else SOURCE,
        strength=STRENGTH if task.takes_strength else None,
        image_guidance=offer.info.options.image_guidance if task is Task.EDIT else None,
        left=side // 4 if is_outpaint else None,
        top=side // 4 if is_outpaint else None,
        source_width=side // 2 if is_outpaint else None,
        source_height=side // 2 if is_outpaint else None,
    )
