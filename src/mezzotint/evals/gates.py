"""Gates: bounds that the figures of an evaluation must keep. The bounds stand in gates.toml; a file of the operator's
replaces them figure by figure."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from mezzotint.domain.errors import SettingInvalid
from mezzotint.evals.result import EvalResult, Figure, Suite


class GatesInvalid(SettingInvalid):
    """The file of gates cannot be used."""

    hint = "See docs/reference/gates.md for the form of the file."


class GateOutcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    WITHHELD = "withheld"


class Gate(BaseModel):
    """Bounds of one figure. Every bound that is given must hold."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    max_drop: float | None = None
    max_rise: float | None = None
    min_num: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if not self.describe():
            raise ValueError("it has no bound, so that nothing could fail it")
        return self

    def describe(self) -> str:
        bounds = (
            ("at least", self.at_least), ("at most", self.at_most), ("above", self.above), ("below", self.below),
            ("falls by at most", self.max_drop), ("rises by at most", self.max_rise),
        )  # fmt: skip
        return ", ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)

    @property
    def is_relative(self) -> bool:
        return self.max_drop is not None or self.max_rise is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """The outcome of one gate, and why in words."""

    figure: str
    gate: Gate
    outcome: GateOutcome
    reason: str


Gates = Mapping[Suite, Mapping[str, Gate]]
_FORM: TypeAdapter[dict[Suite, dict[str, Gate]]] = TypeAdapter(dict[Suite, dict[str, Gate]])


def load_gates(path: Path | None = None) -> Gates:
    """The built-in gates, with those of the file in their place. Raises: GatesInvalid, naming the file and the key."""
    source = files("mezzotint.evals").joinpath("gates.toml")
    gates = _FORM.validate_python(tomllib.loads(source.read_text(encoding="utf-8")))
    if path is None:
        return gates
    try:
        own = _FORM.validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise GatesInvalid(f"{path}: {place}: {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise GatesInvalid(f"{path}: {error}") from error
    return {suite: {**gates.get(suite, {}), **own.get(suite, {})} for suite in {*gates, *own}}


def judge(result: EvalResult, gates: Gates, accepted: EvalResult | None) -> list[GateVerdict]:
    """Hold the figures of a run against the gates of its suite."""
    verdicts = []
    for name, gate in gates.get(result.suite, {}).items():
        before = accepted.figures.get(name) if accepted else None
        outcome, reason = _judge_figure(result.figures.get(name), gate, before)
        verdicts.append(GateVerdict(figure=name, gate=gate, outcome=outcome, reason=reason))
    return verdicts


def _judge_figure(figure: Figure | None, gate: Gate, before: Figure | None) -> tuple[GateOutcome, str]:
    if figure is None or figure.value is None:
        return GateOutcome.WITHHELD, "not measured in this run"
    if figure.num < gate.min_num:
        reason = f"measured on {figure.num}; the gate needs {gate.min_num}"
        if figure.low is not None and figure.high is not None:
            reason += f": the value lies between {figure.low:.3g} and {figure.high:.3g}, which is too wide to judge by"
        return GateOutcome.WITHHELD, reason
    if gate.is_relative and (before is None or before.value is None):
        return GateOutcome.WITHHELD, "no accepted run to compare with; `mezzotint eval accept` keeps one"
    broken = list(_broken_bounds(figure.value, gate, before.value if before and before.value is not None else None))
    return (GateOutcome.FAILED, "; ".join(broken)) if broken else (GateOutcome.PASSED, "")


def _broken_bounds(value: float, gate: Gate, before: float | None) -> Iterator[str]:
    if gate.at_least is not None and value < gate.at_least:
        yield f"{value:.4g} is less than {gate.at_least:g}"
    if gate.at_most is not None and value > gate.at_most:
        yield f"{value:.4g} is more than {gate.at_most:g}"
    if gate.above is not None and value <= gate.above:
        yield f"{value:.4g} is not above {gate.above:g}"
    if gate.below is not None and value >= gate.below:
        yield f"{value:.4g} is not below {gate.below:g}"
    if before is None:
        return
    if gate.max_drop is not None and before - value > gate.max_drop:
        yield f"{value:.4g} is {before - value:.4g} less than the accepted {before:.4g}; allowed: {gate.max_drop:g}"
    if gate.max_rise is not None and value - before > gate.max_rise:
        yield f"{value:.4g} is {value - before:.4g} more than the accepted {before:.4g}; allowed: {gate.max_rise:g}"
