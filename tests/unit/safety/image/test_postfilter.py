"""The image filter, with its real weights."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from mezzotint.safety.image.postfilter import PostFilter


@pytest.fixture(scope="module")
def postfilter() -> PostFilter:
    return PostFilter()


def an_apple(side: int) -> Image.Image:
    image = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((side * 0.15, side * 0.25, side * 0.85, side * 0.95), fill=(215, 40, 50))
    draw.rectangle((side * 0.48, side * 0.08, side * 0.52, side * 0.3), fill=(90, 60, 30))
    return image


@pytest.mark.parametrize("side", [16, 64, 256, 1024])
def test_a_drawn_apple_passes_at_any_size(postfilter: PostFilter, side: int) -> None:
    verdict = postfilter.check(an_apple(side))
    assert 0 <= verdict.nsfw < 0.2
    assert not verdict.is_blocked


def test_a_score_at_the_threshold_is_blocked() -> None:
    score = PostFilter().check(an_apple(64)).nsfw
    assert PostFilter(threshold=score).check(an_apple(64)).is_blocked
    assert not PostFilter(threshold=float(np.nextafter(score, 1))).check(an_apple(64)).is_blocked


def test_a_picture_that_the_classifier_takes_for_explicit_is_blocked() -> None:
    # Soft ellipses in skin tones: nothing, and yet 0.66 to the classifier.
    image = Image.new("RGB", (64, 64), (0, 30, 80))
    draw = ImageDraw.Draw(image)
    for x, y, width, height, tone in (
        *((43, 49, 22, 20, -5), (54, 30, 17, 11, -12), (35, 52, 11, 12, 4)),
        *((17, 37, 20, 20, 24), (33, 57, 23, 5, -12), (35, 55, 19, 21, 3)),
    ):
        box = (x - width, y - height, x + width, y + height)
        draw.ellipse(box, fill=(225 + tone, 170 + tone, 140 + tone))
    verdict = PostFilter(threshold=0.5).check(image.filter(ImageFilter.GaussianBlur(2)))
    assert verdict.nsfw > 0.5
    assert verdict.is_blocked


def test_the_same_picture_has_the_same_score_whatever_its_mode_or_size_class(postfilter: PostFilter) -> None:
    apple = an_apple(64)
    with_alpha = apple.copy()
    with_alpha.putalpha(255)
    enlarged = apple.resize((256, 256), Image.Resampling.BICUBIC)
    score = postfilter.check(apple).nsfw
    assert postfilter.check(apple).nsfw == score
    assert postfilter.check(with_alpha).nsfw == score
    assert postfilter.check(enlarged).nsfw == score


def test_pictures_that_are_not_square_and_of_one_colour_are_scored(postfilter: PostFilter) -> None:
    for image in (Image.new("L", (64, 320)), Image.new("RGB", (320, 48), "white"), Image.new("RGB", (1, 1))):
        assert 0 <= postfilter.check(image).nsfw <= 1


def test_a_preview_is_blocked_from_a_lower_score_than_a_picture() -> None:
    apple = an_apple(64)
    score = PostFilter().check(apple).nsfw
    above = float(np.nextafter(score, 1))
    eyes = PostFilter(threshold=above, preview_threshold=score)
    assert (eyes.is_blocked(apple), eyes.is_preview_blocked(apple)) == (False, True)
    assert not PostFilter(threshold=above, preview_threshold=above).is_preview_blocked(apple)


def test_no_preview_is_shown_of_what_would_be_blocked_as_a_picture() -> None:
    score = PostFilter().check(an_apple(64)).nsfw
    assert PostFilter(threshold=score, preview_threshold=1.0).is_preview_blocked(an_apple(64))
