"""Which model a request is for."""

from collections.abc import Sequence

from mezzotint.domain.model import ModelInfo
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.domain.task import Task
from mezzotint.policy.admission.admit import read_model_name
from mezzotint.policy.admission.request import JobRequest


def choose_requested_model(request: JobRequest, models: Sequence[ModelInfo], upscaler: str) -> ModelInfo | Refusal:
    """The model that the request or its prompt names, by default the first; for an upscale see `choose_model`."""
    named = read_model_name(request)
    return named if isinstance(named, Refusal) else choose_model(models, named, request.task, upscaler)


def choose_model(models: Sequence[ModelInfo], wanted: str | None, task: Task, upscaler: str) -> ModelInfo | Refusal:
    """The model asked for, by default the first. An upscale is no model's work: `upscaler`, if any, is its name."""
    if task is Task.UPSCALE:
        return models[0] if wanted in {None, upscaler} else _refuse_upscale(wanted or "", upscaler)
    found = models[0] if wanted is None else next((model for model in models if model.name == wanted), None)
    return found or Refusal(
        code=RefusalCode.MODEL_NOT_FOUND,
        message=f'There is no model "{wanted}".',
        hint=f"Served: {', '.join(model.name for model in models)}.",
        param="model",
    )


def _refuse_upscale(wanted: str, upscaler: str) -> Refusal:
    return Refusal(
        code=RefusalCode.PARAMETER_INVALID,
        message=f'The model "{wanted}" does not upscale.',
        hint=f'Leave "model" out{f", or say {upscaler}" if upscaler else ""}.',
        param="model",
    )
