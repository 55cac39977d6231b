"""Run the evaluation of a week's injections."""

from mezzotint.evals.injection import choose_injections, measure_injections
from mezzotint.evals.injection_ledger import InjectionLedger
from mezzotint.evals.injections import format_week
from mezzotint.evals.result import EvalResult, now
from mezzotint.main.evals.finish import EvalRun, progress_bar
from mezzotint.main.evals.run_safety import open_screen


def run_injection(run: EvalRun, week: str | None, limit: int | None) -> EvalResult:
    """week: as in 2026-W48; None: this one. Raises: LedgerInvalid, ArgumentInvalid, RulesInvalid."""
    ledger = InjectionLedger(run.folder.path / "injections.jsonl")
    chosen = choose_injections(week or format_week(now().date()), ledger, limit)
    screen, inputs = open_screen(run.settings)
    with progress_bar() as bar:
        task = bar.add_task("screening injections", total=len(chosen))
        return measure_injections(screen, chosen, ledger, inputs=inputs, on_prompt=lambda: bar.advance(task))
