"""Files: pictures as bytes that can be stored, named and sent."""

from mezzotint.media.blurring import blur_picture
from mezzotint.media.content_hash import content_hash
from mezzotint.media.conversion import Format, convert_picture
from mezzotint.media.encoding import Encoded, encode
from mezzotint.media.preview import preview_data_url

__all__ = [
    "Encoded",
    "Format",
    "blur_picture",
    "content_hash",
    "convert_picture",
    "encode",
    "preview_data_url",
]
