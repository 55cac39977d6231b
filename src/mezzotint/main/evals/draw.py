"""Draw the fixed prompts of the picture evaluations with a served model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mezzotint import __version__
from mezzotint.config import Settings
from mezzotint.domain.errors import MezzotintError, RunFailed
from mezzotint.domain.job import Parameters
from mezzotint.evals.pictures.drawn import DrawnPicture, read_picture_prompts, read_pictures
from mezzotint.main.evals.finish import progress_bar
from mezzotint.main.served_models import ServedModel, build_catalog, find_models


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawChoices:
    """None: the model's own. limit: at most this many of the prompts. file: a list of pictures to read instead, and
    score its column of what people said."""

    num_steps: int | None = None
    guidance_scale: float | None = None
    limit: int | None = None
    file: Path | None = None
    score: str | None = None
    on_step: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class DrawnPictures:
    """inputs: the versions and choices that the pictures depend on."""

    pictures: tuple[DrawnPicture, ...]
    inputs: dict[str, str]


def get_pictures(settings: Settings, choices: DrawChoices) -> DrawnPictures:
    """Read the pictures of a file, or draw some.

    Raises: PicturesInvalid, StartError, RunFailed.
    """
    if choices.file is None:
        return draw_pictures(settings, choices)
    inputs = {"mezzotint": __version__, "pictures": str(choices.file)}
    return DrawnPictures(read_pictures(choices.file, choices.score, choices.limit), inputs)


def draw_pictures(settings: Settings, choices: DrawChoices) -> DrawnPictures:
    """Draw every prompt with its seed.

    Raises: StartError, RunFailed.
    """
    offer, wanted = plan_pictures(settings, choices)
    pictures = _draw(settings, offer, wanted, choices.on_step)
    inputs = {
        "mezzotint": __version__,
        "model": offer.info.name,
        "steps": str(wanted[0].num_steps),
        "guidance": f"{wanted[0].guidance_scale:g}",
        "size": f"{wanted[0].width} x {wanted[0].height} px",
    }
    return DrawnPictures(pictures, inputs)


def plan_pictures(settings: Settings, choices: DrawChoices) -> tuple[ServedModel, list[Parameters]]:
    """The model, and what is asked of it for each prompt. Raises: ModelsInvalid, ModelMissing, ModelCorrupt."""
    offer = find_models(settings)[0]
    prompts = read_picture_prompts(choices.limit)
    return offer, [_parameters(offer, prompt, seed, choices) for seed, prompt in enumerate(prompts, start=1)]


def _parameters(offer: ServedModel, prompt: str, seed: int, choices: DrawChoices) -> Parameters:
    info = offer.info
    return Parameters(
        prompt=prompt,
        negative_prompt="",
        seed=seed,
        num_steps=choices.num_steps or info.default_steps,
        guidance_scale=info.default_guidance if choices.guidance_scale is None else choices.guidance_scale,
        width=info.native_width,
        height=info.native_height,
        sampler=info.default_sampler,
        eta=info.options.eta,
        guidance_rescale=info.options.guidance_rescale,
        clip_skip=info.options.clip_skip,
    )


def _draw(
    settings: Settings, offer: ServedModel, wanted: Sequence[Parameters], on_step: Callable[[], None]
) -> tuple[DrawnPicture, ...]:
    def count_step(run: object) -> None:
        bar.advance(task)
        on_step()

    with progress_bar() as bar:
        task = bar.add_task("loading the model", total=sum(parameters.num_sampled for parameters in wanted))
        catalog = build_catalog(settings, [offer])
        catalog.prepare()
        loaded = catalog.load(offer.info.name, lambda share: None)
        hub = loaded.hub
        bar.update(task, description="drawing, steps")
        assigned = [loaded.tasks.assign(parameters, None, None) for parameters in wanted]
        runs = [hub.submit(one.kwargs, pipeline=one.pipeline, on_step=count_step) for one in assigned]
        while hub.turn():
            pass
    for run in runs:
        if isinstance(run.error, MezzotintError):
            raise run.error
        if run.error is not None:
            raise RunFailed(f"the model could not draw: {run.error}") from run.error
    return tuple(
        DrawnPicture(
            id=f"{parameters.seed}: {parameters.prompt}", prompt=parameters.prompt, picture=run.output.images[0]
        )
        for run, parameters in zip(runs, wanted, strict=True)
    )
