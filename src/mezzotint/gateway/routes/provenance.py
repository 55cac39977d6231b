"""The route of a picture's origin, as its own file tells it."""

import asyncio
from dataclasses import asdict

from fastapi import APIRouter

from mezzotint.gateway.auth.ownership import find_job
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.image_requests import read_image
from mezzotint.gateway.routes.jobs import Id
from mezzotint.gateway.schemas import ImageOrigin, ImageOrigins, describe_errors
from mezzotint.provenance import ContentCredentials, NoPicture, Validity, read_credentials

router = APIRouter(tags=["images"], responses=describe_errors(401, 404, 422, 503))


@router.get("/v1/jobs/{job_id}/provenance")
async def read_provenance(job_id: Id, service: ServiceDep, claims: CallerClaims) -> ImageOrigins:
    """The content credentials of a job's pictures, and whether they hold: read from the stored files."""
    job = await find_job(service, claims, job_id)
    origins = []
    for image in job.images:
        file = await read_image(service, image.png, "png")
        try:
            found = await asyncio.to_thread(read_credentials, file, service.trust_anchors)
        except NoPicture:  # damaged where it is stored
            found = ContentCredentials(validity=Validity.ABSENT)
        origins.append(ImageOrigin(png=image.png, **asdict(found)))
    return ImageOrigins(images=origins)
