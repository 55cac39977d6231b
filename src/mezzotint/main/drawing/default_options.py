"""The values of drawing options that the list of models names for a model, refused where it passes over them."""

from dataclasses import replace

from mezzotint.domain.drawing.options import DrawingOptions
from mezzotint.domain.model import ModelInfo
from mezzotint.engine.models.catalog import ModelEntry, ModelsInvalid


def choose_defaults(entry: ModelEntry, info: ModelInfo) -> DrawingOptions:
    """info: with the entry's sampler. Raises: ModelsInvalid."""
    can = info.options
    if entry.eta and info.default_sampler not in can.eta_samplers:
        own = info.default_sampler or "its own sampler"
        takes = ", ".join(name for name in can.eta_samplers if name) or "none that it takes"
        raise ModelsInvalid(f"models: {entry.name}: {own} passes over eta; samplers that heed it: {takes}")
    if entry.guidance_rescale and not can.rescale_tasks:
        raise ModelsInvalid(f"models: {entry.name}: its pipeline takes no guidance_rescale: leave it out")
    if entry.clip_skip is not None and entry.clip_skip > can.max_clip_skip:
        most = f"1 to {can.max_clip_skip}" if can.max_clip_skip else "none: leave it out"
        raise ModelsInvalid(f"models: {entry.name}: clip_skip = {entry.clip_skip}; the model takes {most}")
    return replace(can, eta=entry.eta, guidance_rescale=entry.guidance_rescale, clip_skip=entry.clip_skip)
