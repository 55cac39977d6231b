"""Texts of PNGs, which come from outside."""

import zlib
from io import BytesIO

import pytest
from PIL import Image

from mezzotint.media.metadata.png_text import MAX_TEXT_BYTES, MAX_TEXTS, add_text, read_texts
from tests.making_pictures import encode, noise, png_chunk, seeds, with_chunks


@pytest.mark.parametrize("text", ["a red apple\nSteps: 20, Seed: 1", "grüne Äpfel", "リンゴ 🍎", ""])
def test_a_text_is_added_and_the_pixels_stay(text: str) -> None:
    picture = noise(48, 40)
    png = encode(picture, "PNG")
    told = add_text(png, "parameters", text)
    assert read_texts(told) == {"parameters": text}
    with Image.open(BytesIO(told)) as again:
        assert again.tobytes() == picture.tobytes()
        assert again.text == {"parameters": text}  # type: ignore[attr-defined]


def test_pillows_texts_of_all_kinds_are_read() -> None:
    assert read_texts(seeds()["png metadata"]) == {"a": "b" * 4000, "c": "d" * 4000}


def test_what_is_too_long_or_too_much_is_left_out() -> None:
    png = encode(noise(48, 40), "PNG")
    bomb = png_chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(20 << 20)))
    long = png_chunk(b"tEXt", b"long\0" + b"x" * (MAX_TEXT_BYTES + 1))
    many = [png_chunk(b"tEXt", b"%d\0x" % number) for number in range(200)]
    damaged = [
        png_chunk(b"zTXt", b"a\0\0zz"),
        png_chunk(b"iTXt", b"b"),
        png_chunk(b"iTXt", b"c\0" + bytes(4) + b"\xff"),
    ]
    texts = read_texts(with_chunks(png, bomb, long, *damaged, *many))
    assert len(texts) == MAX_TEXTS - 5
    assert {"bomb", "long", "a", "b", "c"}.isdisjoint(texts)


@pytest.mark.parametrize("name", sorted(seeds()))
def test_no_picture_is_too_strange(name: str) -> None:
    data = seeds()[name]
    for cut in (len(data), len(data) // 2, 40, 9, 0):
        assert isinstance(read_texts(data[:cut]), dict)
