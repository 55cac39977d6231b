"""Between a decoder process and its pool: one request, one answer, over pipes."""

from struct import Struct

from mezzotint.media.uploads.decode import Reading

READY = b"+"
"""Sent once, when the process can decode."""
REQUEST = Struct(">BI")
"""Index of the reading, bytes of the file that follows."""
ANSWER = Struct(">BIIII")
"""Outcome, width, height, bytes of the PNG or of the message, bytes of the view; the last two follow."""
DECODED, REFUSED, OUT_OF_MEMORY = range(3)
READINGS = tuple(Reading)
