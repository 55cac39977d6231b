"""Files: pictures as bytes that can be stored, named and sent."""

from mezzotint.media.content_hash import content_hash
from mezzotint.media.conversion import Format, converted
from mezzotint.media.decoding import MAX_UPLOAD_BYTES, Undecodable, decode_inverted, decode_transparent, decode_upload
from mezzotint.media.encoding import Encoded, encode, encode_png
from mezzotint.media.preview import preview_data_url

__all__ = [
    "MAX_UPLOAD_BYTES",
    "Encoded",
    "Format",
    "Undecodable",
    "content_hash",
    "converted",
    "decode_inverted",
    "decode_transparent",
    "decode_upload",
    "encode",
    "encode_png",
    "preview_data_url",
]
