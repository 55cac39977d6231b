from datetime import UTC, datetime, timedelta

from mezzotint.domain.tier import Tier
from mezzotint.policy.clock import ClockHistory, ClockReading, latest_of
from mezzotint.policy.expiry import expiry_cutoff

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def history(*readings: tuple[float, float]) -> ClockHistory:
    """Minutes that passed, and minutes that the wall clock shows to have passed, since noon."""
    clock = ClockHistory()
    for passed, shown in readings:
        clock = clock.add_reading(ClockReading(wall=NOON + shown * MINUTE, steady_s=passed * 60))
    return clock


def test_a_clock_that_only_runs_overstates_nothing() -> None:
    assert history((0, 0), (30, 30), (60, 60.01)).overstatement(HOUR) == timedelta(0)


def test_a_step_ahead_is_subtracted_while_rows_may_be_from_before_it() -> None:
    for passed in (1, 30, 59):
        assert history((0, 0), (1, 121), (passed, passed + 120)).overstatement(HOUR) == 2 * HOUR
    assert history((0, 0), (1, 121), (61, 181)).overstatement(HOUR) == timedelta(0)
    assert history((0, 0), (1, 121), (2, 122)).overstatement(MINUTE) == timedelta(0)


def test_a_clock_that_was_set_back_makes_nothing_older() -> None:
    assert history((0, 0), (1, -119), (2, -118)).overstatement(HOUR) == timedelta(0)


def test_steps_that_undo_each_other_are_counted_for_what_was_written_between_them() -> None:
    assert history((0, 0), (1, 121), (2, 2)).overstatement(HOUR) == timedelta(0), "there and back"
    assert history((0, 0), (1, -119), (2, 2)).overstatement(HOUR) == 2 * HOUR, "written while it was behind"


def test_steps_are_forgotten_after_a_day_and_their_number_is_bounded() -> None:
    assert history((0, 0), (1, 121), (1442, 1562)).steps == ()
    assert len(history(*((n, 2 * n) for n in range(500))).steps) == 100


def test_free_jobs_that_waited_a_minute_do_not_expire_when_the_clock_steps_two_hours_ahead() -> None:
    clock = history((0, 0), (1, 121))
    before = expiry_cutoff(Tier.FREE, NOON + 121 * MINUTE, clock)
    assert before == NOON + 121 * MINUTE - 3 * HOUR
    assert before is not None
    assert before <= NOON


def test_nothing_ends_before_it_began() -> None:
    assert latest_of(NOON, (NOON + HOUR, None)) == NOON + HOUR
    assert latest_of(NOON, (NOON - HOUR, None)) == NOON
