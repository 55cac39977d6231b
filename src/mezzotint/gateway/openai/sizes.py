"""The size of a request: as it is written, and fitted to what the model can draw where the operator wants that."""

from dataclasses import replace

from mezzotint.domain.prompt import AspectRatio
from mezzotint.domain.refusal import Refusal
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.openai.schemas import ImageOptions
from mezzotint.gateway.service import Service
from mezzotint.policy.admission.model_choice import choose_requested_model
from mezzotint.policy.admission.request import ParsedRequest
from mezzotint.policy.admission.size import can_shape, check_size, size_for

MAX_FITTED_PX = 4096 * 4096


def parse_size(options: ImageOptions) -> tuple[int | None, int | None]:
    """Width and height in px; None: the model's own. Admission checks whether the model can draw them."""
    has_sides = options.width is not None or options.height is not None
    if options.size in {None, "", "auto"}:
        return options.width, options.height
    if has_sides:
        other = "width" if options.height is None else "height"
        message = f'"size" and "{other}" both say how large the picture is.'
        raise ApiError("parameter_repeated", message=message, hint="Keep one of them.", param="size")
    width, _, height = (options.size or "").partition("x")
    if not all(side.isascii() and side.isdigit() and len(side) < 6 for side in (width, height)):
        raise ApiError(
            "size_invalid",
            message=f'"{options.size}" is no size.',
            hint='Say "512x512", for example, or "auto".',
            param="size",
        )
    return int(width), int(height)


def fit_size(service: Service, options: ImageOptions, parsed: ParsedRequest) -> ParsedRequest:
    """The request at the model's nearest size, to be enlarged, where it cannot draw the one asked for.

    Clients of OpenAI's models fix sizes of theirs, such as 1024x1024. What cannot be fitted is left to admission.
    """
    width, height = parsed.request.width, parsed.request.height
    model = choose_requested_model(parsed, service.admission.models, service.admission.upscaler)
    if not service.fits_sizes or not width or not height or isinstance(model, Refusal):
        return parsed
    ratio = AspectRatio(width=width, height=height)
    can_fit = width * height <= MAX_FITTED_PX and can_shape(model, ratio)
    if check_size(model, width, height) is None or not can_fit:
        return parsed
    drawn_width, drawn_height = size_for(model, ratio)
    options.fit(width, height)
    options.note(
        f"{model.name} cannot draw {width}x{height}: drawn at {drawn_width}x{drawn_height} and resized. "
        "An address (url) leads to the picture as it was drawn."
    )
    return replace(parsed, request=replace(parsed.request, width=drawn_width, height=drawn_height))
