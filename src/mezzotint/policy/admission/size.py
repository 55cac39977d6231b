"""Choose a picture size that the model can make, or refuse the one asked for. Sizes are (width, height) in px."""

from math import log, sqrt

from mezzotint.domain.model import ModelInfo
from mezzotint.domain.prompt import AspectRatio, Prompt
from mezzotint.domain.refusal import Refusal, RefusalCode, refuse
from mezzotint.policy.admission.request import JobRequest

_AREA_WEIGHT = 0.5  # of an error in area against the same error in shape: the shape is what was asked for


def choose_size(request: JobRequest, prompt: Prompt, model: ModelInfo) -> tuple[int, int] | Refusal:
    """The size that the fields or the prompt ask for, else the model's own."""
    if request.width is not None and request.height is not None:
        return check_size(model, request.width, request.height) or (request.width, request.height)
    if request.width is not None or request.height is not None:
        given, missing = ("width", "height") if request.height is None else ("height", "width")
        hint = (
            f"Give both, or neither for {model.native_width} x {model.native_height} px, "
            'or write "--ar W:H" in the prompt.'
        )
        return refuse(RefusalCode.SIZE_INVALID, f'"{given}" is given without "{missing}".', hint, missing)
    ratio = prompt.aspect_ratio
    if ratio is not None and not can_shape(model, ratio):
        low, high = bounds(model)
        narrow = f"--ar {ratio.width}:{ratio.height} is too narrow for {model.name}"
        message = f"{narrow}, whose sides go from {low} to {high} px."
        hint = f"The longer side can be at most {high / low:.3g} times the shorter."
        return refuse(RefusalCode.PARAMETER_INVALID, message, hint, "prompt")
    return size_for(model, ratio)


def size_for(model: ModelInfo, aspect_ratio: AspectRatio | None) -> tuple[int, int]:
    """The size on the model's grid that comes nearest to the shape, at about the model's native area.

    Where a side would leave the model's bounds the picture is scaled, its shape kept; a shape for which even that
    fails (see `can_shape`) is clamped.
    """
    if aspect_ratio is None:
        return model.native_width, model.native_height
    low, high = bounds(model)
    ratio = aspect_ratio.width / aspect_ratio.height
    area = model.native_width * model.native_height
    width, height = sqrt(area * ratio), sqrt(area / ratio)
    scale = min(high / max(width, height), max(1.0, low / min(width, height)))
    width, height = width * scale, height * scale

    def miss(size: tuple[int, int]) -> float:
        return abs(log(size[0] / size[1] / ratio)) + _AREA_WEIGHT * abs(log(size[0] * size[1] / (width * height)))

    return min(((w, h) for w in _around(model, width) for h in _around(model, height)), key=miss)


def can_shape(model: ModelInfo, aspect_ratio: AspectRatio) -> bool:
    """Tell whether the model's longest and shortest side allow the ratio."""
    low, high = bounds(model)
    short, long = sorted((aspect_ratio.width, aspect_ratio.height))
    return long * low <= short * high


def bounds(model: ModelInfo) -> tuple[int, int]:
    """Shortest and longest side that lie on the model's grid, px."""
    grid = model.grid_px
    return -(-model.min_px // grid) * grid, model.max_px // grid * grid


def check_size(model: ModelInfo, width: int, height: int) -> Refusal | None:
    """Refuse a size that is off the model's grid or beyond its bounds."""
    low, high = bounds(model)
    if all(low <= side <= high and side % model.grid_px == 0 for side in (width, height)):
        return None
    nearest = [f"{w} x {h}" for w in _around(model, width) for h in _around(model, height)]
    message = (
        f"{model.name} cannot draw {width} x {height} px: width and height must be multiples of "
        f"{model.grid_px} px from {low} to {high} px."
    )
    param = "width" if _around(model, width) != [width] else "height"
    return refuse(RefusalCode.SIZE_INVALID, message, f"Nearest that work: {', '.join(nearest)}.", param)


def _around(model: ModelInfo, side: float) -> list[int]:
    """The one or two sides that the model can make next to this one, in ascending order."""
    low, high = bounds(model)
    below = int(side // model.grid_px) * model.grid_px
    above = below if below == side else below + model.grid_px
    return sorted({min(max(candidate, low), high) for candidate in (below, above)})
