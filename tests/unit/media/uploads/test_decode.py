"""Pictures from outside."""

import zlib
from contextlib import suppress
from io import BytesIO
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mezzotint.domain.model import MAX_SIDE_PX
from mezzotint.domain.tier import Tier
from mezzotint.media.transparency import lay_on_white
from mezzotint.media.uploads import Undecodable
from mezzotint.media.uploads.container import MAX_UPLOAD_PX
from mezzotint.media.uploads.decode import Reading, decode, read_pixels
from mezzotint.policy.safety.document import ImageUse
from mezzotint.safety.image.loading import load_postfilter
from mezzotint.safety.policy_file import load_policy


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


RED = Image.new("RGB", (16, 12), (200, 10, 10))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_usual_formats_are_read(kind: str) -> None:
    picture = read_pixels(encoded(RED, kind))
    assert (picture.mode, picture.size) == ("RGB", (16, 12))
    red, green, blue = picture.getpixel((8, 6))
    assert red > 190
    assert max(green, blue) < 20


@pytest.mark.parametrize("kind", ["ICO", "PPM", "TGA"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(Undecodable, match="PNG, JPEG, WebP"):
        read_pixels(encoded(RED, kind))


def test_a_photograph_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_pixels(encoded(RED, "JPEG", exif=exif)).size == (12, 16)


def test_nothing_but_pixels_is_kept() -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    picture = read_pixels(encoded(RED, "JPEG", exif=exif))
    assert b"where I live" not in encoded(Image.frombytes("RGB", picture.size, picture.tobytes()), "PNG")


def test_what_is_transparent_becomes_white() -> None:
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    assert lay_on_white(read_pixels(encoded(clear, "PNG"))).getpixel((3, 3)) == (255, 255, 255)
    palette = Image.new("P", (16, 16), 0)
    assert lay_on_white(read_pixels(encoded(palette, "PNG", transparency=0))).getpixel((3, 3)) == (255, 255, 255)
    assert set(decode(encoded(clear, "PNG"), Reading.PICTURE).view) == {255}


def test_only_the_first_picture_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert read_pixels(data).getpixel((0, 0)) == (255, 0, 0)


def test_a_bomb_is_refused_by_its_header_alone() -> None:
    """A PNG that declares 60,000 x 60,000 px in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))

    header = pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    with pytest.raises(Undecodable, match=str(MAX_UPLOAD_PX)):
        read_pixels(data)


def test_a_picture_with_a_side_that_could_not_be_delivered_is_refused() -> None:
    with pytest.raises(Undecodable, match=f"at most {MAX_SIDE_PX}"):
        read_pixels(encoded(Image.new("RGB", (MAX_SIDE_PX + 1, 8)), "PNG"))
    assert read_pixels(encoded(Image.new("RGB", (MAX_SIDE_PX, 8)), "PNG")).size == (MAX_SIDE_PX, 8)


def test_a_picture_of_a_few_pixels_is_refused() -> None:
    with pytest.raises(Undecodable, match="at least"):
        read_pixels(encoded(Image.new("RGB", (7, 100)), "PNG"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_cut_off_picture_is_refused(kind: str) -> None:
    noise = Image.effect_noise((64, 64), 80).convert("RGB")
    with pytest.raises(Undecodable):
        read_pixels(encoded(noise, kind)[:600])


@given(
    st.sampled_from(["PNG", "JPEG", "WEBP"]), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8)
)
def test_damaged_bytes_are_a_picture_or_a_refusal(kind: str, damages: list[tuple[int, int]]) -> None:
    data = bytearray(encoded(RED, kind))
    for place, value in damages:
        data[place % len(data)] = value
    with suppress(Undecodable):
        assert read_pixels(bytes(data)).mode in {"RGB", "RGBA"}


def test_grey_of_sixteen_bits_is_not_cut_off() -> None:
    grey = Image.new("I;16", (16, 16), 40_000)
    assert read_pixels(encoded(grey, "PNG")).getpixel((3, 3)) == (156, 156, 156)


@pytest.mark.parametrize("size", [(16, 12), (300, 300), (1200, 700), (200, 3000)])
def test_the_image_filter_scores_the_view_as_it_scores_the_picture(size: tuple[int, int]) -> None:
    """The picture itself stays where it was decoded."""
    shape = Image.radial_gradient("L").resize(size)
    picture = Image.merge("RGB", (shape, Image.effect_noise(size, 60), Image.linear_gradient("L").resize(size)))
    decoded = decode(encoded(picture, "PNG"), Reading.PICTURE)
    view = Image.frombytes("RGB", decoded.view_size, decoded.view)
    image_filter = load_postfilter(load_policy())
    of_view = image_filter.check(view, Tier.FREE, ImageUse.UPLOAD).scores
    of_picture = image_filter.check(picture, Tier.FREE, ImageUse.UPLOAD).scores
    assert of_view.keys() == of_picture.keys()
    for name, scores in of_picture.items():
        assert of_view[name] == pytest.approx(scores, abs=0.05)
