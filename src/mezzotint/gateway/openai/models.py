"""`/v1/models`: the served models, as OpenAI's clients list them."""

from typing import Annotated

from fastapi import APIRouter, Path

from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.errors import unknown_model_error
from mezzotint.gateway.openai.errors import OpenAIRoute
from mezzotint.gateway.openai.schemas import OpenAIModel, OpenAIModels, describe_openai_errors
from mezzotint.gateway.service import Service

router = APIRouter(
    prefix="/v1/models",
    tags=["openai"],
    route_class=OpenAIRoute,
    responses=describe_openai_errors(400, 401, 403, 404, 503),
)
MADE_AT = 1767225600
"""2026-01-01: a folder of weights does not say when it was made; clients only sort by it."""


@router.get("")
async def list_models(service: ServiceDep, claims: CallerClaims) -> OpenAIModels:
    """The models that can be asked for."""
    return OpenAIModels(data=_list_models(service))


@router.get("/{model:path}")
async def read_model(
    model: Annotated[str, Path(max_length=200)], service: ServiceDep, claims: CallerClaims
) -> OpenAIModel:
    """A model by its id."""
    served = {one.id: one for one in _list_models(service)}
    if model not in served:
        hint = f"Served: {', '.join(served)}."
        raise unknown_model_error(model, hint, param="model")
    return served[model]


def _list_models(service: Service) -> list[OpenAIModel]:
    states = service.model_states()
    ids = [(model.name, model.name) for model in service.admission.models]
    ids += [(alias, model.name) for model in service.admission.models for alias in model.aliases]
    return [
        OpenAIModel.model_validate(
            {
                "id": id,
                "created": MADE_AT,
                "state": states.get(name),
                "share": service.share_read(name),
                "alias_of": None if id == name else name,
            }
        )
        for id, name in ids
    ]
