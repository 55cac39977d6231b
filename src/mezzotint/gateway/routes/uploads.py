"""Routes of uploads: pictures that a job may start from. They are never delivered, not even to their sender."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from mezzotint.actions.upload import KEPT, remove, upload
from mezzotint.domain.ids import Sha256
from mezzotint.domain.refusal import Refusal
from mezzotint.gateway.auth.ownership import find_owners_of_upload
from mezzotint.gateway.bodies.large_bodies import read_body, reserve_memory
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.errors import ApiError, translate_refusal
from mezzotint.gateway.schemas import UploadView, describe_errors
from mezzotint.media.uploads import MAX_UPLOAD_BYTES

router = APIRouter(tags=["uploads"])
KINDS = tuple(f"image/{kind}" for kind in ("png", "jpeg", "webp", "gif", "bmp", "tiff", "avif"))
BODY = {
    "required": True,
    "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in KINDS},
}


@router.post(
    "/v1/uploads",
    status_code=201,
    responses=describe_errors(401, 408, 413, 422, 429, 503),
    openapi_extra={"requestBody": BODY},
)
async def create_upload(request: Request, service: ServiceDep, claims: CallerClaims) -> UploadView:
    """Take a PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF as the raw body: a `source` or a `mask` of later jobs."""
    with reserve_memory(request, claims, MAX_UPLOAD_BYTES):
        body = await read_body(request, MAX_UPLOAD_BYTES)
        source = await upload(service.uploader, body, claims, service.now())
    if isinstance(source, Refusal):
        raise translate_refusal(source)
    return UploadView(id=source.content, width=source.width, height=source.height, expires_at=service.now() + KEPT)


@router.delete("/v1/uploads/{upload_id}", status_code=204, responses=describe_errors(401, 403, 404, 409, 422, 429, 503))
async def delete_upload(
    upload_id: Annotated[str, Path(max_length=64, description="the upload's id")],
    service: ServiceDep,
    claims: CallerClaims,
) -> Response:
    """Delete an upload of mine, unless a job that has not ended begins with it."""
    owners = await find_owners_of_upload(service, claims, upload_id)
    if not await remove(service.uploader, claims.tenant, Sha256(upload_id), owners):
        hint = "Wait until the job ends, or cancel it."
        raise ApiError("upload_in_use", hint=hint)
    return Response(status_code=204)
