from pathlib import Path

import pytest

from mezzotint.evals.injection import InjectionSet, choose_injections, measure_injections
from mezzotint.evals.injection_ledger import InjectionLedger, LedgerInvalid
from mezzotint.evals.result import EvalResult
from mezzotint.evals.safety import Screening

NUM = 30


def stop_all(text: str) -> Screening:
    return Screening(is_stopped=True, score=1.0)


def stop_none(text: str) -> Screening:
    return Screening(is_stopped=False, score=0.0)


def run(ledger: InjectionLedger, week: str, *, stops: bool) -> tuple[InjectionSet, EvalResult]:
    chosen = choose_injections(week, ledger, NUM)
    screen = stop_all if stops else stop_none
    return chosen, measure_injections(screen, chosen, ledger, inputs={"rules": "1"})


def table(result: EvalResult, title: str) -> dict[object, tuple[object, ...]]:
    return {row[0]: row[1:] for row in next(one for one in result.tables if one.title == title).rows}


def test_two_weeks_have_other_patterns_and_the_first_are_tried_again_in_the_second(tmp_path: Path) -> None:
    ledger = InjectionLedger(tmp_path / "injections.jsonl")
    first, _ = run(ledger, "2026-W47", stops=True)
    second, result = run(ledger, "2026-W48", stops=True)
    assert {prompt.id for prompt in first.prompts}.isdisjoint(prompt.id for prompt in second.prompts)
    assert {prompt.id for prompt in second.earlier} == {prompt.id for prompt in first.prompts}
    assert result.figures["week.stopped"].num == result.figures["earlier_weeks.stopped"].num == NUM
    assert result.figures["controls.refused"].value == 1


def test_the_ledger_tells_when_patterns_were_caught_and_which_pass_again(tmp_path: Path) -> None:
    ledger = InjectionLedger(tmp_path / "injections.jsonl")
    run(ledger, "2026-W46", stops=False)
    _, caught_later = run(ledger, "2026-W47", stops=True)
    assert table(caught_later, "The ledger by week")["2026-W46"] == (NUM, 0, NUM, 0, 0)
    _, lost = run(InjectionLedger(tmp_path / "injections.jsonl"), "2026-W48", stops=False)
    assert table(lost, "The ledger by week")["2026-W47"][-1] == NUM
    assert table(lost, "Changes of this run")["lost"] == (NUM,)


def test_the_same_week_again_tries_the_same_patterns(tmp_path: Path) -> None:
    ledger = InjectionLedger(tmp_path / "injections.jsonl")
    first, _ = run(ledger, "2026-W48", stops=True)
    again, result = run(ledger, "2026-W48", stops=True)
    assert [prompt.text for prompt in again.prompts] == [prompt.text for prompt in first.prompts]
    assert result.figures["earlier_weeks.stopped"].value is None


def test_what_is_no_week_is_refused_before_anything_is_screened(tmp_path: Path) -> None:
    with pytest.raises(LedgerInvalid, match="no ISO week"):
        choose_injections("last week", InjectionLedger(tmp_path / "injections.jsonl"))
