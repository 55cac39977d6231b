"""The embeddings (textual inversion) of a job: those of its model that its texts call by their words."""

from collections.abc import Sequence

from mezzotint.domain.drawing.named_weights import NamedWeights, find_tokens
from mezzotint.domain.job import Parameters
from mezzotint.domain.model import ModelInfo
from mezzotint.domain.refusal import Refusal, RefusalCode, refuse
from mezzotint.domain.task import Task


def choose_embeddings(
    parameters: Parameters, model: ModelInfo, models: Sequence[ModelInfo]
) -> tuple[NamedWeights, ...] | Refusal:
    """In the order of their words. models: those that are served; a word of another one's embedding is refused, since
    the model would read it as any word."""
    if parameters.task is Task.UPSCALE:
        return ()
    text = f"{parameters.prompt}\n{parameters.negative_prompt}"
    own = {one.name: one for one in model.embeddings}
    called = find_tokens(text, own)
    others = {one.name: other for other in models for one in other.embeddings if one.name not in own}
    if strange := sorted(find_tokens(text, others)):
        message = f'The embedding "{strange[0]}" does not fit {model.name}; it is one of {others[strange[0]].name}.'
        hint = f"Leave it out, or take that model. Embeddings of {model.name}: {', '.join(own) or 'none'}."
        return refuse(RefusalCode.EMBEDDING_UNSUPPORTED, message, hint, "prompt")
    return tuple(own[name] for name in sorted(called))
