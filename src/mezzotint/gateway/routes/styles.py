"""The styles (LoRA) that a caller may ask for."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query

from mezzotint.domain.refusal import Refusal
from mezzotint.domain.task import Task
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.errors import translate_refusal
from mezzotint.gateway.schemas import describe_errors
from mezzotint.gateway.style_schemas import StyleList, StyleView
from mezzotint.policy.admission.model_choice import choose_model
from mezzotint.policy.admission.styles import list_usable_styles

router = APIRouter(tags=["about"])


@router.get("/v1/styles", responses=describe_errors(401, 404, 422))
async def list_styles(
    service: ServiceDep,
    claims: CallerClaims,
    model: Annotated[
        str | None, Query(max_length=200, description="one of GET /v1/models, which they must fit; default: any")
    ] = None,
) -> StyleList:
    """The styles that your tier may ask for."""
    chosen = None if model is None else choose_model(service.admission.models, model, Task.GENERATE, "")
    if isinstance(chosen, Refusal):
        raise translate_refusal(replace(chosen, param="model"))
    usable = list_usable_styles(service.admission.styles, claims.tier, chosen.name if chosen else None)
    return StyleList(styles=[StyleView.model_validate(style, from_attributes=True) for style in usable])
