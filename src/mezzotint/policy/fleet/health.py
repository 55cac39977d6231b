"""Judge the health of a worker and its device by what it did in the last minutes.

A sign is slight or grave. A slight one makes a suspect: it draws on, and is the first to go. A grave one quarantines:
the worker drains and nothing uses its device until a time is over, which doubles each time. Then comes probation, in
which any sign is grave. A rate that the other workers of the pool show as well is a model's fault, and no sign.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from mezzotint.domain.fleet.health import HealthVerdict


class HealthSignal(StrEnum):
    HEARTBEAT = "heartbeat"
    NOT_FINITE = "not_finite"
    FAILURES = "failures"
    STEP_TIME = "step_time"
    MEMORY = "memory"
    DEVICE_ERRORS = "device_errors"
    TEMPERATURE = "temperature"
    CRASHES = "crashes"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCounts:
    """Runs that ended. num_failed: by a fault of the worker or its device, NaN included; what users cause is left out.
    num_not_finite: with NaN or infinity."""

    num_runs: int = 0
    num_failed: int = 0
    num_not_finite: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerVitals:
    """A worker in the last ten minutes, or since it was let on probation. others: the other workers of its pool.

    heartbeat_age_s: since it was last heard of. step_ratio: its median step time over that of so many others
    (num_compared), like with like; None: not known. memory_share: used of its device's memory. device_errors:
    uncorrected ones since it started. num_crashes: its ends that nobody wished for.
    """

    heartbeat_age_s: float = 0.0
    runs: RunCounts = field(default_factory=RunCounts)
    others: RunCounts = field(default_factory=RunCounts)
    step_ratio: float | None = None
    num_compared: int = 0
    memory_share: float | None = None
    device_errors: int = 0
    temperature_c: float | None = None
    num_crashes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalLimits:
    """A sign is slight above the first, grave above the second. least: runs, events or other workers that it takes
    to be grave."""

    slight: float
    grave: float
    least: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRules:
    """The numbers of health. like_others: a rate is a sign only where it is more than so many times the others'.

    calm_s: without a sign, after which a suspect is healthy. quarantine_s, max_quarantine_s: the first, and the
    longest. probation_runs, probation_s: whichever comes first without a sign. forgotten_s: healthy for so long, after
    which earlier quarantines do not count.
    """

    heartbeat_s: SignalLimits = SignalLimits(slight=10.0, grave=float("inf"))
    not_finite: SignalLimits = SignalLimits(slight=0.0, grave=0.01, least=2)
    failures: SignalLimits = SignalLimits(slight=0.05, grave=0.2, least=3)
    step_ratio: SignalLimits = SignalLimits(slight=1.5, grave=3.0, least=2)  # of two workers either may be the odd one
    memory_share: SignalLimits = SignalLimits(slight=0.98, grave=float("inf"))
    device_errors: SignalLimits = SignalLimits(slight=0.0, grave=0.0)
    temperature_c: SignalLimits = SignalLimits(slight=88.0, grave=96.0)
    crashes: SignalLimits = SignalLimits(slight=0.0, grave=2.0)
    like_others: float = 3.0
    calm_s: float = 60.0
    quarantine_s: float = 600.0
    max_quarantine_s: float = 4 * 3600.0
    probation_runs: int = 50
    probation_s: float = 900.0
    forgotten_s: float = 24 * 3600.0


HEALTH_RULES = HealthRules()
"""The rules that production uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSign:
    """A sign of trouble. value: what was measured. limit: what it passed."""

    signal: HealthSignal
    is_grave: bool
    value: float
    limit: float
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRecord:
    """The record of a device between judgements. since: of the verdict. signed_at: the last sign of trouble.
    num_quarantines: in a row."""

    verdict: HealthVerdict = HealthVerdict.HEALTHY
    since: datetime
    signed_at: datetime | None = None
    num_quarantines: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthJudgement:
    """record: to be kept. signs: the gravest first; empty: none."""

    record: HealthRecord
    signs: Sequence[HealthSign] = ()

    @property
    def reason(self) -> str:
        return "; ".join(sign.sentence for sign in self.signs) or "no sign of trouble"


def judge_health(
    record: HealthRecord, vitals: WorkerVitals, now: datetime, rules: HealthRules = HEALTH_RULES
) -> HealthJudgement:
    """The verdict from now on. Of a device in quarantine no vitals are asked for: its time alone counts."""
    if record.verdict is HealthVerdict.QUARANTINED:
        is_over = now - record.since >= quarantine_time(record.num_quarantines, rules)
        return HealthJudgement(record=_turn(record, HealthVerdict.PROBATION, now) if is_over else record)
    signs = tuple(sorted(find_signs(vitals, rules), key=lambda sign: not sign.is_grave))
    if not signs:
        return HealthJudgement(record=_clear(record, vitals, now, rules))
    is_grave = signs[0].is_grave or record.verdict is HealthVerdict.PROBATION
    signed = replace(record, signed_at=now)
    after = _quarantine(signed, now, rules) if is_grave else _turn(signed, HealthVerdict.SUSPECT, now)
    return HealthJudgement(record=after, signs=signs)


def quarantine_time(num_quarantines: int, rules: HealthRules = HEALTH_RULES) -> timedelta:
    """The length of the so-manieth quarantine in a row."""
    doublings = min(max(num_quarantines - 1, 0), 20)
    return timedelta(seconds=min(rules.quarantine_s * 2.0**doublings, rules.max_quarantine_s))


def find_signs(vitals: WorkerVitals, rules: HealthRules = HEALTH_RULES) -> Iterator[HealthSign]:
    """Everything that is wrong with a worker."""
    mine, others = vitals.runs, vitals.others
    measured = (
        (HealthSignal.HEARTBEAT, vitals.heartbeat_age_s, rules.heartbeat_s, "not heard of for {value:.0f} s"),
        (HealthSignal.STEP_TIME, vitals.step_ratio, rules.step_ratio, "its steps take {value:.1f} times the others'"),
        (HealthSignal.MEMORY, vitals.memory_share, rules.memory_share, "{value:.0%} of its memory is used"),
        (
            HealthSignal.DEVICE_ERRORS,
            vitals.device_errors,
            rules.device_errors,
            "{value:.0f} uncorrected memory errors",
        ),
        (HealthSignal.TEMPERATURE, vitals.temperature_c, rules.temperature_c, "its device has {value:.0f} °C"),
        (HealthSignal.CRASHES, vitals.num_crashes, rules.crashes, "it ended unexpectedly {value:.0f} times"),
    )
    for signal, value, limits, text in measured:
        if value is not None and value > limits.slight:
            is_grave = value > limits.grave and (
                signal is not HealthSignal.STEP_TIME or vitals.num_compared >= limits.least
            )
            limit = limits.grave if is_grave else limits.slight
            yield HealthSign(
                signal=signal, is_grave=is_grave, value=value, limit=limit, sentence=text.format(value=value)
            )
    rates = (
        (HealthSignal.NOT_FINITE, mine.num_not_finite, others.num_not_finite, rules.not_finite, "were not finite"),
        (HealthSignal.FAILURES, mine.num_failed, others.num_failed, rules.failures, "failed"),
    )
    for signal, hits, other_hits, limits, text in rates:
        rate = hits / mine.num_runs if mine.num_runs else 0.0
        other_rate = other_hits / others.num_runs if others.num_runs else 0.0
        if rate <= limits.slight or rate <= rules.like_others * other_rate:
            continue
        is_grave = rate > limits.grave and hits >= limits.least
        limit = limits.grave if is_grave else limits.slight
        sentence = f"{hits} of {mine.num_runs} runs {text}, {other_rate:.1%} of the others'"
        yield HealthSign(signal=signal, is_grave=is_grave, value=rate, limit=limit, sentence=sentence)


def _turn(record: HealthRecord, verdict: HealthVerdict, now: datetime) -> HealthRecord:
    return record if verdict is record.verdict else replace(record, verdict=verdict, since=now)


def _quarantine(record: HealthRecord, now: datetime, rules: HealthRules) -> HealthRecord:
    is_forgotten = record.verdict is HealthVerdict.HEALTHY and (now - record.since).total_seconds() > rules.forgotten_s
    number = 1 if is_forgotten else record.num_quarantines + 1
    return HealthRecord(verdict=HealthVerdict.QUARANTINED, since=now, signed_at=now, num_quarantines=number)


def _clear(record: HealthRecord, vitals: WorkerVitals, now: datetime, rules: HealthRules) -> HealthRecord:
    """The record of a worker that shows no sign."""
    age_s = (now - record.since).total_seconds()
    calm_s = (now - (record.signed_at or record.since)).total_seconds()
    is_proven = vitals.runs.num_runs >= rules.probation_runs or age_s >= rules.probation_s
    if record.verdict is HealthVerdict.SUSPECT and calm_s >= rules.calm_s:
        return _turn(record, HealthVerdict.HEALTHY, now)
    if record.verdict is HealthVerdict.PROBATION and is_proven:
        return _turn(record, HealthVerdict.HEALTHY, now)
    return record
