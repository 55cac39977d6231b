"""A queue whose workers end because of a job, or for other reasons: who is given up?"""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from mezzotint.domain.ids import JobId, WorkerId
from mezzotint.policy.poison import LATELY, MAX_LOSSES, SAME_END, WorkerLoss, count_other_ends, is_poison_pill
from tests.making import NOW

PILL, OTHER = JobId("pill"), JobId("other")
names = st.integers(0, 5)
losses = st.builds(
    lambda worker, job, seconds: WorkerLoss(
        worker=WorkerId(f"w{worker}"), job=JobId(f"job{job}"), at=NOW - timedelta(seconds=seconds)
    ),
    names,
    names,
    st.integers(0, 2000),
)


def loss(worker: str, job: JobId = PILL, minutes: float = 0.0) -> WorkerLoss:
    return WorkerLoss(worker=WorkerId(worker), job=job, at=NOW - timedelta(minutes=minutes))


def test_the_company_of_a_job_is_no_other_end() -> None:
    lately = [loss("w1", minutes=3), loss("w1", OTHER, minutes=3), loss("w2", OTHER)]
    assert count_other_ends(loss("w2"), lately) == 0
    assert count_other_ends(loss("w2"), [*lately, loss("w3", OTHER, minutes=1)]) == 1


def test_a_worker_that_is_started_again_under_its_name_can_end_without_the_job() -> None:
    first, between = loss("embedded", minutes=8), loss("embedded", OTHER, minutes=4)
    assert count_other_ends(loss("embedded"), [first, between]) == 1
    assert count_other_ends(loss("embedded"), [first, loss("embedded", OTHER, minutes=8)]) == 0


def test_an_end_long_ago_says_nothing_of_now() -> None:
    assert count_other_ends(loss("w2"), [loss("w1", OTHER, minutes=11)]) == 0


@given(st.lists(losses, max_size=30), losses)
def test_other_ends_are_those_of_workers_without_the_job(lately: list[WorkerLoss], lost: WorkerLoss) -> None:
    number = count_other_ends(lost, lately)
    recent = [one for one in lately if one.at >= lost.at - LATELY]
    assert 0 <= number <= len(recent)
    assert number == count_other_ends(lost, reversed(lately))
    without = {one.worker for one in recent} - {one.worker for one in [*recent, lost] if one.job == lost.job}
    assert number >= len(without)
    apart = loss("far away", OTHER)
    assert count_other_ends(lost, [*lately, WorkerLoss(worker=apart.worker, job=OTHER, at=lost.at)]) == number + 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 120)), max_size=40))
def test_a_true_pill_ends_three_workers_at_most_and_two_when_all_else_is_quiet(
    events: list[tuple[bool, int]],
) -> None:
    """events: whether the next end is the pill's (alone), and the seconds until it."""
    now, seen, num_losses, workers = NOW, list[WorkerLoss](), 0, 0
    others = 0
    for is_pill, seconds in events:
        now, workers = now + timedelta(seconds=seconds), workers + 1
        lost = WorkerLoss(worker=WorkerId(f"w{workers}"), job=PILL if is_pill else OTHER, at=now)
        if is_pill:
            num_losses += 1
            if is_poison_pill(num_losses, count_other_ends(lost, seen)):
                break
            assert num_losses < MAX_LOSSES
            assert num_losses == 1 or others, "given up at the second end where none ended without it"
        else:
            others += 1
        seen.append(lost)


def test_ends_of_one_worker_are_told_apart_by_a_minute() -> None:
    near = loss("embedded", OTHER, minutes=SAME_END.total_seconds() / 60)
    assert count_other_ends(loss("embedded"), [near]) == 0
