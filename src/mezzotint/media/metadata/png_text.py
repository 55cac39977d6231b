"""Texts inside PNG files, read and written without touching the pixels.

Source: PNG, third edition, 11.3.3. The files read here come from outside: what they hold is bounded.
"""

import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from struct import Struct

MARK = b"\x89PNG\r\n\x1a\n"
HEAD_BYTES = 33
"""The mark and the header, behind which other chunks begin."""
MAX_CHUNKS = 10_000
MAX_TEXTS = 100
MAX_TEXT_BYTES = 64 * 1024
"""Size limit of one text, once it is decompressed; a longer one is left out."""
LENGTH = Struct(">I")
SIGNATURE = b"caBX"
"""The chunk of a C2PA manifest."""


def add_text(png: bytes, keyword: str, text: str) -> bytes:
    """The same picture with one more text. keyword: 1 to 79 Latin-1 characters."""
    key = keyword.encode("latin-1")
    try:
        chunk = _build_chunk(b"tEXt", key + b"\0" + text.encode("latin-1"))
    except UnicodeEncodeError:
        chunk = _build_chunk(b"iTXt", key + bytes(5) + text.encode("utf-8", "replace"))
    return png[:HEAD_BYTES] + chunk + png[HEAD_BYTES:]


def replace_texts(png: bytes, texts: dict[str, str]) -> bytes:
    """The same picture with these texts by keyword, in the place of those of the same keywords; without a signature."""
    head, rest = png[:HEAD_BYTES], []
    for kind, content in _read_chunks(png):
        is_replaced = kind in READERS and content.partition(b"\0")[0].decode("latin-1") in texts
        if kind not in {b"IHDR", SIGNATURE} and not is_replaced:
            rest.append(_build_chunk(kind, content))
    bare = head + b"".join(rest)
    for keyword, text in reversed(texts.items()):
        bare = add_text(bare, keyword, text)
    return bare


def read_texts(png: bytes) -> dict[str, str]:
    """Texts by keyword, the first of each; none of what is no PNG. Damaged ones are left out."""
    if not png.startswith(MARK):
        return {}
    texts: dict[str, str] = {}
    chunks = ((kind, content) for kind, content in islice(_read_chunks(png), MAX_CHUNKS) if kind in READERS)
    for kind, content in islice(chunks, MAX_TEXTS):
        keyword, _, rest = content.partition(b"\0")
        with suppress(ValueError, IndexError, zlib.error):
            texts.setdefault(keyword.decode("latin-1"), READERS[kind](rest))
    return texts


def _build_chunk(kind: bytes, content: bytes) -> bytes:
    return LENGTH.pack(len(content)) + kind + content + LENGTH.pack(zlib.crc32(kind + content))


def _read_chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(MARK)
    while at + 12 <= len(png):
        (length,) = LENGTH.unpack_from(png, at)
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length


def _bound(data: bytes) -> bytes:
    """Raises: ValueError for a text that is too long."""
    if len(data) > MAX_TEXT_BYTES:
        raise ValueError("the text is too long")
    return data


def _decompress(data: bytes) -> bytes:
    """Raises: ValueError, zlib.error."""
    return _bound(zlib.decompressobj().decompress(data, MAX_TEXT_BYTES + 1))


READERS: dict[bytes, Callable[[bytes], str]] = {
    b"tEXt": lambda data: _bound(data).decode("latin-1"),
    b"zTXt": lambda data: _decompress(data[1:]).decode("latin-1"),
    b"iTXt": lambda data: (_decompress if data[0] == 1 else _bound)(data[2:].split(b"\0", 2)[2]).decode("utf-8"),
}
