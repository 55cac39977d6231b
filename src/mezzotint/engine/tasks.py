"""The stock pipelines of one model, one a task, over the same modules: no second copy of any weights.

Inpainting uses diffusers' own class for the family where its denoiser fits. Where it does not (Stable Diffusion's wants
4 or 9 channels), the family's image-to-image pipeline does it: after every step the part that stays is put back, noised
to that step's level, which is what the stock class does for denoisers that never learned masks.
"""

import copy
import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional

from mezzotint.domain.errors import RunFailed
from mezzotint.domain.job import Parameters
from mezzotint.domain.task import Task
from mezzotint.engine.canvas import Canvas, place_source
from mezzotint.engine.models.weighted_prompts import is_weighing, weigh_words
from mezzotint.engine.request import call_kwargs, read_default_scale
from mezzotint.engine.samplers import with_sampler

PICTURE_FIRST = re.compile(r"Pix2Pix|Edit|Upscale|SuperResolution|Refiner|ImageTo|Adapter|ControlNet|Layered|Img2Img")
"""Names of diffusers' pipelines whose `image` has a default that they refuse."""
EDITORS = frozenset(
    {
        "StableDiffusionInstructPix2PixPipeline", "StableDiffusionXLInstructPix2PixPipeline", "FluxKontextPipeline",
        "Flux2Pipeline", "Flux2KleinPipeline", "QwenImageEditPipeline", "QwenImageEditPlusPipeline",
    }
)  # fmt: skip
"""Names of diffusers' pipelines whose own call changes a picture as the words tell, at the size that is asked for."""
LEAST_SOURCE_PX = {"Flux2Pipeline": 64, "Flux2KleinPipeline": 64}
"""Shortest side of a picture that they take."""
MASKABLE_CHANNELS = (4, 9)  # of a unet, in the stock inpaint pipelines of Stable Diffusion and its like
FILLS_ALONE = 9
"""Channels of a unet that reads a mask and a masked picture beside the latents, in every call."""
ONE_AREA = "HiDreamImagePipeline"
"""It draws every size at the area that it was trained at."""
NOISE_SEED = 0x6D617368  # apart from the seed of the run's own noise


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Assignment:
    """A pipeline call. finish: makes the picture of the call's output."""

    pipeline: Any
    kwargs: dict[str, Any]
    finish: Callable[[Image.Image], Image.Image]


@dataclass(slots=True, eq=False)
class Tasks:
    """The pipelines of a loaded model. pipeline: the one that its folder names."""

    pipeline: Any
    _made: dict[Task, Any] = field(default_factory=dict)

    def assign(self, parameters: Parameters, source: Image.Image | None, mask: Image.Image | None) -> Assignment:
        """The call for one picture. Raises: RunFailed when the model cannot do what was asked."""
        if parameters.task in {Task.GENERATE, Task.EDIT} or source is None:
            kwargs = call_kwargs(self.pipeline, parameters)
            if parameters.task is Task.EDIT:
                kwargs |= {"image": _place_edited(self.pipeline, parameters, source)}
            sized = with_area(self.pipeline, parameters.width * parameters.height)
            pipeline = with_sampler(sized, parameters.sampler, parameters.eta)
            return Assignment(pipeline=pipeline, kwargs=kwargs, finish=lambda drawn: drawn)
        placed = place_source(parameters, source, mask)
        classes = classes_of(type(self.pipeline).__name__)
        unet = getattr(self.pipeline, "unet", None)
        takes_masks = Task.INPAINT in classes and (unet is None or unet.config.in_channels in MASKABLE_CHANNELS)
        if placed.mask is not None and takes_masks:
            pipeline = self._make_pipeline(Task.INPAINT)
            more: dict[str, Any] = {"image": placed.image, "mask_image": placed.mask}
        elif Task.VARIATION in classes:
            pipeline = self._make_pipeline(Task.VARIATION)
            more = {"image": placed.image}
            if placed.mask is not None:
                more["callback_on_step_end"] = KeepUnmasked(placed, parameters.seed)
        else:
            raise RunFailed(f"{type(self.pipeline).__name__} has no image-to-image pipeline")
        kwargs = call_kwargs(pipeline, parameters) | more
        pipeline = with_sampler(pipeline, parameters.sampler, parameters.eta)
        return Assignment(pipeline=pipeline, kwargs=kwargs, finish=placed.restore_unmasked)

    def _make_pipeline(self, task: Task) -> Any:
        """The family's pipeline for the task, made once, of the loaded modules."""
        if task not in self._made:
            from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting

            maker = AutoPipelineForInpainting if task is Task.INPAINT else AutoPipelineForImage2Image
            made = None if task_of(self.pipeline) is task else maker.from_pipe(self.pipeline)
            if made is not None and is_weighing(self.pipeline):
                made = weigh_words(made)
            self._made[task] = self.pipeline if made is None else made
        return self._made[task]


def _place_edited(pipeline: Any, parameters: Parameters, source: Image.Image | None) -> Image.Image:
    if source is None or type(pipeline).__name__ not in EDITORS:
        missing = "a picture to edit" if source is None else "a pipeline that edits"
        raise RunFailed(f"{type(pipeline).__name__} lacks {missing}")
    placed = place_source(parameters, source, None).image
    return ImageOps.scale(placed, max(1.0, LEAST_SOURCE_PX.get(type(pipeline).__name__, 0) / min(placed.size)))


def with_area(pipeline: Any, area_px: int) -> Any:
    """The pipeline itself, or a shallow copy that draws the area which is asked for."""
    if type(pipeline).__name__ != ONE_AREA:
        return pipeline
    twin = copy.copy(pipeline)
    side = math.sqrt(area_px) * (1 + 1e-9)  # it rounds sides down
    object.__setattr__(twin, "default_sample_size", side / pipeline.vae_scale_factor)
    return twin


class KeepUnmasked:
    """A step callback that keeps the part outside the mask at the source, at the noise level of the next step.

    It keeps nothing from step to step, so that a resumed run needs nothing of it.
    """

    def __init__(self, placed: Canvas, seed: int) -> None:
        self._placed, self._seed = placed, seed
        self._known: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None

    def __call__(self, pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        latents = tensors["latents"]
        if self._known is None:
            self._known = self._encode(pipeline, latents)
        source, noise, mask = self._known
        timesteps = pipeline.scheduler.timesteps
        following = timesteps[len(timesteps) - pipeline._num_timesteps + step + 1 :][:1]
        kept = pipeline.scheduler.add_noise(source, noise, following) if len(following) else source
        return {"latents": mask * latents + (1 - mask) * kept}

    def _encode(self, pipeline: Any, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Latents of the source, noise, and the mask, grown to whole latents: a half covered latent is redrawn."""
        pixels = pipeline.image_processor.preprocess(self._placed.image).to(latents.device, pipeline.vae.dtype)
        with torch.no_grad():
            encoded = pipeline.vae.encode(pixels)
        source = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        shift = getattr(pipeline.vae.config, "shift_factor", None) or 0.0
        source = (source - shift) * getattr(pipeline.vae.config, "scaling_factor", 1.0)
        generator = torch.Generator("cpu").manual_seed(self._seed ^ NOISE_SEED)
        noise = torch.randn(source.shape, generator=generator)
        covered = torch.from_numpy(np.asarray(self._placed.mask, np.float32) / 255)[None, None]
        mask = functional.adaptive_max_pool2d(covered, source.shape[-2:])
        source, noise, mask = (tensor.to(latents.device, latents.dtype) for tensor in (source, noise, mask))
        return source, noise, mask


def classes_of(pipeline: str) -> Mapping[Task, type]:
    """diffusers' pipelines of the same family, by task; only those that a picture and a strength can be given to."""
    import diffusers
    from diffusers.pipelines import auto_pipeline

    names = {
        Task.VARIATION: auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
        Task.INPAINT: auto_pipeline.AUTO_INPAINT_PIPELINES_MAPPING,
    }
    found = {task: auto_pipeline._get_task_class(mapping, pipeline, False) for task, mapping in names.items()}
    own = getattr(diffusers, pipeline, None)
    if own is not None and "mask_image" in _accepts(own):
        found[Task.INPAINT] = found[Task.INPAINT] or own  # FLUX Fill stands in no table
    return {task: kind for task, kind in found.items() if kind is not None and {"image", "strength"} <= _accepts(kind)}


def tasks_of(pipeline: Any, num_channels: int | None = None) -> tuple[Task, ...]:
    """The tasks of a pipeline class, its family's other pipelines included. pipeline: the class. num_channels: those
    that its unet reads, where it has one."""
    classes = classes_of(pipeline.__name__)
    if num_channels == FILLS_ALONE:
        return (Task.INPAINT, Task.OUTPAINT) if Task.INPAINT in classes else ()
    begins_with_picture = "image" in _accepts(pipeline) and "strength" in _accepts(pipeline)
    tasks = [] if begins_with_picture or _edits_alone(pipeline.__name__) else [Task.GENERATE]
    tasks += [Task.EDIT] if pipeline.__name__ in EDITORS else []
    tasks += [Task.VARIATION] if Task.VARIATION in classes else []
    return (*tasks, *([Task.INPAINT, Task.OUTPAINT] if _can_inpaint(classes) else []))


def task_of(pipeline: Any) -> Task:
    """The task that a pipeline's own call does; its family's other pipelines do the others."""
    name = type(pipeline).__name__
    usual = Task.EDIT if _edits_alone(name) else Task.GENERATE
    return next((task for task, kind in classes_of(name).items() if kind.__name__ == name), usual)


def _edits_alone(pipeline: str) -> bool:
    """Tell whether every call of the pipeline edits a picture."""
    return pipeline in EDITORS and PICTURE_FIRST.search(pipeline) is not None


def find_image_guidance(pipeline: Any) -> float | None:
    """Find the usual `image_guidance_scale` of a pipeline class that edits; None: it takes none."""
    scale = inspect.signature(pipeline.__call__).parameters.get("image_guidance_scale")
    return float(scale.default) if pipeline.__name__ in EDITORS and scale is not None else None


def _can_inpaint(classes: Mapping[Task, type]) -> bool:
    """Tell whether the family has a pipeline for it, or one whose latents can be kept: see KeepUnmasked."""
    variation = classes.get(Task.VARIATION)
    is_keeping = variation is not None and "vae" in inspect.signature(variation).parameters
    return Task.INPAINT in classes or is_keeping


def find_unmet_need(pipeline: Any) -> str | None:
    """Find an input that every call of a pipeline class needs and no job has; None: jobs can be drawn with it."""
    accepted = inspect.signature(pipeline.__call__).parameters
    if "prompt" not in accepted:
        return "it takes no prompt"
    given = {"self", "prompt"} | ({"image", "mask_image", "strength"} if "strength" in accepted else set())
    needed = [
        name
        for name, one in accepted.items()
        if one.default is one.empty and name not in given and one.kind not in {one.VAR_KEYWORD, one.VAR_POSITIONAL}
    ]
    if needed:
        return f"every call needs its {', '.join(needed)}"
    takes_strength, is_picture_first = "strength" in accepted, PICTURE_FIRST.search(pipeline.__name__)
    if "image" in accepted and not takes_strength and is_picture_first and pipeline.__name__ not in EDITORS:
        return "every call needs a picture, which it takes without a strength"
    if "num_frames" in accepted:
        return "it draws videos"
    return None


def takes_negative_prompt(pipeline: Any) -> bool:
    """Say whether a negative prompt changes the picture, for every task of the family. pipeline: the class."""
    for kind in (pipeline, *classes_of(pipeline.__name__).values()):
        parameters = inspect.signature(kind.__call__).parameters
        # guidance heeds it: the real one, where a distilled model has its own beside it
        name = "true_cfg_scale" if "true_cfg_scale" in parameters else "guidance_scale"
        if "negative_prompt" not in parameters or read_default_scale(parameters, name) <= 1:
            return False
    return True


def takes_eta(pipeline: Any) -> bool:
    """Say whether its call, and those of its family's other tasks, give `eta` to the sampler. pipeline: the class."""
    return all("eta" in _accepts(kind) for kind in (pipeline, *classes_of(pipeline.__name__).values()))


def rescale_tasks_of(pipeline: Any) -> tuple[Task, ...]:
    """The tasks whose calls take `guidance_rescale`. pipeline: the class."""
    classes = classes_of(pipeline.__name__).values()
    with_source = all("guidance_rescale" in _accepts(kind) for kind in classes)
    with_words = "guidance_rescale" in _accepts(pipeline)
    return tuple(task for task in tasks_of(pipeline) if (with_source if task.takes_strength else with_words))


def _accepts(kind: type) -> set[str]:
    return set(inspect.signature(kind.__call__).parameters)
