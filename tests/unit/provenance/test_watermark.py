"""A mark is not seen, names its job, and outlives what people do to pictures; other keys find nothing."""

import random
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from mezzotint.domain.ids import JobId
from mezzotint.provenance import payload_of
from mezzotint.provenance.watermark import MIN_SIDE_PX, embed_mark, find_mark, mark
from mezzotint.provenance.watermark.code import NUM_CODED, compute_crc, decode_payload, encode_payload

KEY, PAYLOAD = b"key", 0x1A2B3C4D


def draw(width: int = 384, height: int = 288) -> Image.Image:
    """Clouds of 1/f noise with edges: as much at the mark's frequencies as photographs have."""
    noise = np.random.default_rng(3)
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]
    falling = 1 / np.maximum(np.hypot(rows, columns), 1 / width)
    clouds = np.fft.ifft2(
        np.fft.fft2(noise.normal(size=(height, width, 3)), axes=(0, 1)) * falling[:, :, None], axes=(0, 1)
    )
    pixels = 128 + 40 * clouds.real / clouds.real.std()
    pixels[height // 3 : height // 2, width // 4 :] -= 60
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def code(picture: Image.Image, form: str, quality: int) -> Image.Image:
    buffer = BytesIO()
    picture.save(buffer, form, quality=quality)
    return Image.open(buffer).convert("RGB")


@pytest.fixture(scope="module")
def plain() -> Image.Image:
    return draw()


@pytest.fixture(scope="module")
def marked(plain: Image.Image) -> Image.Image:
    return embed_mark(plain, KEY, PAYLOAD)


def test_a_mark_changes_little_and_the_same_mark_always_the_same(plain: Image.Image, marked: Image.Image) -> None:
    error = np.mean((np.asarray(plain, float) - np.asarray(marked, float)) ** 2)
    assert 36 < 10 * np.log10(255**2 / error) < 50
    assert (marked.size, marked.mode) == (plain.size, "RGB")
    assert embed_mark(plain, KEY, PAYLOAD).tobytes() == marked.tobytes()


@pytest.mark.parametrize(
    "attack",
    [
        lambda picture: picture,
        lambda picture: picture.resize((192, 144), Image.Resampling.LANCZOS),
        lambda picture: picture.resize((768, 576), Image.Resampling.BICUBIC),
        lambda picture: code(picture, "JPEG", 50),
        lambda picture: code(picture, "JPEG", 40),
        lambda picture: code(picture, "WEBP", 60),
        lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        lambda picture: picture.convert("L").point(lambda level: min(255, level * 11 // 10)),
    ],
    ids=["none", "half", "twice", "jpeg 50", "jpeg 40", "webp 60", "mirrored", "grey and brighter"],
)
def test_it_is_found_after(marked: Image.Image, attack) -> None:  # type: ignore[no-untyped-def]
    found = find_mark(attack(marked), KEY)
    assert found is not None
    assert found.payload == PAYLOAD


def test_it_is_found_in_a_part_of_the_picture(marked: Image.Image) -> None:
    found = find_mark(marked.crop((50, 40, 50 + 288, 40 + 216)), KEY)
    assert found is not None
    assert found.payload == PAYLOAD
    assert 0.73 < found.part < 0.77


def test_an_unmarked_picture_and_another_key_show_nothing(
    plain: Image.Image, marked: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mark, "NUM_PARTS", 12)
    assert find_mark(plain, KEY) is None
    assert find_mark(marked, b"another key") is None
    assert find_mark(Image.new("RGB", (300, 300), "grey"), KEY) is None


def test_a_flat_picture_and_a_small_one_are_marked_as_far_as_they_can_be() -> None:
    flat = Image.new("RGB", (300, 300), (90, 120, 200))
    found = find_mark(embed_mark(flat, KEY, PAYLOAD), KEY)
    assert found is not None
    assert found.payload == PAYLOAD
    small = draw(MIN_SIDE_PX, MIN_SIDE_PX - 1)
    assert embed_mark(small, KEY, PAYLOAD) is small
    assert find_mark(Image.new("RGB", (3, 900)), KEY) is None


def test_the_code_mends_a_tenth_of_its_bits_and_says_when_it_cannot() -> None:
    dice = random.Random(5)
    for payload in (0, 2**32 - 1, PAYLOAD):
        soft = 2.0 * encode_payload(payload) - 1
        assert decode_payload(soft) == payload
        for place in range(0, NUM_CODED, 11):
            soft[place] = -0.5 * soft[place]
        assert decode_payload(soft) == payload
    noise = [decode_payload(np.array([dice.gauss(0, 1) for _ in range(NUM_CODED)])) for _ in range(20)]
    assert noise == [None] * 20
    assert compute_crc(0x31323334) == 0x5349, "CRC-16/CCITT-FALSE of '1234'"


def test_a_mark_names_its_job_by_the_first_digits_of_its_id() -> None:
    assert payload_of(JobId("job_1a2b3c4d5e6f708192a3b4c5")) == PAYLOAD
