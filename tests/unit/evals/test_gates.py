from pathlib import Path

import pytest

from mezzotint.evals.gates import Gate, GateOutcome, GatesInvalid, judge, load_gates
from mezzotint.evals.result import EvalResult, Figure, Suite, now


def result(**figures: Figure) -> EvalResult:
    return EvalResult(suite=Suite.SAFETY, created_at=now(), figures=figures)


def outcome(gate: Gate, figure: Figure, accepted: EvalResult | None = None) -> GateOutcome:
    (verdict,) = judge(result(share=figure), {Suite.SAFETY: {"share": gate}}, accepted)
    assert verdict.reason or verdict.outcome is GateOutcome.PASSED
    return verdict.outcome


@pytest.mark.parametrize(
    ("gate", "value", "expected"),
    [
        (Gate(at_least=0.5), 0.5, GateOutcome.PASSED),
        (Gate(at_least=0.5), 0.49, GateOutcome.FAILED),
        (Gate(above=0.5), 0.5, GateOutcome.FAILED),
        (Gate(at_most=0.5), 0.5, GateOutcome.PASSED),
        (Gate(below=0.5), 0.5, GateOutcome.FAILED),
        (Gate(at_least=0.1, below=0.5), 0.6, GateOutcome.FAILED),
    ],
)
def test_a_gate_holds_its_bounds(gate: Gate, value: float, expected: GateOutcome) -> None:
    assert outcome(gate, Figure(value=value)) is expected


@pytest.mark.parametrize(
    ("gate", "value", "expected"),
    [
        (Gate(max_drop=0.02), 0.89, GateOutcome.PASSED),
        (Gate(max_drop=0.02), 0.87, GateOutcome.FAILED),
        (Gate(max_drop=0.02), 0.99, GateOutcome.PASSED),
        (Gate(max_rise=0.02), 0.93, GateOutcome.FAILED),
    ],
)
def test_a_gate_compares_with_the_accepted_run(gate: Gate, value: float, expected: GateOutcome) -> None:
    assert outcome(gate, Figure(value=value), result(share=Figure(value=0.9))) is expected


@pytest.mark.parametrize(
    ("gate", "figure"),
    [
        (Gate(at_least=0.5, min_num=500), Figure(value=0.1, num=499)),
        (Gate(at_least=0.5), Figure(value=None)),
        (Gate(max_drop=0.1), Figure(value=0.5)),
    ],
)
def test_a_gate_is_withheld_where_there_is_too_little_to_judge(gate: Gate, figure: Figure) -> None:
    assert outcome(gate, figure) is GateOutcome.WITHHELD


def test_a_figure_that_was_not_measured_withholds_its_gate() -> None:
    (verdict,) = judge(result(), {Suite.SAFETY: {"share": Gate(at_least=0.5)}}, None)
    assert verdict.outcome is GateOutcome.WITHHELD


def test_a_file_replaces_a_gate_and_keeps_the_others(tmp_path: Path) -> None:
    path = tmp_path / "gates.toml"
    path.write_text('[safety."golden_benign.refused"]\nat_most = 0.5\n')
    gates = load_gates(path)[Suite.SAFETY]
    assert gates["golden_benign.refused"] == Gate(at_most=0.5)
    assert gates["golden_adversarial.stopped"] == load_gates()[Suite.SAFETY]["golden_adversarial.stopped"]


@pytest.mark.parametrize(
    "text",
    [
        "[safety.x]\nat_leest = 1\n",
        "[weather.x]\nat_least = 1\n",
        "no toml",
        "[safety.x]\nmin_num = 5\n",
        "[safety.x]\nat_least = nan\n",
    ],
)
def test_a_file_that_is_no_list_of_gates_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gates.toml"
    path.write_text(text)
    with pytest.raises(GatesInvalid, match=r"gates\.toml"):
        load_gates(path)
