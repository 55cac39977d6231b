"""GIF, BMP, TIFF and AVIF as viewers show them."""

import struct
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mezzotint.media.uploads.decode import read_pixels
from mezzotint.media.uploads.decoder_pool import DecoderPool
from mezzotint.media.uploads.undecodable import Undecodable
from tests.making_pictures import encode

GREY = Image.linear_gradient("L").resize((32, 32))
COLOURS = Image.merge("RGB", (GREY, GREY.rotate(90), GREY.rotate(180)))
CLEAR = COLOURS.copy()
CLEAR.putalpha(GREY)
FRAMES: dict[str, Any] = {"save_all": True, "append_images": [COLOURS.rotate(90)]}
DEEP = Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with closing(DecoderPool()) as pool:
        yield pool


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "AVIF"])
def test_it_is_read_in_a_decoder_process(pool: DecoderPool, kind: str) -> None:
    decoded = pool.decode(encode(COLOURS, kind))
    shown = Image.open(BytesIO(decoded.png))
    assert np.abs(np.asarray(shown, float) - np.asarray(COLOURS, float)).mean() < 6
    with pytest.raises(Undecodable):
        pool.decode(encode(COLOURS, kind)[:60])


@pytest.mark.parametrize(
    ("shown", "kind", "options"),
    [
        (COLOURS, "GIF", FRAMES),
        (COLOURS, "TIFF", FRAMES),
        (COLOURS, "AVIF", FRAMES),
        (GREY, "GIF", {}),
        (GREY, "BMP", {}),
        (GREY.convert("1"), "BMP", {}),
        (DEEP, "TIFF", {}),
        (GREY.convert("1"), "TIFF", {"compression": "group4"}),
        (COLOURS.convert("CMYK"), "TIFF", {}),
        (COLOURS, "TIFF", {"compression": "tiff_lzw"}),
        (COLOURS, "TIFF", {"compression": "jpeg", "quality": 95}),
        (CLEAR, "TIFF", {}),
        (CLEAR.convert("LA"), "TIFF", {}),
        (CLEAR, "AVIF", {}),
    ],
)
def test_the_first_frame_of_every_mode_arrives_as_it_is_shown(
    shown: Image.Image, kind: str, options: dict[str, Any]
) -> None:
    read = read_pixels(encode(shown, kind, **options))
    expected = (GREY if shown is DEEP else shown).convert(read.mode)
    assert read.mode == ("RGBA" if "A" in shown.mode else "RGB")
    assert np.abs(np.asarray(read, float) - np.asarray(expected, float)).mean() < 6


def test_a_palette_with_a_transparent_colour_stays_transparent_there() -> None:
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.paste(0, (0, 0, 8, 16))
    read = read_pixels(encode(palette, "GIF", transparency=0))
    assert read.getpixel((2, 2))[3] == 0
    assert read.getpixel((12, 2)) == (0, 255, 0, 255)


def test_a_bmp_is_transparent_where_its_header_says_so() -> None:
    pixels = b"".join(bytes((0, 0, 255, 255 if x < 8 else 0)) for _ in range(8) for x in range(16))  # blue first
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII", 108, 16, 8, 1, 32, 3, len(pixels), 0, 0, 0, 0) + masks + bytes(52)
    file = b"BM" + struct.pack("<IHHI", 14 + len(head) + len(pixels), 0, 0, 14 + len(head)) + head + pixels
    read = read_pixels(file)
    assert (read.getpixel((2, 2)), read.getpixel((12, 2))) == ((255, 0, 0, 255), (255, 0, 0, 0))


def test_a_run_length_coded_bmp_is_read() -> None:
    rows = b"".join(bytes((16, 1, 0, 0)) for _ in range(8))[:-2] + b"\0\1"
    palette = bytes((0, 0, 0, 0, 10, 20, 200, 0)) + bytes(4 * 254)
    head = struct.pack("<IiiHHIIiiII", 40, 16, 8, 1, 8, 1, len(rows), 0, 0, 256, 0)
    begin = 14 + len(head) + len(palette)
    file = b"BM" + struct.pack("<IHHI", begin + len(rows), 0, 0, begin) + head + palette + rows
    assert read_pixels(file).getpixel((5, 5)) == (200, 20, 10)


@pytest.mark.parametrize(("kind", "option"), [("TIFF", "tiffinfo"), ("AVIF", "exif")])
def test_it_is_turned_upright_once(kind: str, option: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = COLOURS.resize((32, 16))
    read = read_pixels(encode(wide, kind, **{option: {274: 6} if option == "tiffinfo" else exif}))
    upright = wide.transpose(Image.Transpose.ROTATE_270)
    assert read.size == (16, 32)
    assert np.abs(np.asarray(read, float) - np.asarray(upright, float)).mean() < 6


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (Image.fromarray(np.asarray(GREY, np.float32)), "agreed look"),
        (Image.fromarray(np.asarray(GREY, np.int32)), "agreed look"),
        (COLOURS.convert("LAB"), "agreed look"),
    ],
)
def test_what_viewers_do_not_agree_on_is_refused_with_the_reason(picture: Image.Image, why: str) -> None:
    with pytest.raises(Undecodable, match=why):
        read_pixels(encode(picture, "TIFF"))


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "AVIF"])
def test_its_size_is_judged_before_its_pixels(kind: str) -> None:
    with pytest.raises(Undecodable, match="px"):
        read_pixels(encode(Image.new("L", (5000, 4000)), kind))
