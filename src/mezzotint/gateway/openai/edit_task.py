"""The task of an edit: by a model that edits it is changed as the words tell, by another drawn again."""

from dataclasses import replace

from mezzotint.domain.refusal import Refusal
from mezzotint.domain.task import Task
from mezzotint.gateway.openai.schemas import Edit
from mezzotint.gateway.service import Service
from mezzotint.policy.admission.model_choice import choose_requested_model
from mezzotint.policy.admission.request import ParsedRequest


def choose_edit_task(service: Service, options: Edit, parsed: ParsedRequest) -> ParsedRequest:
    """The request as an instructed edit, where its model does that, there are words, and neither a mask nor a strength
    asks for another task that the model can do."""
    request = parsed.request
    model = choose_requested_model(parsed, service.admission.models, service.admission.upscaler)
    if request.task is not Task.VARIATION or isinstance(model, Refusal) or Task.EDIT not in model.tasks:
        return parsed
    has_words = not isinstance(parsed.prompts, Refusal) and all(prompt.text for prompt in parsed.prompts)
    if not has_words or (options.strength is not None and Task.VARIATION in model.tasks):
        return parsed
    if options.input_fidelity is not None:
        options.note(f'"input_fidelity" has no effect with {model.name}, which edits as the words tell.')
    return replace(parsed, request=replace(request, task=Task.EDIT, strength=options.strength))
