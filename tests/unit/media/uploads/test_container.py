"""Containers: what reaches a decoder, and what is left out or refused before."""

import random
from io import BytesIO
from struct import pack

import pytest
from PIL import Image, ImageOps

from mezzotint.media.uploads import Undecodable
from mezzotint.media.uploads.container import MAX_PARTS, MAX_SCANS, read_contents
from mezzotint.media.uploads.decode import read_pixels
from tests.making_pictures import (
    encode,
    extended_webp,
    many_scans,
    mutations,
    noise,
    png_chunk,
    seeds,
    webp_chunk,
    with_chunks,
    with_segment,
)

PICTURES = {name: data for name, data in seeds().items() if name.split()[0] in {"png", "apng", "jpeg", "webp", "mpo"}}
HONEST = {name: data for name, data in PICTURES.items() if "bomb" not in name and " of " not in name}


@pytest.mark.parametrize("name", HONEST)
def test_pixels_are_the_same_without_the_rest_of_the_file(name: str) -> None:
    with Image.open(BytesIO(HONEST[name])) as picture:
        picture.load()
        whole = ImageOps.exif_transpose(picture).convert("RGBA").tobytes()
        contents = read_contents(HONEST[name])
        assert (contents.width, contents.height) == picture.size
    with Image.open(BytesIO(contents.data), formats=[contents.kind]) as bare:
        bare.load()
        turned = {1: bare, 6: bare.transpose(Image.Transpose.ROTATE_270)}[contents.orientation]
        assert turned.convert("RGBA").tobytes() == whole
        assert not {"exif", "icc_profile", "comment", "xmp", "photoshop"} & bare.info.keys()
        assert getattr(bare, "n_frames", 1) == 1


@pytest.mark.parametrize("name", [name for name in PICTURES if name not in HONEST])
def test_what_asks_for_much_is_refused_or_costs_no_more_than_its_pixels(name: str) -> None:
    if name in {"png text bomb", "png profile bomb", "png pixel bomb"}:
        assert len(read_contents(PICTURES[name]).data) < 21_000
        assert read_pixels(PICTURES[name]).size == (48, 40)
    else:
        with pytest.raises(Undecodable):
            read_pixels(PICTURES[name])


def test_scans_of_a_jpeg_are_counted_before_any_is_decoded() -> None:
    with pytest.raises(Undecodable, match=f"more than {MAX_SCANS} scans"):
        read_contents(many_scans(4096, 128 * 1024))
    assert read_pixels(many_scans(64, 800)).size == (64, 64)


def test_a_jpeg_of_an_encoders_own_scans_is_taken() -> None:
    data = encode(noise(64, 64), "JPEG", progressive=True)
    assert 4 < data.count(b"\xff\xda") <= MAX_SCANS
    assert read_pixels(data).size == (64, 64)


def test_parts_of_a_file_are_counted() -> None:
    small = encode(noise(16, 12), "PNG")
    assert read_pixels(with_chunks(small, *[png_chunk(b"tEXt", b"a\0b")] * (MAX_PARTS - 10))).size == (16, 12)
    webp = extended_webp(encode(noise(16, 12), "WEBP"), 0, *[webp_chunk(b"ABCD", b"")] * MAX_PARTS)
    for data in (with_chunks(small, *[png_chunk(b"tEXt", b"a\0b")] * MAX_PARTS), webp):
        with pytest.raises(Undecodable, match=f"more than {MAX_PARTS} parts"):
            read_contents(data)


DAMAGED_EXIF = {
    "empty": b"",
    "no header": b"\0" * 40,
    "an offset beyond its end": b"MM\0*\xff\xff\xff\xff",
    "an offset that wraps": b"II*\0\xff\xff\xff\x7f",
    "more entries than bytes": b"MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\3" * 3,
    "an orientation of text": b"MM\0*\0\0\0\x08\0\1\x01\x12\0\2\0\0\0\4abc\0\0\0\0\0",
    "an orientation of fractions by zero": b"MM\0*\0\0\0\x08\0\1\x01\x12\0\5\0\0\0\1\0\0\0\x1a\0\0\0\0" + bytes(8),
    "an orientation of 9": b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\x09\0\0\0\0\0\0",
    "a folder within itself": b"MM\0*\0\0\0\x08\0\1\x87\x69\0\4\0\0\0\1\0\0\0\x08\0\0\0\x08",
    "noise": bytes(range(256)) * 8,
}


@pytest.mark.parametrize("what", DAMAGED_EXIF)
def test_a_picture_with_damaged_exif_is_taken_as_it_lies(what: str) -> None:
    exif, small = DAMAGED_EXIF[what], noise(16, 12)
    files = [
        with_segment(encode(small, "JPEG"), 0xE1, b"Exif\0\0" + exif),
        with_chunks(encode(small, "PNG"), png_chunk(b"eXIf", exif)),
        extended_webp(encode(small, "WEBP"), 0x08, webp_chunk(b"EXIF", exif)),
        extended_webp(encode(small, "WEBP"), 0x08, webp_chunk(b"EXIF", b"Exif\0\0" + exif)),
    ]
    for data in files:
        assert read_pixels(data).size == (16, 12)


def test_an_orientation_among_damaged_tags_is_heeded_or_not_but_never_a_fault() -> None:
    """Pillow's own turning writes the other tags again, and raised half a dozen kinds for some of these."""
    dice, jpeg = random.Random(1), encode(noise(16, 12), "JPEG")
    upright = b"\x01\x12\0\3\0\0\0\1\0\6\0\0"
    tags = (0x010E, 0x8769, 0x8825, 0x0132, 0x9000, 0x927C, 0xA005, 0x011A, 700)
    sizes = set()
    for _ in range(600):
        others = [
            pack(
                ">HHII",
                dice.choice(tags),
                dice.randrange(15),
                dice.choice((0, 1, 4, 1000)),
                dice.choice((0, 8, 26, 60)),
            )
            for _ in range(dice.randint(1, 3))
        ]
        head = b"MM\0*\0\0\0\x08" + pack(">H", len(others) + 1)
        exif = head + upright + b"".join(others) + pack(">I", dice.choice((0, 8, 2**31))) + bytes(dice.randrange(40))
        sizes.add(read_pixels(with_segment(jpeg, 0xE1, b"Exif\0\0" + exif)).size)
    assert (12, 16) in sizes <= {(12, 16), (16, 12)}


@pytest.mark.parametrize("profile", [b"", b"x", b"a\0\0not zlib", b"a\0\xff", b"ICC_PROFILE\0\xff\0", b"\0" * 65_000])
def test_a_picture_with_a_damaged_colour_profile_or_xmp_is_taken(profile: bytes) -> None:
    small = noise(16, 12)
    files = [
        with_segment(encode(small, "JPEG"), 0xE2, profile),
        with_segment(encode(small, "JPEG"), 0xE2, b"ICC_PROFILE\0\1\5" + profile[:60_000]),
        with_segment(encode(small, "JPEG"), 0xE2, b"MPF\0" + profile[:60_000]),
        with_segment(encode(small, "JPEG"), 0xED, b"Photoshop 3.0\0" + profile[:60_000]),
        with_segment(encode(small, "JPEG"), 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + profile[:60_000]),
        with_chunks(encode(small, "PNG"), png_chunk(b"iCCP", profile)),
        with_chunks(encode(small, "PNG"), png_chunk(b"iTXt", profile), png_chunk(b"gAMA", profile)),
        extended_webp(encode(small, "WEBP"), 0x24, webp_chunk(b"ICCP", profile), webp_chunk(b"XMP ", profile)),
    ]
    for data in files:
        assert read_pixels(data).size == (16, 12)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_every_orientation_is_turned_upright_as_pillow_does(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(noise(24, 16), kind, exif=exif)
    with Image.open(BytesIO(data)) as picture:
        assert read_pixels(data).tobytes() == ImageOps.exif_transpose(picture).convert("RGB").tobytes()


def test_a_damaged_file_is_contents_or_a_refusal() -> None:
    for name, data in mutations(600, seed=1):
        try:
            contents = read_contents(data)
        except Undecodable:
            continue
        assert contents.width * contents.height <= 4096 * 4096, name
        assert len(contents.data) <= len(data) + 8, name
