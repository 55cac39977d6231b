"""Delivered files: exact where promised, the same bytes for the same pixels, and silent about everything else."""

from io import BytesIO
from zlib import crc32

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from mezzotint.domain.model import MAX_SIDE_PX
from mezzotint.media import convert_picture, encode


def a_picture(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise, "RGB")


def png_chunks(data: bytes) -> list[bytes]:
    kinds, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4])
        kinds.append(data[at + 4 : at + 8])
        assert crc32(data[at + 4 : at + 8 + length]) == int.from_bytes(data[at + 8 + length : at + 12 + length])
        at += 12 + length
    return kinds


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (256, 256), (300, 400)])
def test_png_keeps_every_pixel(size: tuple[int, int]) -> None:
    picture = a_picture(*size)
    assert opened(encode(picture).png).tobytes() == picture.tobytes()


@pytest.mark.parametrize(("size", "is_exact"), [((64, 64), True), ((256, 256), True), ((257, 256), False)])
def test_webp_is_exact_up_to_the_lossless_area(size: tuple[int, int], is_exact: bool) -> None:
    picture = a_picture(*size)
    webp = opened(encode(picture).webp)
    assert webp.format == "WEBP"
    assert webp.size == size
    assert (webp.convert("RGB").tobytes() == picture.tobytes()) is is_exact


def test_the_same_pixels_give_the_same_bytes() -> None:
    assert encode(a_picture(300, 300)) == encode(a_picture(300, 300).copy())


def test_nothing_of_the_source_but_its_pixels_is_written() -> None:
    bare = a_picture(64, 64)
    chunks = PngInfo()
    chunks.add_text("prompt", "a secret")
    buffer = BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "a secret"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    bare.save(buffer, "PNG", pnginfo=chunks, exif=exif, icc_profile=profile, dpi=(72, 72))
    laden = opened(buffer.getvalue())
    assert laden.info
    assert encode(laden) == encode(bare)
    assert png_chunks(encode(laden).png) == [b"IHDR", b"IDAT", b"IEND"]
    assert not opened(encode(laden).webp).info.keys() & {"exif", "icc_profile", "xmp"}


def test_metadata_is_written_only_when_passed_and_in_any_script() -> None:
    picture = a_picture(64, 64)
    encoded = encode(picture, metadata={"seed": "7", "prompt": "un café 🍎"})
    assert opened(encoded.png).text == {"prompt": "un café 🍎", "seed": "7"}  # type: ignore[attr-defined]
    assert encoded.webp == encode(picture).webp
    assert encoded == encode(picture, metadata={"prompt": "un café 🍎", "seed": "7"})


def test_other_modes_are_converted() -> None:
    picture = a_picture(64, 64)
    with_alpha = picture.copy()
    with_alpha.putalpha(255)
    assert encode(with_alpha) == encode(picture)
    assert opened(encode(picture.convert("L")).png).mode == "RGB"


@pytest.mark.parametrize("size", [(MAX_SIDE_PX, 8), (8, MAX_SIDE_PX)])
def test_the_longest_side_that_is_admitted_goes_into_every_format(size: tuple[int, int]) -> None:
    files = encode(a_picture(*size))
    made = [files.png, files.webp, *(convert_picture(files.png, to) for to in ("png", "webp", "jpeg"))]
    assert [opened(data).size for data in made] == [size] * 5


def test_one_pixel_more_goes_into_no_webp() -> None:
    with pytest.raises(ValueError, match="size"):
        encode(a_picture(MAX_SIDE_PX + 1, 8))
