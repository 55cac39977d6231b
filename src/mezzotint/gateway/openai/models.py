"""`/v1/models`: what draws here, as OpenAI's clients list it."""

from typing import Annotated

from fastapi import APIRouter, Path

from mezzotint.gateway.errors import Answer
from mezzotint.gateway.openai.errors import OpenAIRoute
from mezzotint.gateway.openai.schemas import OpenAIModel, OpenAIModels, openai_answers
from mezzotint.gateway.service import Service, SignedIn, The

router = APIRouter(
    prefix="/v1/models", tags=["openai"], route_class=OpenAIRoute, responses=openai_answers(400, 401, 403, 404, 503)
)
MADE_AT = 1767225600
"""2026-01-01: a folder of weights does not say when it was made; clients only sort by it."""


@router.get("")
async def list_models(service: The, claims: SignedIn) -> OpenAIModels:
    """The models that can be asked for."""
    return OpenAIModels(data=_models(service))


@router.get("/{model:path}")
async def read(model: Annotated[str, Path(max_length=200)], service: The, claims: SignedIn) -> OpenAIModel:
    """One model."""
    served = {one.id: one for one in _models(service)}
    if model not in served:
        hint = f"Served: {', '.join(served)}."
        raise Answer(404, "model_not_found", f'There is no model "{model[:80]}".', hint, "model")
    return served[model]


def _models(service: Service) -> list[OpenAIModel]:
    states = service.model_states()
    names = [model.name for model in service.door.models]
    told = ({"id": name, "state": states.get(name), "share": service.share_read(name)} for name in names)
    return [OpenAIModel.model_validate({"created": MADE_AT, **one}) for one in told]
