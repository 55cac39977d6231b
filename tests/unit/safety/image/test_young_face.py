"""Faces and their apparent age, on a drawn face and on a photograph of an astronaut (NASA, public domain)."""

from pathlib import Path

import pytest
from PIL import Image

from mezzotint.safety.image.young_face import YoungFaces

PHOTO = Path(__file__).with_name("astronaut.jpg")


@pytest.fixture(scope="module")
def faces() -> YoungFaces:
    return YoungFaces()


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    with Image.open(PHOTO) as image:
        return image.convert("RGB")


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: image.resize((128, 128)),
        lambda image: image.resize((1600, 1600)),
        lambda image: image.rotate(20),
        lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    ],
    ids=["as it is", "small", "large", "turned", "mirrored"],
)
def test_a_grown_up_has_one_face_and_a_grown_ups_age(faces: YoungFaces, photo: Image.Image, change) -> None:  # type: ignore[no-untyped-def]
    image = change(photo)
    (age,) = faces.estimate_ages(image)
    assert 22 < age < 50
    assert faces.score(image)["young_face"] < 0.3


@pytest.mark.parametrize("size", [(1, 1), (8, 300), (64, 64), (2000, 30)])
def test_pictures_without_a_face_score_zero(faces: YoungFaces, size: tuple[int, int]) -> None:
    assert faces.score(Image.effect_noise(size, 80).convert("RGB")) == {"young_face": 0.0}
