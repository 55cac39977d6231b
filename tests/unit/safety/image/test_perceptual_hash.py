"""The perceptual hash, against values of the reference implementation (pdqhash 0.2.8)."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from mezzotint.domain.ids import Sha256
from mezzotint.safety.image.perceptual_hash import (
    MAX_DISTANCE,
    MIN_QUALITY,
    HashIndex,
    PictureHash,
    count_different_bits,
    hash_picture,
    may_be_near,
)

REFERENCE = {
    (64, 64): "32251ac7c41b1838707d226ec32633a7b2c0ab40dc873ee63e79b91be5d666ee",
    (65, 63): "72075e87c519187870fc614e832631a7a2c0ab80dca73ee63e79b11be5d666ee",
    (400, 300): "7686dc00803b3839f0fc208e832633a7a2c0ab83fc873ee03e79fd1be7d666ec",
    (512, 512): "32031a07cc181855f0fd234cc72633a7a2e08b807c877ee63e79bd1be7d666ec",
    (37, 90): "35833d42ef6c8c4c20b5637dcd3c069783e09b603c8636e2dde99d4b64d662fc",
}
"""By size of `draw_scene`."""


def draw_scene(width: int = 400, height: int = 300, seed: int = 7) -> Image.Image:
    """A picture with detail: shapes of many sizes and colours."""
    numbers = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), (90, 140, 200))
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y, size = numbers.uniform(0, width), numbers.uniform(0, height), numbers.uniform(0.02, 0.2) * width
        colour = tuple(int(level) for level in numbers.integers(0, 256, 3))
        draw.ellipse((x - size, y - size / 2, x + size, y + size / 2), fill=colour)
    return image


def save_as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(BytesIO(buffer.getvalue()))


@pytest.mark.parametrize("size", list(REFERENCE))
def test_hashes_agree_with_the_reference_implementation(size: tuple[int, int]) -> None:
    picture = hash_picture(draw_scene(*size))
    assert picture.quality == 100
    assert count_different_bits(picture.pdq, REFERENCE[size]) <= 2  # a bit at the median may fall either way


@pytest.mark.parametrize(
    "change",
    [
        lambda image: save_as_jpeg(image, 40),
        lambda image: image.resize((image.width // 2, image.height // 2)),
        lambda image: image.resize((2048, 1536)),
        lambda image: image.filter(ImageFilter.GaussianBlur(2)),
        lambda image: image.convert("L"),
        lambda image: image.point(lambda level: level * 0.8),
        *(lambda image, turn=turn: image.transpose(turn) for turn in Image.Transpose),
    ],
    ids=["jpeg 40", "halved", "large", "blurred", "grey", "darker", *(turn.name.lower() for turn in Image.Transpose)],
)
def test_a_changed_copy_is_found_within_the_bound(change) -> None:  # type: ignore[no-untyped-def]
    index = HashIndex([("scene", hash_picture(draw_scene()))])
    match = index.find(change(draw_scene()))
    assert match is not None
    assert match.name == "scene"
    assert match.distance <= MAX_DISTANCE


@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_hashes_alone_rule_out_other_pictures_and_no_turned_copy(turn: Image.Transpose) -> None:
    known = [hash_picture(draw_scene(seed=seed)).pdq for seed in range(7, 12)]
    copy = save_as_jpeg(draw_scene().transpose(turn), 50)
    assert may_be_near(hash_picture(copy).pdq, known)
    assert not may_be_near(hash_picture(draw_scene(seed=100).transpose(turn)).pdq, known)
    assert not may_be_near(hash_picture(copy).pdq, [])


def test_an_exact_copy_is_found_without_any_detail_and_in_another_mode() -> None:
    plain = Image.new("RGB", (64, 64), (200, 30, 30))
    assert hash_picture(plain).quality < MIN_QUALITY
    index = HashIndex([("plain", hash_picture(plain))])
    found = index.find(plain.convert("RGBA"))
    assert found is not None
    assert found.distance == 0
    assert index.find(Image.new("RGB", (64, 64), (201, 30, 30))) is None
    assert index.find(Image.new("RGB", (32, 128), (200, 30, 30))) is None


def test_other_pictures_are_not_taken_for_copies() -> None:
    index = HashIndex((str(seed), hash_picture(draw_scene(seed=seed))) for seed in range(20))
    assert len(index) == 20
    assert all(index.find(draw_scene(seed=seed)) is None for seed in range(100, 130))


def test_an_empty_index_finds_nothing() -> None:
    assert HashIndex().find(draw_scene()) is None


def test_a_hash_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        HashIndex([("short", PictureHash(pixels=Sha256("0" * 64), pdq="abcd", quality=100))])
