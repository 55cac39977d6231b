"""An invisible mark in a picture's pixels, which outlives its file: 32 bits that name a job."""

from mezzotint.provenance.watermark.mark import MIN_SIDE_PX, Found, embed_mark, find_mark

__all__ = ["MIN_SIDE_PX", "Found", "embed_mark", "find_mark"]
