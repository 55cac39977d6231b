"""The result of an evaluation: figures, tables and plots, as JSON keeps them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from mezzotint.domain.errors import ArgumentInvalid, OutputUnwritable
from mezzotint.evals.statistics import Interval, share_interval


class ResultInvalid(ArgumentInvalid):
    """A file of an evaluation's result cannot be read."""

    hint = "Run the evaluation again; `mezzotint eval accept` keeps its result."


class ResultUnwritable(OutputUnwritable):
    """The folder of results cannot be written."""

    hint = "Choose another folder with --out."


class Suite(StrEnum):
    """The evaluations, in the order in which `mezzotint eval all` runs them."""

    SAFETY = "safety"
    INJECTION = "injection"
    ALIGNMENT = "alignment"
    CALIBRATION = "calibration"
    AESTHETIC = "aesthetic"
    REGRESSION = "regression"
    IMAGES = "images"
    COSTS = "costs"
    LATENCY = "latency"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Frozen):
    """A measured number. low, high: its 95 % interval, where there is one. num: rows or pictures behind it.
    unit: "share" (0..1), "ms", "s", "GPU-s", or "" for a score."""

    value: float | None
    low: float | None = None
    high: float | None = None
    num: int = 0
    unit: str = ""

    @field_validator("value", "low", "high", mode="before")
    @classmethod
    def _drop_what_is_no_number(cls, value: float | None) -> float | None:
        """JSON has no NaN: a number that does not exist is null."""
        return value if value is not None and isfinite(value) else None

    @classmethod
    def share(cls, num_hits: int, num_all: int) -> Self:
        """A share with its bootstrap interval; without a value where there are no rows."""
        if num_all == 0:
            return cls(value=None, unit="share")
        return cls.of(num_hits / num_all, share_interval(num_hits, num_all), num=num_all, unit="share")

    @classmethod
    def of(cls, value: float, interval: Interval, *, num: int, unit: str = "") -> Self:
        return cls(value=value, low=interval.low, high=interval.high, num=num, unit=unit)


class Table(_Frozen):
    """A table of the report. A cell is text, a count or a figure."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | int | Figure, ...], ...]


class Bars(_Frozen):
    """Shares with their intervals, one bar a label."""

    title: str
    bars: Mapping[str, Figure]


class Curve(_Frozen):
    """A line through points. x_label, y_label: both axes go from 0 to 1 where `is_unit`."""

    title: str
    x_label: str
    y_label: str
    points: tuple[tuple[float, float], ...]
    is_unit: bool = True


class EvalResult(_Frozen):
    """inputs: the versions and choices that the figures depend on. notes: sentences that a reader must know.
    thumbnails: the pictures of a regression run by id, as `encode_thumbnail` makes them. scores: of the pictures of an
    alignment run by id."""

    suite: Suite
    created_at: datetime
    inputs: Mapping[str, str] = {}
    figures: Mapping[str, Figure]
    tables: tuple[Table, ...] = ()
    bars: tuple[Bars, ...] = ()
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()
    thumbnails: Mapping[str, str] = {}
    scores: Mapping[str, float] = {}


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def read_result(path: Path) -> EvalResult:
    """Raises: ResultInvalid."""
    try:
        return EvalResult.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ResultInvalid(f"{path} is no result of an evaluation: {str(error).splitlines()[0]}") from error
