"""Routes of files: a finished picture with its recipe inside, and the recipe of a file from outside."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from mezzotint.gateway.auth.ownership import find_job
from mezzotint.gateway.bodies.large_bodies import read_body, reserve_memory
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.image_requests import finish_file, make_avif, read_image
from mezzotint.gateway.routes.jobs import Id
from mezzotint.gateway.schemas import NewJob, describe_errors
from mezzotint.media import convert_picture
from mezzotint.media.metadata import Origin, read_metadata
from mezzotint.media.uploads import MAX_UPLOAD_BYTES, Undecodable
from mezzotint.policy.admission.draw_again import plan_again
from mezzotint.policy.admission.styles import list_usable_styles

router = APIRouter(tags=["images"])
FORMS = ("png", "webp", "jpeg", "avif")
JPEG_QUALITY = 95
Name = Annotated[
    str, Path(pattern=r"^[0-9]{1,3}\.(png|webp|jpeg|avif)$", description="<position>.png, .webp, .jpeg or .avif")
]
BYTES = {f"image/{form}": {"schema": {"type": "string", "format": "binary"}} for form in FORMS}
BODY = {"required": True, "content": BYTES}


class Inspected(BaseModel):
    origin: Origin = Field(description="whose words the recipe is written in")
    software: str | None = Field(description="what drew the picture, where the file tells it")
    prompt: str = Field(description="as one would type it here, with `--` parameters")
    request: NewJob = Field(description="for POST /v1/jobs: draws it again, as far as this server can")
    notes: list[str] = Field(description="what of the file this server cannot follow, and what it does instead")
    pairs: dict[str, str] = Field(description="what the text in AUTOMATIC1111's manner says, by name")


@router.get(
    "/v1/jobs/{job_id}/files/{name}",
    response_class=Response,
    responses={200: {"content": BYTES}, **describe_errors(401, 404, 422, 503)},
)
async def download_file(job_id: Id, name: Name, service: ServiceDep, claims: CallerClaims) -> Response:
    """A picture of a job of yours with its prompt, seed and settings inside, unless your tenant wants that nowhere."""
    job = await find_job(service, claims, job_id)
    position, _, form = name.partition(".")
    image = next((one for one in job.images if one.position == int(position)), None)
    if image is None:
        raise ApiError("image_not_found", hint="The job's `images` lists them; the first is 0.")
    is_webp = form == "webp"
    stored = await read_image(service, image.webp if is_webp else image.png, "webp" if is_webp else "png")
    if form == "avif":
        file = await make_avif(service, job, stored)
    else:
        data = stored if form != "jpeg" else await asyncio.to_thread(convert_picture, stored, "jpeg", JPEG_QUALITY)
        file = await finish_file(service, job, data, stored)
    headers = {"Content-Disposition": f'attachment; filename="{job.id}-{position}.{form}"'}
    return Response(file, media_type=f"image/{form}", headers=headers)


@router.post(
    "/v1/inspect",
    responses=describe_errors(401, 408, 413, 422, 429, 503),
    openapi_extra={"requestBody": BODY},
)
async def inspect_file(request: Request, service: ServiceDep, claims: CallerClaims) -> Inspected:
    """Read how a picture was drawn from its file: a PNG, JPEG, WebP or AVIF as the raw body, made here or by
    AUTOMATIC1111's web UI. Nothing is kept."""
    with reserve_memory(request, claims, MAX_UPLOAD_BYTES):
        body = await read_body(request, MAX_UPLOAD_BYTES)
        try:
            found = await asyncio.to_thread(read_metadata, body)
        except Undecodable as error:
            raise ApiError("upload_invalid", message=str(error), hint="Send a PNG, JPEG, WebP or AVIF.") from None
    if found.recipe is None or found.origin is None:
        told = f"Its texts are of another kind: {', '.join(found.others[:5])}. " if found.others else ""
        raise ApiError("recipe_missing", hint=f"{told}Sites and messengers often remove it; ask for the original file.")
    again = plan_again(
        found.recipe, service.admission.models, list_usable_styles(service.admission.styles, claims.tier)
    )
    return Inspected(
        origin=found.origin,
        software=found.recipe.software,
        prompt=again.typed,
        request=NewJob(**again.fields),
        notes=list(again.notes),
        pairs=found.pairs,
    )
