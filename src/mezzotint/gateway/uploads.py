"""The route of uploads: pictures that a job may begin with. They are delivered to nobody, their sender included."""

from fastapi import APIRouter, Request

from mezzotint.actions.upload import KEPT, upload
from mezzotint.domain.refusal import Refusal
from mezzotint.gateway.bodies import read_body
from mezzotint.gateway.errors import refused
from mezzotint.gateway.service import SignedIn, The
from mezzotint.gateway.shapes import UploadView, answers
from mezzotint.media import MAX_UPLOAD_BYTES

router = APIRouter(tags=["uploads"])
BODY = {
    "required": True,
    "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/*",)},
}


@router.post(
    "/v1/uploads", status_code=201, responses=answers(401, 413, 422, 429, 503), openapi_extra={"requestBody": BODY}
)
async def create(request: Request, service: The, claims: SignedIn) -> UploadView:
    """Take a PNG, JPEG or WebP picture as the raw body, as a `source` or a `mask` of later jobs."""
    source = await upload(service.intake, await read_body(request, MAX_UPLOAD_BYTES), claims, service.now())
    if isinstance(source, Refusal):
        raise refused(source)
    return UploadView(id=source.content, width=source.width, height=source.height, expires_at=service.now() + KEPT)
