"""Check the fields of a task, and place its source on the result. Sizes in px."""

from collections.abc import Sequence
from dataclasses import dataclass

from mezzotint.domain.model import MAX_SIDE_PX, ModelInfo
from mezzotint.domain.prompt import AspectRatio, Prompt
from mezzotint.domain.refusal import Refusal, RefusalCode, refuse
from mezzotint.domain.task import Source, Task
from mezzotint.policy.admission.request import JobRequest
from mezzotint.policy.admission.size import check_size, choose_size, size_for

MAX_UPSCALED_PX = 4096 * 4096  # some 50 MB of pixels, a minute of a small network on one core
SCALES = (2, 4)
MAX_ZOOM = 4.0
DEFAULT_STRENGTH = {Task.VARIATION: 0.6, Task.INPAINT: 1.0, Task.OUTPAINT: 1.0}
DEFAULT_ZOOM = 1.5
SIDES = ("left", "top", "right", "bottom")

NEEDS: dict[Task, tuple[str, ...]] = {
    Task.GENERATE: (),
    Task.VARIATION: ("source",),
    Task.INPAINT: ("source", "mask"),
    Task.OUTPAINT: ("source",),
    Task.EDIT: ("source",),
    Task.UPSCALE: ("source",),
}
TAKES: dict[Task, tuple[str, ...]] = {
    Task.GENERATE: (),
    Task.VARIATION: ("source", "strength"),
    Task.INPAINT: ("source", "mask", "strength"),
    Task.OUTPAINT: ("source", "zoom", *SIDES),
    Task.EDIT: ("source", "image_guidance"),
    Task.UPSCALE: ("source", "scale"),
}
"""The fields that belong to a task, beside those of every request."""
FIELDS = tuple(dict.fromkeys(field for fields in TAKES.values() for field in fields))


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePlacement:
    """The result's size, and the place of the source on it."""

    width: int
    height: int
    left: int = 0
    top: int = 0
    source_width: int
    source_height: int


def check_task(
    request: JobRequest, model: ModelInfo, models: Sequence[ModelInfo], source: Source | None, mask: Source | None
) -> Refusal | None:
    """Refuse what the model cannot do, fields that are missing or of another task, and values out of range.

    models: those that are served.
    """
    if request.task not in model.tasks:
        able = [one.name for one in models if request.task in one.tasks]
        others = f"Models here that do: {', '.join(able)}." if able else "No model here does."
        hint = f"It can: {', '.join(model.tasks)}. {others} GET /v1/models tells what each model can do."
        return refuse(RefusalCode.TASK_UNSUPPORTED, f"{model.name} cannot {request.task}.", hint, "task")
    return _check_fields(request) or _check_found(request, source, mask) or _check_ranges(request)


def choose_placement(
    request: JobRequest, prompt: Prompt, model: ModelInfo, source: Source | None
) -> SourcePlacement | Refusal:
    """Choose the result's size and where the source lies on it. Call after `check_task`.

    The size is the one asked for, else the source's, else the model's own.
    """
    has_size = request.width is not None or request.height is not None or prompt.aspect_ratio is not None
    if source is not None and not has_size:
        return _place_source(request, model, source)
    if request.task in {Task.OUTPAINT, Task.UPSCALE}:
        message = f"The task {request.task} takes no size and no --ar: its size follows from the source's."
        hint = 'An outpaint takes "zoom" or "left", "top", "right", "bottom" in px; an upscale takes "scale".'
        return refuse(
            RefusalCode.PARAMETER_UNSUPPORTED, message, hint, "width" if prompt.aspect_ratio is None else "prompt"
        )
    size = choose_size(request, prompt, model)
    if isinstance(size, Refusal):
        return size
    width, height = size
    return SourcePlacement(width=width, height=height, source_width=width, source_height=height)


def _place_source(request: JobRequest, model: ModelInfo, source: Source) -> SourcePlacement | Refusal:
    if request.task is Task.UPSCALE:
        return _place_upscale(source, request.scale or SCALES[0])
    width, height = source.width, source.height
    if check_size(model, width, height) is not None:
        width, height = size_for(model, AspectRatio(width=width, height=height))
    if request.task is Task.OUTPAINT:
        return _place_outpaint(request, model, width, height)
    return SourcePlacement(width=width, height=height, source_width=width, source_height=height)


def _check_fields(request: JobRequest) -> Refusal | None:
    given = [field for field in FIELDS if getattr(request, field) is not None]
    for field in given:
        if field not in TAKES[request.task]:
            fitting = ", ".join(task for task in Task if field in TAKES[task])
            message = f'The field "{field}" does not belong to the task {request.task}.'
            hint = f"Leave it out, or set the task to {fitting}."
            return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, hint, field)
    for field in NEEDS[request.task]:
        if field not in given:
            message = f'The task {request.task} needs the field "{field}".'
            hint = "Name one of your pictures or jobs, or what POST /v1/uploads answered."
            return refuse(RefusalCode.PARAMETER_MISSING, message, hint, field)
    if request.zoom is not None and any(side in given for side in SIDES):
        return _refuse_value("zoom", "A zoom and sides cannot be given together.", "Keep one of the two.")
    return None


def _check_found(request: JobRequest, source: Source | None, mask: Source | None) -> Refusal | None:
    for field, name, found in (("source", request.source, source), ("mask", request.mask, mask)):
        if name is not None and found is None:
            hint = "GET /v1/images lists your pictures; uploads that are not used are deleted after a while."
            return refuse(RefusalCode.SOURCE_NOT_FOUND, f'The "{field}" is not a picture of yours.', hint, field)
    if source is not None and mask is not None and (source.width, source.height) != (mask.width, mask.height):
        message = f"The mask has {mask.width} x {mask.height} px, the source {source.width} x {source.height} px."
        return _refuse_value(
            "mask", message, "Draw the mask at the size of the source: white where to redraw, else black."
        )
    return None


def _check_ranges(request: JobRequest) -> Refusal | None:
    if request.strength is not None and not 0 < request.strength <= 1:
        return _refuse_value(
            "strength", f"The strength {request.strength:g} is out of range.", "Choose from above 0 to 1."
        )
    if request.scale is not None and request.scale not in SCALES:
        return _refuse_value("scale", f"Pictures cannot be upscaled {request.scale} times.", "Choose 2 or 4.")
    if request.zoom is not None and not 1 < request.zoom <= MAX_ZOOM:
        hint = f"Choose above 1, up to {MAX_ZOOM:g}."
        return _refuse_value("zoom", f"The zoom {request.zoom:g} is out of range.", hint)
    for side in SIDES:
        if (getattr(request, side) or 0) < 0:
            return _refuse_value(side, f'"{side}" is negative.', "Choose how many px to add, 0 or more.")
    return None


def _refuse_value(param: str, message: str, hint: str) -> Refusal:
    return refuse(RefusalCode.PARAMETER_INVALID, message, hint, param)


def _place_upscale(source: Source, scale: int) -> SourcePlacement | Refusal:
    width, height = source.width * scale, source.height * scale
    if width * height > MAX_UPSCALED_PX:
        message = f"{width} x {height} px would be more than {MAX_UPSCALED_PX / 1e6:.1f} megapixels."
        return refuse(RefusalCode.SIZE_INVALID, message, "Choose a smaller scale, or a smaller source.", "scale")
    if max(width, height) > MAX_SIDE_PX:
        message = f"{width} x {height} px would have a side of more than {MAX_SIDE_PX} px, which no WebP can have."
        hint = "Choose a smaller scale, or a source whose longer side is shorter."
        return refuse(RefusalCode.SIZE_INVALID, message, hint, "scale")
    return SourcePlacement(width=width, height=height, source_width=source.width, source_height=source.height)


def _place_outpaint(request: JobRequest, model: ModelInfo, width: int, height: int) -> SourcePlacement | Refusal:
    left, top, right, bottom = (getattr(request, side) or 0 for side in SIDES)
    if not any((left, top, right, bottom)):
        zoom = request.zoom or DEFAULT_ZOOM
        wide, high = (max(side, round(side * zoom / model.grid_px) * model.grid_px) for side in (width, height))
        left, top = (wide - width) // 2, (high - height) // 2
        right, bottom = wide - width - left, high - height - top
    canvas = (width + left + right, height + top + bottom)
    refusal = check_size(model, *canvas)
    if refusal is not None:
        return refusal
    if canvas == (width, height):
        return _refuse_value(
            "zoom", "The canvas would not grow.", f"Choose a larger zoom; the grid is {model.grid_px} px."
        )
    return SourcePlacement(
        width=canvas[0], height=canvas[1], left=left, top=top, source_width=width, source_height=height
    )
