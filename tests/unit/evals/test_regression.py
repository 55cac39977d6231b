from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mezzotint.evals.gates import GateOutcome, judge, load_gates
from mezzotint.evals.pictures.drawn import DrawnPicture, PicturesInvalid, read_pictures
from mezzotint.evals.pictures.regression import measure_regression
from mezzotint.evals.result import EvalResult, Suite
from mezzotint.evals.results_folder import find_shipped

COLOURS = ((200, 30, 40), (30, 160, 60), (40, 60, 200), (230, 220, 60))


def draw(change: int = 0) -> list[DrawnPicture]:
    pictures = []
    for number in range(16):
        picture = Image.new("RGB", (64, 64), "white")
        colour = tuple(min(255, channel + change) for channel in COLOURS[number % 4])
        picture.paste(colour, (8 + number, 8, 56, 56))
        pictures.append(DrawnPicture(id=str(number), prompt="a square", picture=picture))
    return pictures


def measure(pictures: list[DrawnPicture], accepted: EvalResult | None) -> EvalResult:
    return measure_regression(pictures, accepted, inputs={})


def outcomes(result: EvalResult) -> set[GateOutcome]:
    return {verdict.outcome for verdict in judge(result, load_gates(), None)}


def test_the_same_pictures_are_at_no_distance_and_pass() -> None:
    again = measure(draw(), measure(draw(), None))
    assert again.figures["distance"].value == 0
    assert outcomes(again) == {GateOutcome.PASSED}


def test_other_pictures_fail() -> None:
    changed = measure(draw(change=60), measure(draw(), None))
    assert changed.figures["distance"].value == pytest.approx(60 / 255 * 0.6, rel=0.4)
    assert outcomes(changed) == {GateOutcome.FAILED}


def test_without_an_accepted_run_the_gates_are_withheld_and_the_note_says_so() -> None:
    first = measure(draw(), None)
    assert outcomes(first) == {GateOutcome.WITHHELD}
    assert "no accepted run" in first.notes[0]


def test_the_starters_accepted_run_is_shipped() -> None:
    shipped = find_shipped(Suite.REGRESSION)
    assert shipped is not None
    assert (shipped.inputs["model"], shipped.inputs["steps"]) == ("mezzotint-starter", "30")
    assert len(shipped.thumbnails) == 32


def test_pictures_are_read_with_their_prompts_and_labels(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "one.png")
    (tmp_path / "rows.csv").write_text("file,prompt,label\none.png,a black square,1\n")
    (found,) = read_pictures(tmp_path / "rows.csv", score="label")
    assert (found.prompt, found.score, found.picture.size) == ("a black square", 1.0, (8, 8))


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("file,prompt\nnone.png,x\n", "line 2"),
        ("file,prompt\n", "no picture"),
        ("file\none.png\n", "lacks label, prompt"),
        ("file,prompt,label\none.png,x,good\n", "line 2"),
    ],
)
def test_a_list_of_pictures_that_cannot_be_used_is_refused_by_line(tmp_path: Path, rows: str, reason: str) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "one.png")
    (tmp_path / "rows.csv").write_text(rows)
    with pytest.raises(PicturesInvalid, match=reason):
        read_pictures(tmp_path / "rows.csv", score="label" if "good" in rows or rows.startswith("file\n") else None)
