"""Run every evaluation that needs nothing but the package; pictures are drawn once."""

from collections.abc import Sequence
from pathlib import Path

from mezzotint.evals.result import EvalResult
from mezzotint.main.evals.draw import DrawChoices, draw_pictures
from mezzotint.main.evals.finish import EvalRun
from mezzotint.main.evals.run_alignment import run_alignment
from mezzotint.main.evals.run_injection import run_injection
from mezzotint.main.evals.run_latency import run_latency
from mezzotint.main.evals.run_pictures import Graders, run_aesthetic, run_regression
from mezzotint.main.evals.run_safety import run_safety

NUM_TIMED = 100


def run_all(run: EvalRun, choices: DrawChoices, extra: Sequence[Path], reference: str | None) -> list[EvalResult]:
    """Raises: PromptsInvalid, RulesInvalid, StartError, RunFailed, ResultInvalid."""
    safety = run_safety(run.settings, extra, reference=reference, limit=choices.limit)
    drawn = draw_pictures(run.settings, choices)
    return [
        safety,
        run_injection(run, None, choices.limit),
        run_regression(run, drawn),
        run_alignment(run, drawn, None),
        run_aesthetic(run, drawn, Graders()),
        run_latency(run.settings, min(NUM_TIMED, choices.limit or NUM_TIMED)),
    ]
