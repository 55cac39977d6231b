"""Run the evaluations that look at pictures."""

from mezzotint.evals.pictures.regression import measure_regression
from mezzotint.evals.result import EvalResult, Suite
from mezzotint.main.evals.draw import DrawChoices, draw_pictures
from mezzotint.main.evals.finish import EvalRun


def run_regression(run: EvalRun, choices: DrawChoices) -> EvalResult:
    """Raises: StartError, RunFailed, ResultInvalid."""
    pictures, inputs = draw_pictures(run.settings, choices)
    accepted = run.folder.find_accepted(Suite.REGRESSION, inputs)
    return measure_regression(pictures, accepted, inputs=inputs)
