"""Modes of pictures from outside: each arrives as viewers show it."""

import zlib
from struct import pack

import pytest
from PIL import Image

from mezzotint.media.transparency import lay_on_white, read_mask
from mezzotint.media.uploads.decode import Reading, decode, read_pixels
from tests.making_pictures import encode, png_chunk

SIDE = 16
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
WHITE = (255, 255, 255)


def png(depth: int, colour: int, left: bytes, right: bytes, *chunks: bytes) -> bytes:
    """A PNG of SIDE x SIDE px whose rows are `left` and then `right`."""
    header = png_chunk(b"IHDR", pack(">IIBBBBB", SIDE, SIDE, depth, colour, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress((b"\0" + left + right) * SIDE))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *chunks, pixels, png_chunk(b"IEND", b"")])


def wide(*levels: int) -> bytes:
    return pack(f">{len(levels)}H", *levels) * (SIDE // 2)


def transparent(*levels: int) -> bytes:
    return png_chunk(b"tRNS", pack(f">{len(levels)}H", *levels))


COLOURS = png_chunk(b"PLTE", bytes([200, 50, 0, 0, 50, 200]))
SHOWN = {
    "grey of 16 bits": (png(16, GREY, wide(51400), wide(12850)), (200,) * 3, (50,) * 3),
    "grey of 16 bits, rounded": (png(16, GREY, wide(65535), wide(51271)), WHITE, (199,) * 3),
    "grey of 16 bits with a clear level": (
        png(16, GREY, wide(51400), wide(12851), transparent(12851)),
        (200,) * 3,
        WHITE,
    ),
    "grey of 4 bits with a clear level": (png(4, GREY, b"\xaa" * 4, b"\x33" * 4, transparent(3)), (170,) * 3, WHITE),
    "grey of 2 bits with a clear level": (png(2, GREY, b"\xaa" * 2, b"\x55" * 2, transparent(1)), (170,) * 3, WHITE),
    "grey of 1 bit with a clear level": (png(1, GREY, b"\0", b"\xff", transparent(0)), WHITE, WHITE),
    "RGB of 16 bits": (png(16, RGB, wide(51400, 12850, 0), wide(0, 12850, 51400)), (200, 50, 0), (0, 50, 200)),
    "RGB of 16 bits with a clear colour": (
        png(16, RGB, wide(51400, 12850, 0), wide(0, 12900, 51400), transparent(0, 12900, 51400)),
        (200, 50, 0),
        WHITE,
    ),
    "RGB of 8 bits with a clear colour": (
        png(8, RGB, bytes([200, 50, 0]) * 8, bytes([0, 50, 200]) * 8, transparent(0, 50, 200)),
        (200, 50, 0),
        WHITE,
    ),
    "grey of 16 bits with alpha": (
        png(16, GREY_ALPHA, wide(51400, 65535), wide(12850, 32896)),
        (200,) * 3,
        (152,) * 3,
    ),
    "RGBA of 16 bits": (
        png(16, RGBA, wide(51400, 12850, 0, 65535), wide(0, 12850, 51400, 32896)),
        (200, 50, 0),
        (127, 152, 227),
    ),
    "a palette with alpha": (
        png(8, PALETTE, b"\0" * 8, b"\1" * 8, COLOURS, png_chunk(b"tRNS", bytes([255, 128]))),
        (200, 50, 0),
        (127, 152, 227),
    ),
    "a palette of 2 bits": (
        png(2, PALETTE, b"\0\0", b"\x55\x55", COLOURS, png_chunk(b"tRNS", bytes([255, 0]))),
        (200, 50, 0),
        WHITE,
    ),
}


@pytest.mark.parametrize("mode", SHOWN)
def test_a_mode_arrives_as_viewers_show_it(mode: str) -> None:
    data, left, right = SHOWN[mode]
    picture = lay_on_white(read_pixels(data))
    assert (picture.getpixel((2, 8)), picture.getpixel((13, 8))) == (left, right)


def test_ink_of_a_jpeg_is_not_turned_around() -> None:
    inks = Image.new("CMYK", (SIDE, SIDE), (0, 200, 200, 0))
    inks.paste((200, 0, 0, 50), (SIDE // 2, 0, SIDE, SIDE))
    picture = read_pixels(encode(inks, "JPEG", quality=95))
    for place, shown in ((2, (255, 55, 55)), (13, (44, 205, 205))):
        assert all(abs(a - b) < 6 for a, b in zip(picture.getpixel((place, 8)), shown, strict=True))


def test_what_is_opaque_of_a_mask_is_redrawn_and_nothing_else() -> None:
    """Editors draw black or coloured strokes on a clear layer."""
    strokes = Image.new("RGBA", (SIDE, SIDE), (255, 255, 255, 0))
    strokes.paste((0, 0, 0, 255), (0, 0, 4, SIDE))
    for kind in ("PNG", "WEBP"):
        levels = read_mask(read_pixels(encode(strokes, kind, lossless=True)))
        assert levels.histogram()[255] == 4 * SIDE
        assert levels.getbbox() == (0, 0, 4, SIDE)
        assert read_mask(read_pixels(encode(strokes, kind, lossless=True), Reading.INVERTED_MASK)).histogram()[255] == (
            12 * SIDE
        )


def test_alpha_that_hides_nothing_is_not_kept() -> None:
    opaque = Image.new("RGBA", (SIDE, SIDE), (10, 20, 30, 255))
    plain = decode(encode(opaque.convert("RGB"), "PNG"), Reading.PICTURE)
    assert decode(encode(opaque, "PNG"), Reading.PICTURE) == plain
