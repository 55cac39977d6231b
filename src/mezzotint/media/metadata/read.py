"""Read the recipe of a picture's file: this server's own, or that of AUTOMATIC1111's web UI.

The files come from outside. No pixel is decoded; parts are counted, and texts are bounded.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from struct import error as struct_error

from mezzotint.domain.drawing.recipe import Recipe
from mezzotint.media.metadata.avif import is_avif, read_avif
from mezzotint.media.metadata.embed import JSON_KEYWORD, XMP_MARK
from mezzotint.media.metadata.exif import MARK as EXIF_MARK
from mezzotint.media.metadata.exif import read_comment
from mezzotint.media.metadata.infotext import KEYWORD, parse_infotext, to_recipe
from mezzotint.media.metadata.png_text import MARK as PNG_MARK
from mezzotint.media.metadata.png_text import read_texts
from mezzotint.media.metadata.recipe_json import parse_recipe
from mezzotint.media.metadata.xmp import read_packet
from mezzotint.media.uploads.container import APP1, jpeg_segments, limit_parts, webp_chunks
from mezzotint.media.uploads.undecodable import Undecodable

JPEG_MARK = b"\xff\xd8\xff"
FORMATS = "PNG, JPEG, WebP or AVIF"


class Origin(StrEnum):
    """The program in whose format a file's recipe is written."""

    MEZZOTINT = "mezzotint"
    AUTOMATIC1111 = "automatic1111"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMetadata:
    """kind: PNG, JPEG, WEBP or AVIF. recipe, origin: None where the file tells none. pairs: what the text of
    AUTOMATIC1111's manner says, by name. others: keywords of further texts of a PNG, such as ComfyUI's."""

    kind: str
    recipe: Recipe | None = None
    origin: Origin | None = None
    pairs: dict[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()


def read_metadata(file: bytes) -> FileMetadata:
    """Raises: Undecodable for what is no PNG, JPEG, WebP or AVIF, or is damaged before its metadata."""
    if file.startswith(PNG_MARK):
        texts = read_texts(file)
        record, infotext = texts.pop(JSON_KEYWORD, ""), texts.pop(KEYWORD, "")
        found = FileMetadata(kind="PNG", others=tuple(sorted(texts)))
    else:
        kind, exif, packet = _read_blocks(file)
        record, infotext = read_packet(packet), read_comment(exif)
        found = FileMetadata(kind=kind)
    pairs = parse_infotext(infotext)
    if (recipe := parse_recipe(record)) is not None:
        return replace(found, recipe=recipe, origin=Origin.MEZZOTINT, pairs=pairs)
    if (recipe := to_recipe(pairs)) is not None:
        return replace(found, recipe=recipe, origin=Origin.AUTOMATIC1111, pairs=pairs)
    return found


def read_file_texts(file: bytes) -> dict[str, str]:
    """The texts of a PNG by keyword; of other files the web UI's text alone, by the keyword that it has in a PNG."""
    if file.startswith(PNG_MARK):
        return read_texts(file)
    try:
        _, exif, _ = _read_blocks(file)
    except Undecodable:
        return {}
    comment = read_comment(exif)
    return {KEYWORD: comment} if comment else {}


def _read_blocks(file: bytes) -> tuple[str, bytes, bytes]:
    """Format, EXIF without its mark, XMP packet. Raises: Undecodable."""
    try:
        if file.startswith(JPEG_MARK):
            return "JPEG", *_read_jpeg(file)
        if file[:4] == b"RIFF" and file[8:12] == b"WEBP":
            return "WEBP", *_read_webp(file)
        if is_avif(file):
            return "AVIF", *read_avif(file)
    except (struct_error, IndexError) as cause:
        raise Undecodable("The picture is damaged or cut off.") from cause
    raise Undecodable(f"It is not a {FORMATS} file.")


def _read_jpeg(file: bytes) -> tuple[bytes, bytes]:
    exif = packet = b""
    for kind, begin, end in limit_parts(jpeg_segments(file)):
        content = file[begin + 4 : end] if kind[0] == APP1 else b""
        if content.startswith(EXIF_MARK):
            exif = exif or content.removeprefix(EXIF_MARK)
        elif content.startswith(XMP_MARK):
            packet = packet or content.removeprefix(XMP_MARK)
    return exif, packet


def _read_webp(file: bytes) -> tuple[bytes, bytes]:
    found = {b"EXIF": b"", b"XMP ": b""}
    for kind, begin, end in limit_parts(webp_chunks(file)):
        if kind in found and not found[kind]:
            found[kind] = file[begin + 8 : end]
    return found[b"EXIF"].removeprefix(EXIF_MARK), found[b"XMP "].rstrip(b"\0")
