"""The metadata of AVIF files: written as they are encoded, and found by the boxes of the container alone.

Sources: ISO/IEC 14496-12 8.11 (`meta`, `iinf`, `iloc`), ISO/IEC 23008-12 annex A (the items of EXIF and XMP).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from mezzotint.media.uploads.container import MAX_PARTS, limit_parts
from mezzotint.media.uploads.other_formats import find_kind
from mezzotint.media.uploads.undecodable import Undecodable

EXIF, XMP = b"Exif", b"application/rdf+xml"
QUALITY = 90
SPEED = 6
"""The encoder's own default, of 0..10: a picture of a megapixel takes about a second."""


def is_avif(file: bytes) -> bool:
    return find_kind(file) == "AVIF"


def encode_avif(stored: bytes, exif: bytes = b"", packet: bytes = b"") -> bytes:
    """A stored PNG or WebP as AVIF. exif: without its mark. packet: of XMP. Empty ones are left out."""
    with Image.open(BytesIO(stored), formats=("PNG", "WEBP")) as picture:
        pixels = picture.convert("RGB")
    pixels.info.clear()
    buffer = BytesIO()
    more = {"exif": exif, "xmp": packet, "subsampling": "4:4:4", "max_threads": 1}
    pixels.save(buffer, "AVIF", quality=QUALITY, speed=SPEED, **more)
    return buffer.getvalue()


def read_avif(file: bytes) -> tuple[bytes, bytes]:
    """EXIF without its mark, and the XMP packet; empty where there is none. Raises: Undecodable, IndexError."""
    meta = next((one for one in _read_boxes(file, 0, len(file)) if one.kind == b"meta"), None)
    if meta is None:
        return b"", b""
    boxes = {one.kind: one for one in reversed([*_read_boxes(file, meta.begin + 4, meta.end)])}
    if b"iinf" not in boxes or b"iloc" not in boxes:
        return b"", b""
    wanted = _read_kinds(file, boxes[b"iinf"])
    base = boxes[b"idat"].begin if b"idat" in boxes else 0
    found = {wanted[item]: content for item, content in _read_places(file, boxes[b"iloc"], base) if item in wanted}
    exif = found.get(EXIF, b"")
    return exif[4 + int.from_bytes(exif[:4]) :], found.get(XMP, b"")  # it begins with where its TIFF header is


@dataclass(frozen=True, slots=True, kw_only=True)
class AvifBox:
    """begin, end: of what is behind its head."""

    kind: bytes
    begin: int
    end: int


def _read_boxes(file: bytes, begin: int, end: int) -> Iterator[AvifBox]:
    def parts() -> Iterator[tuple[bytes, int, int]]:
        at = begin
        while at + 8 <= end:
            size, kind, head = int.from_bytes(file[at : at + 4]), file[at + 4 : at + 8], 8
            if size == 1:
                size, head = int.from_bytes(file[at + 8 : at + 16]), 16
            following = end if size == 0 else at + size
            if not at + head <= following <= end:
                raise Undecodable("The picture is damaged or cut off.")
            yield kind, at + head, following
            at = following

    for kind, first, last in limit_parts(parts()):
        yield AvifBox(kind=kind, begin=first, end=last)


class ByteReader:
    """Reads numbers one behind the other. Raises IndexError at the end of the file."""

    def __init__(self, file: bytes, at: int) -> None:
        self.file, self.at = file, at

    def read(self, size: int) -> int:
        """size: bytes; 0 gives 0."""
        if self.at + size > len(self.file):
            raise IndexError
        self.at += size
        return int.from_bytes(self.file[self.at - size : self.at])


def _read_kinds(file: bytes, box: AvifBox) -> dict[int, bytes]:
    """Items of EXIF and XMP, by their numbers."""
    found = {}
    at = box.begin + 4 + (2 if file[box.begin] == 0 else 4)
    for entry in _read_boxes(file, at, box.end):
        version = file[entry.begin]
        if entry.kind != b"infe" or version < 2:
            continue
        reader = ByteReader(file, entry.begin + 4)
        item = reader.read(2 if version == 2 else 4)
        kind = file[reader.at + 2 : reader.at + 6]
        if kind == b"mime":
            kind = file[reader.at + 6 : entry.end].split(b"\0")[1:2][0]
        if kind in {EXIF, XMP}:
            found[item] = kind
    return found


def _read_places(file: bytes, box: AvifBox, base: int) -> Iterator[tuple[int, bytes]]:
    """Items by their numbers, each of one extent. base: where those of the box `idat` begin."""
    version, reader = file[box.begin], ByteReader(file, box.begin + 4)
    sizes = reader.read(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    number_size = 2 if version < 2 else 4
    num_items, num_read = reader.read(number_size), 0
    for _ in range(num_items):
        item = reader.read(number_size)
        method = reader.read(2) & 15 if version else 0
        reader.read(2)
        start = reader.read(base_size) + (base if method == 1 else 0)
        num_extents = reader.read(2)
        num_read += 1 + num_extents
        if num_read > MAX_PARTS:
            raise Undecodable(f"Its file has more than {MAX_PARTS} parts.")
        for _ in range(num_extents):
            reader.read(index_size if version else 0)
            first = start + reader.read(offset_size)
            last = first + reader.read(length_size)
            if num_extents == 1 and method < 2:
                yield item, file[first:last]
