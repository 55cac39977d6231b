"""Files: pictures as bytes that can be stored, named and sent."""

from mezzotint.media.content_hash import content_hash
from mezzotint.media.encoding import Encoded, encode
from mezzotint.media.preview import preview_data_url

__all__ = ["Encoded", "content_hash", "encode", "preview_data_url"]
