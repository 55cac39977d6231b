"""Choose the model that a request is for."""

from collections.abc import Sequence

from mezzotint.domain.model import ModelInfo
from mezzotint.domain.refusal import Refusal, RefusalCode, refuse
from mezzotint.domain.task import Task
from mezzotint.policy.admission.request import ParsedRequest


def choose_requested_model(
    parsed: ParsedRequest, models: Sequence[ModelInfo], upscaler: str = ""
) -> ModelInfo | Refusal:
    """The model that the request or its prompt names, by default the first; for an upscale see `choose_model`."""
    if isinstance(parsed.prompts, Refusal):
        return parsed.prompts
    names = {prompt.version for prompt in parsed.prompts}
    if len(names) > 1:
        message = "The choices of the prompt name several models."
        return refuse(RefusalCode.PARAMETER_INVALID, message, "Send one request for each --version.", "prompt")
    return choose_model(models, parsed.request.model or names.pop(), parsed.request.task, upscaler)


def choose_model(models: Sequence[ModelInfo], wanted: str | None, task: Task, upscaler: str) -> ModelInfo | Refusal:
    """The model asked for, by default the first. An upscale is no model's work: `upscaler`, if any, is its name."""
    if task is Task.UPSCALE:
        if wanted in {None, upscaler}:
            return models[0]
        hint = f'Leave "model" out{f", or say {upscaler}" if upscaler else ""}.'
        return refuse(RefusalCode.PARAMETER_INVALID, f'The model "{wanted}" does not upscale.', hint, "model")
    for model in models:
        if wanted in {None, model.name, *model.aliases}:
            return model
    hint = f"Served: {', '.join(name for model in models for name in (model.name, *model.aliases))}."
    return refuse(RefusalCode.MODEL_NOT_FOUND, f'There is no model "{wanted}".', hint, "model")
