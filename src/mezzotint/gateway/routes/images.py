"""Routes of pictures: the caller's history, and delivery by content hash.

`/i/<sha256>` needs no token: nobody can guess the hash of a picture's bytes without the picture. So a CDN and an <img>
can deliver it (docs/decisions/0002).
"""

import re
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from mezzotint.actions.finish import image_key
from mezzotint.domain.claims import Scope
from mezzotint.domain.errors import PictureTakenDown
from mezzotint.domain.ids import Sha256
from mezzotint.gateway.auth.authenticate import authenticate
from mezzotint.gateway.auth.ownership import Of, Whose, list_owners
from mezzotint.gateway.cursor import Cursor, next_cursor
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.picture_response import PictureVersion, respond_with_picture
from mezzotint.gateway.schemas import HistoryImage, ImagePage, describe_errors
from mezzotint.gateway.service import Service
from mezzotint.policy.safety.takedown import sees_tombstone

router = APIRouter(tags=["images"])
NAME = re.compile(r"([0-9a-f]{64})\.(webp|png)")
MAX_WORDS = 8
"""Limit of words in one search; more would only make it slower."""
BYTES = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/webp", "image/png")}
IMMUTABLE = "public, max-age=31536000, immutable"


@router.get("/v1/images", responses=describe_errors(401, 403, 422, 503))
async def list_images(
    service: ServiceDep,
    claims: CallerClaims,
    cursor: Cursor,
    *,
    limit: Annotated[int, Query(ge=1, le=100)] = 24,
    of: Of = Whose.MINE,
    q: Annotated[str, Query(max_length=200, description="words that stand in the prompt")] = "",
) -> ImagePage:
    """Your pictures, newest first."""
    words = tuple(q.split()[:MAX_WORDS])
    entries = await service.images.of_tenant(claims.tenant, limit, cursor, words, list_owners(claims, of))
    pictures = [
        HistoryImage.of(
            entry.image,
            job_id=entry.image.job,
            prompt=entry.raw_prompt,
            created_at=entry.image.created_at,
            owner=entry.owner or None,
        )
        for entry in entries
    ]
    return ImagePage(images=pictures, next_cursor=next_cursor([entry.seq for entry in entries], limit))


@router.get(
    "/i/{name}",
    response_class=Response,
    responses={
        200: {"content": BYTES, "description": "the whole file"},
        206: {"content": BYTES, "description": "the range that was asked for"},
        304: {"description": "the caller has it, by If-None-Match or If-Modified-Since"},
        416: {"description": "the file has no such range"},
        **describe_errors(404, 410, 422, 503),
    },
)
async def download_image(
    name: Annotated[str, Path(description="<sha256>.webp or .png", max_length=80)],
    request: Request,
    service: ServiceDep,
) -> Response:
    """A picture's bytes, for ever the same."""
    match = NAME.fullmatch(name)
    data = published_at = None
    if match is not None:
        published_at = await service.images.published_at(Sha256(match[1]))
    if match is not None and published_at is not None:
        data = await service.backing.objects.get(image_key(Sha256(match[1]), match[2]))
    if match is None or published_at is None or data is None:
        if match is not None:
            await check_tombstone(service, request, Sha256(match[1]))
        raise ApiError("image_not_found", hint="GET /v1/images lists yours.")
    version = PictureVersion(etag=f'"{match[1]}"', modified_at=published_at)
    headers = {"Cache-Control": IMMUTABLE}  # a file name here would win over the better one of the page's links
    return respond_with_picture(request, data, match[2], version, headers)


async def check_tombstone(service: Service, request: Request, content: Sha256) -> None:
    """Answers 410 to callers who saw the picture in their lists before it was taken down. To all others there is no
    such picture: whether one was taken down is told to nobody who only knows its hash."""
    owners = await service.takedowns.takedowns.owners_of_withdrawn(content)
    if not owners:
        return
    claims = None
    with suppress(ApiError):  # without a credential, or with one that is over: a stranger
        claims = await authenticate(service, request, is_safe=True)
    if claims is not None and Scope.READ in claims.scopes and sees_tombstone(claims, owners):
        raise ApiError("picture_taken_down", hint=PictureTakenDown.hint)
