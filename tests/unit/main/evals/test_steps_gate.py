"""The starter with 3 steps in place of its 30 fails the gates of its accepted run, which the package brings."""

import pytest

from mezzotint.config import read_settings
from mezzotint.evals.gates import GateOutcome, judge
from mezzotint.evals.result import EvalResult
from mezzotint.main.evals.draw import DrawChoices, DrawnPictures, draw_pictures
from mezzotint.main.evals.finish import EvalRun
from mezzotint.main.evals.run_alignment import run_alignment
from mezzotint.main.evals.run_pictures import run_regression

NUM_PICTURES = 16


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> EvalRun:
    folder = tmp_path_factory.mktemp("evals")
    return EvalRun.open(read_settings(data=folder), folder, None)


@pytest.fixture(scope="module")
def drawn(run: EvalRun) -> DrawnPictures:
    return draw_pictures(run.settings, DrawChoices(num_steps=3, limit=NUM_PICTURES))


def failed(run: EvalRun, result: EvalResult) -> set[str]:
    accepted = run.folder.find_accepted(result.suite, result.inputs)
    verdicts = judge(result, run.gates, accepted)
    return {verdict.figure for verdict in verdicts if verdict.outcome is GateOutcome.FAILED}


def test_three_steps_change_the_pictures(run: EvalRun, drawn: DrawnPictures) -> None:
    assert "distance" in failed(run, run_regression(run, drawn))


def test_three_steps_show_their_prompts_worse(run: EvalRun, drawn: DrawnPictures) -> None:
    assert "change" in failed(run, run_alignment(run, drawn, None))


def test_another_model_is_not_compared_with_the_starter(run: EvalRun, drawn: DrawnPictures) -> None:
    other = DrawnPictures(drawn.pictures, {**drawn.inputs, "model": "another"})
    assert "change" not in run_alignment(run, other, None).figures
