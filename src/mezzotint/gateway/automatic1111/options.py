"""The models, samplers and options that front ends of the AUTOMATIC1111 API read before they draw."""

from fastapi import APIRouter

from mezzotint.domain.drawing.sampler import SAMPLERS
from mezzotint.gateway.automatic1111.auth import BasicCallerClaims
from mezzotint.gateway.automatic1111.errors import SdapiRoute
from mezzotint.gateway.automatic1111.schemas import SdModel, SdOptions, SdSampler, describe_sdapi_errors
from mezzotint.gateway.automatic1111.txt2img import check_checkpoint
from mezzotint.gateway.dependencies import ServiceDep

router = APIRouter(
    prefix="/sdapi/v1",
    tags=["automatic1111"],
    route_class=SdapiRoute,
    responses=describe_sdapi_errors(400, 401, 403, 404, 422, 503),
)


@router.get("/sd-models")
async def list_sd_models(service: ServiceDep, claims: BasicCallerClaims) -> list[SdModel]:
    """The models that can be asked for."""
    names = [model.name for model in service.admission.models]
    return [SdModel(title=name, model_name=name, filename=name) for name in names]


@router.get("/samplers")
async def list_samplers(service: ServiceDep, claims: BasicCallerClaims) -> list[SdSampler]:
    """The samplers that the model can be given; none where only its own suits it."""
    known = {sampler.name: sampler for sampler in SAMPLERS}
    return [SdSampler(name=name, aliases=list(known[name].aliases)) for name in service.admission.model.samplers]


@router.get("/options")
async def read_options(service: ServiceDep, claims: BasicCallerClaims) -> SdOptions:
    return SdOptions(sd_model_checkpoint=service.admission.model.name)


@router.post("/options")
async def set_options(body: SdOptions, service: ServiceDep, claims: BasicCallerClaims) -> None:
    """Takes the model that is served and refuses another; all else is ignored, since it would be set for everybody."""
    check_checkpoint(service, body.sd_model_checkpoint)
