"""Pictures in base64, as the AUTOMATIC1111 API's requests carry them."""

from mezzotint.domain.claims import Claims
from mezzotint.domain.ids import Sha256
from mezzotint.gateway.bodies.large_bodies import decode_base64
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.image_requests import upload_image
from mezzotint.gateway.service import Service
from mezzotint.media.uploads import Reading


async def decode_picture(field: str, text: str) -> bytes:
    """The file's bytes. text: base64, plain or as a data: URL."""
    try:
        return await decode_base64(text)
    except ValueError:
        raise ApiError(
            "upload_invalid", message=f'"{field}" is not base64.', hint="Send the file's bytes.", param=field
        ) from None


async def upload_picture(
    service: Service, claims: Claims, field: str, text: str, reading: Reading = Reading.PICTURE
) -> Sha256:
    """Store a picture as an upload. Returns its name."""
    return await upload_image(service, claims, field, await decode_picture(field, text), reading)
