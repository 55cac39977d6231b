"""The containers of PNG, JPEG and WebP: a picture's size, orientation and pixels, without anything else in its file.
Other formats are in `other_formats.py`.

Decoders are given the pixels' own parts alone, so that damaged, compressed or endless metadata (EXIF, ICC profiles,
XMP, texts, further frames) neither costs anything nor refuses a picture whose pixels are fine. Scans, segments and
chunks are counted before anything is decoded.

Sources: ITU T.81 annex B (JPEG), PNG third edition chapter 5, Google's WebP container specification.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from struct import Struct, error

from PIL import Image

from mezzotint.domain.model import MAX_SIDE_PX
from mezzotint.media.uploads.cut_off import check_scans
from mezzotint.media.uploads.other_formats import find_kind, read_head
from mezzotint.media.uploads.undecodable import Undecodable

MAX_UPLOAD_BYTES = 12 * 2**20  # a camera's JPEG
MAX_UPLOAD_PX = 4096 * 4096  # 50 MB once decoded
MIN_SIDE_PX = 8
FORMATS = "PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF"
MAX_SCANS = 64
"""Most scans of a JPEG; encoders make about 10. Each costs a pass over all blocks, even one of 45 bytes."""
MAX_PARTS = 10_000
"""Segments or chunks of one file. libpng writes chunks of 8 KiB: 1,536 of them fill the largest upload."""

PNG_MARK = b"\x89PNG\r\n\x1a\n"
PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
MARKER = re.compile(rb"\xff+([^\x00\xff\x01\xd0-\xd7])", re.DOTALL)
"""The next marker that is neither a stuffed byte nor a restart, as libjpeg looks for it."""
SOI, EOI, SOS = b"\xff\xd8", 0xD9, 0xDA
APP0, APP1, APP14, COM = 0xE0, 0xE1, 0xEE, 0xFE
SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
WEBP_PIXELS = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"}
WEBP_FLAGS = 0x10 | 0x02  # alpha and animation; those of ICC, EXIF and XMP go with their chunks
ORIENTATION = 0x0112

BIG_SHORT, BIG_LONG, LITTLE_LONG, TWO_SHORTS = Struct(">H"), Struct(">I"), Struct("<I"), Struct("<HH")
BIG_SIZE, JPEG_SIZE = Struct(">II"), Struct(">HH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """data: the file without metadata. kind: Pillow's name of the format. orientation: EXIF's, 1..8.
    may_lack_rows: the file ends within its pixels; `data` has an end mark that its sender did not send."""

    kind: str
    data: bytes
    width: int
    height: int
    orientation: int
    may_lack_rows: bool = False


def read_contents(data: bytes) -> Contents:
    """Find a picture's pixels in its file. Raises: Undecodable, also for sizes that are not taken."""
    try:
        if data.startswith(PNG_MARK):
            contents = _read_png(data)
        elif data.startswith(SOI + b"\xff"):
            contents = _read_jpeg(data)
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            contents = _read_webp(data)
        elif (kind := find_kind(data)) is not None:
            width, height, orientation = read_head(data, kind)
            contents = Contents(kind=kind, data=data, width=width, height=height, orientation=orientation)
        else:
            raise Undecodable(f"It is not a {FORMATS} picture.")
    except (error, IndexError) as cause:  # of a header that ends too early
        raise Undecodable("The picture is damaged or cut off.") from cause
    width, height = contents.width, contents.height
    if width * height > MAX_UPLOAD_PX:
        raise Undecodable(f"It has {width} x {height} px; at most {MAX_UPLOAD_PX} are taken.")
    if max(width, height) > MAX_SIDE_PX:
        raise Undecodable(f"It has {width} x {height} px; each side may have at most {MAX_SIDE_PX}.")
    if min(width, height) < MIN_SIDE_PX:
        raise Undecodable(f"It has {width} x {height} px; each side must have at least {MIN_SIDE_PX}.")
    return contents


def limit_parts(parts: Iterator[tuple[bytes, int, int]]) -> Iterator[tuple[bytes, int, int]]:
    yield from islice(parts, MAX_PARTS)
    if next(parts, None) is not None:
        raise Undecodable(f"Its file has more than {MAX_PARTS} parts.")


def _read_png(data: bytes) -> Contents:
    kept, exif = [PNG_MARK], b""
    width, height = BIG_SIZE.unpack_from(data, 16)
    for kind, begin, end in limit_parts(_png_chunks(data)):
        if kind in PNG_PIXELS:
            kept.append(data[begin:end])
        elif kind == b"eXIf":
            exif = exif or data[begin + 8 : end - 4]
    return Contents(kind="PNG", data=b"".join(kept), width=width, height=height, orientation=_read_orientation(exif))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of each chunk, its length and checksum included."""
    if data[12:16] != b"IHDR":
        raise Undecodable("The picture is damaged or cut off.")
    begin, kind = len(PNG_MARK), b""
    while kind != b"IEND" and begin + 12 <= len(data):
        (length,) = BIG_LONG.unpack_from(data, begin)
        kind, end = data[begin + 4 : begin + 8], begin + 12 + length
        yield kind, begin, end
        begin = end


def _read_jpeg(data: bytes) -> Contents:
    kept, exif, size, num_scans, marker = [SOI], b"", None, 0, 0
    for kind, begin, end in limit_parts(jpeg_segments(data)):
        marker, content = kind[0], begin + 4
        if marker in SOF and size is None:
            height, width = JPEG_SIZE.unpack_from(data, content + 1)
            size = width, height
        if marker == SOS:
            num_scans += 1
        if marker == APP1 and data[content : content + 6] == b"Exif\0\0":
            exif = exif or data[content + 6 : end]
        if APP0 <= marker <= APP0 + 15:  # a decoder needs those that define colours, and all but comments of the others
            is_needed = (marker, data[content : content + 5]) in {(APP0, b"JFIF\0"), (APP14, b"Adobe")}
        else:
            is_needed = marker != COM
        if is_needed:
            kept.append(data[begin:end])
        if num_scans > MAX_SCANS:
            raise Undecodable(f"It has more than {MAX_SCANS} scans; save it again as a baseline JPEG.")
    if size is None or num_scans == 0:
        raise Undecodable("The picture is damaged or cut off.")
    may_lack_rows = False
    if marker != EOI:
        may_lack_rows = not check_scans(kept)
        kept.append(b"\xff\xd9")
    return Contents(
        kind="JPEG",
        data=b"".join(kept),
        width=size[0],
        height=size[1],
        orientation=_read_orientation(exif),
        may_lack_rows=may_lack_rows,
    )


def jpeg_segments(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Marker, begin and end of each segment; a scan's reaches to the next marker. Bytes between them are left out."""
    found = MARKER.search(data, len(SOI))
    while found is not None:
        begin, marker = found.end() - 2, found[1][0]
        if marker == EOI:
            yield found[1], begin, begin + 2
            return
        if begin + 4 > len(data):
            return
        end = begin + 2 + BIG_SHORT.unpack_from(data, begin + 2)[0]
        found = MARKER.search(data, end)
        if end > len(data):
            return
        if marker == SOS:
            end = len(data) if found is None else found.start()
        yield bytes([marker]), begin, end


def _read_webp(data: bytes) -> Contents:
    kept, exif, size, has_frame = list[bytes](), b"", None, False
    for kind, begin, end in limit_parts(webp_chunks(data)):
        chunk = data[begin:end]
        size = size or _webp_size(kind, chunk[8:])
        if kind == b"EXIF":
            exif = exif or chunk[8:].removeprefix(b"Exif\0\0")
        if kind == b"VP8X":
            chunk = chunk[:8] + bytes([chunk[8] & WEBP_FLAGS]) + chunk[9:]
        if kind in WEBP_PIXELS and not (kind == b"ANMF" and has_frame):
            kept.append(chunk)
        has_frame = has_frame or kind == b"ANMF"
    if size is None:
        raise Undecodable("The picture is damaged or cut off.")
    body = b"WEBP" + b"".join(kept)
    return Contents(
        kind="WEBP",
        data=b"RIFF" + LITTLE_LONG.pack(len(body)) + body,
        width=size[0],
        height=size[1],
        orientation=_read_orientation(exif),
    )


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of each chunk, its header and padding included."""
    begin, last = 12, min(len(data), 8 + LITTLE_LONG.unpack_from(data, 4)[0])
    while begin + 8 <= last:
        (length,) = LITTLE_LONG.unpack_from(data, begin + 4)
        end = begin + 8 + length + length % 2
        yield data[begin : begin + 4], begin, end
        begin = end


def _webp_size(kind: bytes, content: bytes) -> tuple[int, int] | None:
    """By the header of VP8X, VP8L or VP8, whichever comes first."""
    match kind:
        case b"VP8X":
            width, height = content[4:7], content[7:10]
            return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
        case b"VP8L":
            (bits,) = LITTLE_LONG.unpack_from(content, 1)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = TWO_SHORTS.unpack_from(content, 6)
            return width & 0x3FFF, height & 0x3FFF
        case _:
            return None


def _read_orientation(exif: bytes) -> int:
    """1 where the EXIF says nothing or is damaged: a picture's pixels do not need it."""
    try:
        tags = Image.Exif()
        tags.load(exif)
        orientation = tags.get(ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - Pillow raises half a dozen kinds for damaged EXIF
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
