from pathlib import Path

import pytest
from PIL import Image

from mezzotint.evals.pictures.alignment import Scorer, calibrate, measure_alignment
from mezzotint.evals.pictures.drawn import DrawnPicture
from mezzotint.evals.result import EvalResult, Suite
from mezzotint.evals.results_folder import ResultsFolder

NAMES = ("red", "green", "blue", "yellow", "black", "white", "orange", "purple")


def agreement(picture: DrawnPicture) -> float:
    """1 where the picture is of the colour that the prompt names, less the farther it is from it."""
    wanted = Image.new("RGB", (1, 1), picture.prompt).getpixel((0, 0))
    shown = picture.picture.getpixel((0, 0))
    assert isinstance(wanted, tuple)
    assert isinstance(shown, tuple)
    return 1 - sum(abs(one - other) for one, other in zip(wanted, shown, strict=True)) / 765


SCORER = Scorer(name="colours", score=agreement)


def draw(towards_grey: float = 0.0) -> list[DrawnPicture]:
    grey = Image.new("RGB", (4, 4), "grey")
    return [
        DrawnPicture(id=name, prompt=name, picture=Image.blend(Image.new("RGB", (4, 4), name), grey, towards_grey))
        for name in NAMES
    ]


def measure(pictures: list[DrawnPicture], accepted: EvalResult | None, threshold: float | None = 0.9) -> EvalResult:
    return measure_alignment(pictures, SCORER, accepted, inputs={}, threshold=threshold)


def test_right_prompts_score_above_wrong_ones() -> None:
    figures = measure(draw(), None).figures
    assert figures["score"].value == 1
    assert figures["roc_area"].value == 1
    assert figures["aligned"].value == 1


def test_a_worse_model_shows_as_a_change_against_the_accepted_run() -> None:
    accepted = measure(draw(), None)
    worse = measure(draw(towards_grey=0.4), accepted).figures["change"]
    assert worse.high is not None
    assert worse.high < -0.1
    assert measure(draw(), accepted).figures["change"].value == 0


def test_scores_of_another_scorer_are_not_compared() -> None:
    other = measure_alignment(draw(), Scorer(name="other", score=agreement), None, inputs={}, threshold=None)
    assert "change" not in measure(draw(), other).figures


def test_without_a_threshold_the_note_says_how_to_find_one() -> None:
    result = measure(draw(), None, threshold=None)
    assert "aligned" not in result.figures
    assert "eval calibrate" in result.notes[0]


def label(pictures: list[DrawnPicture]) -> list[DrawnPicture]:
    right = [DrawnPicture(id=one.id, prompt=one.prompt, picture=one.picture, score=1.0) for one in pictures]
    shifted = zip(pictures, [*pictures[3:], *pictures[:3]], strict=True)
    return right + [
        DrawnPicture(id=f"not {one.id}", prompt=other.prompt, picture=one.picture, score=0.0) for one, other in shifted
    ]


def test_a_threshold_is_found_from_labels_with_its_interval_and_used_by_the_next_run(tmp_path: Path) -> None:
    result = calibrate(label(draw(towards_grey=0.2)), SCORER, inputs={})
    threshold = result.figures["threshold"]
    assert threshold.low is not None
    assert threshold.value is not None
    assert threshold.low <= threshold.value
    assert result.figures["aligned_accepted"].value == 1
    assert result.figures["others_accepted"].value == 0
    (tmp_path / "calibration.json").write_text(result.model_dump_json())
    folder = ResultsFolder(tmp_path)
    assert folder.find_threshold("colours") == threshold.value
    assert folder.find_threshold("another model") is None
    assert folder.read_last(Suite.CALIBRATION) == result


def test_labels_of_one_kind_calibrate_nothing() -> None:
    only_right = [one for one in label(draw()) if one.score == 1]
    with pytest.raises(ValueError, match="both classes"):
        calibrate(only_right, SCORER, inputs={})
