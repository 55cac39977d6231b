"""Write a recipe into a picture's file, beside its pixels: as AUTOMATIC1111 writes it, and as JSON.

Only files of this server's own making are given here. A signature is dropped, since it would not hold any more: sign
afterwards.
"""

from io import BytesIO
from struct import Struct

from PIL import Image

from mezzotint.domain.drawing.recipe import Recipe
from mezzotint.media.metadata.avif import encode_avif
from mezzotint.media.metadata.exif import MARK as EXIF_MARK
from mezzotint.media.metadata.exif import build_exif
from mezzotint.media.metadata.infotext import KEYWORD, format_infotext
from mezzotint.media.metadata.png_text import MARK as PNG_MARK
from mezzotint.media.metadata.png_text import replace_texts
from mezzotint.media.metadata.recipe_json import format_recipe
from mezzotint.media.metadata.xmp import build_packet
from mezzotint.media.uploads.container import APP1, jpeg_segments, webp_chunks

JSON_KEYWORD = "mezzotint"
"""Keyword of the JSON text in a PNG."""
XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
HAS_EXIF, HAS_XMP, HAS_ALPHA = 0x08, 0x04, 0x10
LONG, SHORT = Struct("<I"), Struct(">H")
JFIF = 0xE0


def embed_recipe(file: bytes, recipe: Recipe) -> bytes:
    """The same pixels with the recipe, in the place of any that the file has. file: PNG, WebP or JPEG; what is none of
    them comes back as it is."""
    infotext, record = format_infotext(recipe), format_recipe(recipe)
    if file.startswith(PNG_MARK):
        return replace_texts(file, {KEYWORD: infotext, JSON_KEYWORD: record})
    exif, packet = build_exif(infotext), build_packet(record)
    return _embed_webp(file, exif, packet) if file[:4] == b"RIFF" else _embed_jpeg(file, exif, packet)


def convert_to_avif(stored: bytes, recipe: Recipe | None) -> bytes:
    """A stored PNG or WebP as AVIF, with the recipe inside, where there is one."""
    if recipe is None:
        return encode_avif(stored)
    return encode_avif(stored, build_exif(format_infotext(recipe)), build_packet(format_recipe(recipe)))


def _embed_webp(file: bytes, exif: bytes, packet: bytes) -> bytes:
    """Source: Google's WebP container specification; the chunk VP8X must say what else there is."""
    chunks = {kind: file[begin:end] for kind, begin, end in webp_chunks(file)}  # none of ours is an animation
    head = chunks.pop(b"VP8X", b"")
    flags = head[8] if head else 0
    with Image.open(BytesIO(file), formats=["WEBP"]) as picture:
        (width, height), flags = picture.size, flags | (HAS_ALPHA if picture.mode == "RGBA" else 0)
    size = LONG.pack(width - 1)[:3] + LONG.pack(height - 1)[:3]
    kept = [chunk for kind, chunk in chunks.items() if kind not in {b"EXIF", b"XMP ", b"C2PA"}]
    head = _build_chunk(b"VP8X", bytes([flags | HAS_EXIF | HAS_XMP, 0, 0, 0]) + size)
    body = b"WEBP" + b"".join([head, *kept, _build_chunk(b"EXIF", exif), _build_chunk(b"XMP ", packet)])
    return b"RIFF" + LONG.pack(len(body)) + body


def _build_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + LONG.pack(len(content)) + content + bytes(len(content) % 2)


def _embed_jpeg(file: bytes, exif: bytes, packet: bytes) -> bytes:
    """Behind the JFIF segment, where there is one, as EXIF wants it."""
    first = next(jpeg_segments(file), None)
    if first is None:
        return file  # damaged where it is stored: nothing more is added
    marker, _, end = first
    begin = end if marker[0] == JFIF else 2
    segments = [
        bytes([0xFF, APP1]) + SHORT.pack(len(content) + 2) + content
        for content in (EXIF_MARK + exif, XMP_MARK + packet)
    ]
    return file[:begin] + b"".join(segments) + file[begin:]
