"""Pictures from outside: their containers read, their pixels decoded in processes of their own.

What a decoder process needs is here; the server's side is `decoder_pool.py`.
"""

from mezzotint.media.uploads.container import MAX_UPLOAD_BYTES
from mezzotint.media.uploads.decode import Decoded, Reading
from mezzotint.media.uploads.undecodable import Undecodable

__all__ = ["MAX_UPLOAD_BYTES", "Decoded", "Reading", "Undecodable"]
