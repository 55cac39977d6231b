"""Text in pictures is read and held against the text filter."""

from dataclasses import dataclass

import pytest
from PIL import Image, ImageDraw, ImageFont

from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.document import SafetyPolicy
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.safety.image.loading import load_postfilter
from mezzotint.safety.image.picture_text import PictureText

WRITTEN = ["HARVEST FESTIVAL", "bring your purple zebra"]
POLICY = {
    "version": "test",
    "image": {"finished": {"hate": 0.5, "any": 0.5}},
    "classifiers": {
        "text": {"uses": ["finished"], "min_side_px": 200},
        "young_face": {"uses": ["finished", "preview", "upload"]},
    },
}


@dataclass(frozen=True)
class Judged:
    is_blocked: bool
    category: str


def judge_zebras(text: str) -> Judged:
    return Judged("purple zebra" in text.lower(), "hate")


def draw_poster(width: int = 640, height: int = 360, lines: list[str] = WRITTEN) -> Image.Image:
    image = Image.new("RGB", (width, height), (240, 220, 180))
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        place = (width * 0.05, height * (0.2 + 0.35 * number))
        draw.text(place, line, fill=(40, 20, 20), font=ImageFont.load_default(size=height / 8))
    return image


@pytest.fixture(scope="module")
def reader() -> PictureText:
    return PictureText(lambda: judge_zebras)


@pytest.mark.parametrize("size", [(640, 360), (2400, 1350)])
def test_what_is_written_in_a_picture_is_read(reader: PictureText, size: tuple[int, int]) -> None:
    text = reader.read(draw_poster(*size)).lower()
    assert "harvest" in text
    assert "purple zebra" in text


def test_text_that_the_filter_blocks_is_scored_in_its_category(reader: PictureText) -> None:
    scores = reader.score(draw_poster())
    assert {name for name, score in scores.items() if score} == {"hate"}
    assert not any(reader.score(draw_poster(lines=["HARVEST FESTIVAL"])).values())
    assert not any(reader.score(Image.new("RGB", (640, 360), "white")).values())


def test_a_category_of_the_operators_own_counts_as_any(reader: PictureText) -> None:
    own = PictureText(lambda: lambda text: Judged(True, "house_style"))
    assert {name for name, score in own.score(draw_poster()).items() if score} == {"any"}


def test_the_policy_says_from_which_size_on_text_is_read_and_nothing_is_loaded_before() -> None:
    loaded = []

    def load_judge():  # type: ignore[no-untyped-def]
        loaded.append("judge")
        return judge_zebras

    judging = load_postfilter(SafetyPolicy.model_validate(POLICY), load_judge=load_judge)
    assert judging.check(draw_poster(300, 180)).verdict is SafetyVerdict.ALLOW
    assert loaded == []
    verdict = judging.check(draw_poster())
    assert (verdict.verdict, verdict.category) == (SafetyVerdict.BLOCK, SafetyCategory.HATE)
    assert loaded == ["judge"]
