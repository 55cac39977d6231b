from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.domain.errors import (
    DeadlineExceeded,
    EncodeFailed,
    EngineFailed,
    FilterFailed,
    ImageBlocked,
    JobFault,
    ModelUndrawable,
    NotFinite,
    RunFailed,
    StepBudgetExceeded,
    StorageUnavailable,
    WorkerLost,
)
from mezzotint.domain.ids import WorkerId
from mezzotint.policy.retry import AVOID_S, MAX_DELAY_S, DeadLetter, Failure, Retry, decide_retry, delay_s

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORKER = WorkerId("w1")


def failure(fault: JobFault, num_tries: int = 1, jitter: float = 1.0) -> Failure:
    return Failure(fault=fault, num_tries=num_tries, worker=WORKER, at=NOW, jitter=jitter)


@pytest.mark.parametrize("fault", [ImageBlocked("x"), StepBudgetExceeded("x"), DeadlineExceeded("x")])
def test_a_fault_that_would_repeat_itself_ends_the_job_at_once(fault: JobFault) -> None:
    decision = decide_retry(failure(fault), max_tries=5)
    assert isinstance(decision, DeadLetter)
    assert (decision.error.code, decision.error.message) == (fault.code, "x")


@pytest.mark.parametrize("fault", [NotFinite("step 47"), RunFailed("boom")])
def test_a_fault_that_may_lie_with_the_machine_is_tried_once_elsewhere(fault: JobFault) -> None:
    first = decide_retry(failure(fault), max_tries=5)
    assert isinstance(first, Retry)
    assert (first.avoid, first.avoid_until) == (WORKER, NOW + timedelta(seconds=AVOID_S))
    second = decide_retry(failure(fault, num_tries=2), max_tries=5)
    assert isinstance(second, DeadLetter)
    assert "tried 2 times" in second.error.message


def test_the_general_limit_ends_what_nobody_is_guilty_of() -> None:
    assert isinstance(decide_retry(failure(WorkerLost("gone"), num_tries=4), max_tries=5), Retry)
    assert isinstance(decide_retry(failure(WorkerLost("gone"), num_tries=5), max_tries=5), DeadLetter)
    assert isinstance(decide_retry(failure(NotFinite("nan"), num_tries=1), max_tries=1), DeadLetter)


def test_a_job_whose_worker_died_goes_on_at_once_and_waits_when_it_happens_again() -> None:
    decision = decide_retry(failure(WorkerLost("gone")), max_tries=5)
    assert isinstance(decision, Retry)
    assert decision.not_before == NOW
    assert delay_s(failure(WorkerLost("gone"), num_tries=2)) == 2.0


@given(st.integers(0, 10_000), st.floats(-1, 2))
def test_backoff_grows_to_a_limit_and_dice_spread_only_its_upper_half(num_tries: int, jitter: float) -> None:
    fault = StorageUnavailable("away")
    longest = delay_s(failure(fault, num_tries, jitter=1.0))
    assert longest / 2 <= delay_s(failure(fault, num_tries, jitter)) <= longest <= MAX_DELAY_S
    assert delay_s(failure(fault, num_tries + 1)) >= longest


@pytest.mark.parametrize("fault", [WorkerLost("gone"), EngineFailed("gone")])
def test_a_job_that_ended_one_worker_runs_alone_and_one_that_ended_two_runs_no_more(fault: JobFault) -> None:
    first = decide_retry(replace(failure(fault), num_losses=1), max_tries=100)
    assert isinstance(first, Retry)
    assert first.is_suspect
    second = decide_retry(replace(failure(fault), num_losses=2), max_tries=100)
    assert isinstance(second, DeadLetter)
    assert second.error.code == fault.code
    assert "second time" in second.error.message


@pytest.mark.parametrize("fault", [WorkerLost("gone"), EngineFailed("gone")])
def test_a_job_whose_second_worker_ended_while_others_did_too_runs_alone_once_more(fault: JobFault) -> None:
    second = decide_retry(replace(failure(fault), num_losses=2, num_other_ends=1), max_tries=100)
    assert isinstance(second, Retry)
    assert second.is_suspect
    third = decide_retry(replace(failure(fault), num_losses=3, num_other_ends=9), max_tries=100)
    assert isinstance(third, DeadLetter)
    assert "third time" in third.error.message


def test_a_worker_that_lives_makes_no_suspect() -> None:
    decision = decide_retry(failure(WorkerLost("its lease ended"), num_tries=2), max_tries=5)
    assert isinstance(decision, Retry)
    assert not decision.is_suspect


def test_a_picture_that_no_encoder_takes_is_not_drawn_again() -> None:
    assert isinstance(decide_retry(failure(EncodeFailed("x")), max_tries=5), DeadLetter)
    assert isinstance(decide_retry(failure(ModelUndrawable("x")), max_tries=5), DeadLetter)
    assert isinstance(decide_retry(failure(FilterFailed("x")), max_tries=5), Retry)


def test_a_lost_device_is_charged_to_no_job_and_found_again_in_the_second_one() -> None:
    first = Failure(fault=WorkerLost("x"), num_tries=0, worker=WORKER, at=NOW, jitter=1.0, num_losses=1)
    decision = decide_retry(first, max_tries=1)
    assert isinstance(decision, Retry)
    assert (decision.is_suspect, decision.is_charged, decision.not_before) == (True, False, NOW)
    assert isinstance(decide_retry(replace(first, num_losses=2), max_tries=100), DeadLetter)
