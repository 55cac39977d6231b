"""png-info of the AUTOMATIC1111 API: how a picture was made, as its file tells it."""

import asyncio

from fastapi import APIRouter, Request

from mezzotint.gateway.automatic1111.auth import BasicCallerClaims
from mezzotint.gateway.automatic1111.errors import SdapiRoute
from mezzotint.gateway.automatic1111.pictures import decode_picture
from mezzotint.gateway.automatic1111.schemas import PngInfo, PngInfoFound, describe_sdapi_errors
from mezzotint.gateway.bodies.large_bodies import MAX_PICTURES_BYTES, describe_json_body, read_json, reserve_memory
from mezzotint.media.metadata import read_file_texts
from mezzotint.media.metadata.infotext import KEYWORD, parse_infotext

router = APIRouter(
    prefix="/sdapi/v1",
    tags=["automatic1111"],
    route_class=SdapiRoute,
    responses=describe_sdapi_errors(400, 401, 403, 408, 413, 422, 429, 503),
)


@router.post("/png-info", openapi_extra={"requestBody": describe_json_body(PngInfo)})
async def read_png_info(request: Request, claims: BasicCallerClaims) -> PngInfoFound:
    """The texts of a PNG, and the web UI's text of a JPEG, WebP or AVIF. No pixel is read, and nothing is kept."""
    with reserve_memory(request, claims, MAX_PICTURES_BYTES):
        body = await read_json(request, PngInfo)
        texts = await asyncio.to_thread(read_file_texts, await decode_picture("image", body.image))
    info = texts.get(KEYWORD, "")
    return PngInfoFound(info=info, items=texts, parameters=await asyncio.to_thread(parse_infotext, info))
