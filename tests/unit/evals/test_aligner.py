from pathlib import Path

import pytest
import torch
from PIL import Image

from mezzotint.domain.errors import ModelCorrupt
from mezzotint.evals.pictures.aligner import Aligner, to_pixels
from mezzotint.evals.pictures.drawn import DrawnPicture
from mezzotint.evals.result import Suite
from mezzotint.evals.results_folder import find_shipped
from mezzotint.main.evals.run_alignment import BUILT_IN

FOLDER = Path(__file__).parents[3] / "src/mezzotint/evals/aligner"


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    return Aligner()


def draw_disc(colour: str) -> Image.Image:
    picture = Image.new("RGB", (64, 64), "white")
    mask = Image.new("L", (256, 256), 0)
    mask.paste(255, (30, 30, 226, 226))
    picture.paste(Image.new("RGB", (64, 64), colour), mask=mask.resize((64, 64)))
    return picture


def test_colours_of_a_shape_are_told_apart(aligner: Aligner) -> None:
    colours = ("red", "blue", "green", "yellow")
    scores = aligner.compare([draw_disc(colour) for colour in colours], [f"a {colour} square" for colour in colours])
    assert scores.argmax(1).tolist() == [0, 1, 2, 3]


def test_a_score_is_one_cell_of_the_comparison(aligner: Aligner) -> None:
    picture = draw_disc("red")
    both = aligner.compare([picture], ["a red square", "a car"])[0]
    one = aligner.score(DrawnPicture(id="1", prompt="a car", picture=picture))
    assert one == pytest.approx(float(both[1]), abs=1e-4)
    assert both.abs().max() <= 1


def test_a_wide_picture_is_fitted_on_white() -> None:
    pixels = to_pixels(Image.new("RGB", (200, 100), "black"))
    assert pixels.shape == (3, 32, 32)
    assert torch.all(pixels[:, 0] == 1)
    assert torch.all(pixels[:, 16] == -1)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    for file in (FOLDER / "SHA256SUMS", FOLDER / "aligner.safetensors"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = bytearray((tmp_path / "aligner.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "aligner.safetensors").write_bytes(weights)
    with pytest.raises(ModelCorrupt):
        Aligner(tmp_path)


def test_the_threshold_of_the_built_in_aligner_is_shipped() -> None:
    shipped = find_shipped(Suite.CALIBRATION)
    assert shipped is not None
    assert shipped.inputs["scorer"] == BUILT_IN
    assert shipped.figures["threshold"].num >= 100
