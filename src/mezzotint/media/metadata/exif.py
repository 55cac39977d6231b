"""The EXIF tag UserComment, in which AUTOMATIC1111's web UI keeps its text in JPEG, WebP and AVIF.

Source: EXIF 2.32, 4.6.5: eight bytes name the characters' code. "UNICODE" does not tell the order of bytes; the web UI
writes the greater first.
"""

from PIL import Image

EXIF_IFD, USER_COMMENT = 0x8769, 0x9286
UNICODE, ASCII, UNDEFINED = b"UNICODE\0", b"ASCII\0\0\0", bytes(8)
MARK = b"Exif\0\0"
MAX_BYTES = 256 * 1024


def build_exif(text: str) -> bytes:
    """The EXIF block, without the mark before it."""
    tags = Image.Exif()
    tags.get_ifd(EXIF_IFD)[USER_COMMENT] = UNICODE + text.encode("utf-16-be", "replace")
    return tags.tobytes().removeprefix(MARK)


def read_comment(exif: bytes) -> str:
    """The text of UserComment; empty where there is none, or the block is damaged or larger than MAX_BYTES."""
    if not exif or len(exif) > MAX_BYTES:
        return ""
    try:
        tags = Image.Exif()
        tags.load(MARK + exif.removeprefix(MARK))
        comment = tags.get_ifd(EXIF_IFD).get(USER_COMMENT, b"")
    except Exception:  # noqa: BLE001 - Pillow raises half a dozen kinds for damaged EXIF
        return ""
    if isinstance(comment, str):
        return comment.strip("\0")
    return _decode(comment) if isinstance(comment, bytes) else ""


def _decode(comment: bytes) -> str:
    code, text = comment[:8], comment[8:]
    if code == UNICODE:
        if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return text.decode("utf-16", "replace")
        is_little = text[1::2].count(0) > text[0::2].count(0)
        return text.decode("utf-16-le" if is_little else "utf-16-be", "replace")
    if code in (ASCII, UNDEFINED):
        return text.decode("utf-8", "replace").strip("\0")
    return ""
