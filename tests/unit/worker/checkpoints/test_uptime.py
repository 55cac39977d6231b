"""Time worked and workers cut off are remembered from process to process."""

import json
from pathlib import Path

import pytest

from mezzotint.policy.device.checkpoint_interval import FIRST_STEPS, MAX_STEPS, PRIOR_S
from mezzotint.worker import CheckpointInterval, Uptime
from mezzotint.worker.checkpoints.uptime import MEMORY_S, UptimeRecord, fade_record


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def worked(path: Path, seconds: float, *, is_cut_off: bool) -> UptimeRecord:
    """A worker that is busy for so long, then ends in order or by a power cut."""
    clock = Clock()
    uptime = Uptime(path, clock)
    with uptime:
        for _ in range(11):
            uptime.tick(is_working=True)
            clock.now += seconds / 10
        left = path.read_text()
    if is_cut_off:
        path.write_text(left)
    return uptime.record


def test_a_worker_that_was_cut_off_counts_and_one_that_stopped_does_not(tmp_path: Path) -> None:
    path = tmp_path / "uptime.json"
    assert worked(path, 600, is_cut_off=False).num_failures == 0
    assert worked(path, 600, is_cut_off=True).num_failures == 0
    assert worked(path, 600, is_cut_off=True).num_failures == 1
    last = worked(path, 600, is_cut_off=False)
    assert last.num_failures == 2
    assert last.ran_s == pytest.approx(2400)
    assert worked(path, 1, is_cut_off=False).num_failures == 2


def test_idle_time_is_no_time_worked_and_its_end_no_failure(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "uptime.json"
    with Uptime(path, clock) as uptime:
        for is_working in (True, True, False, False, False):
            uptime.tick(is_working=is_working)
            clock.now += 20
        assert json.loads(path.read_text())["is_working"] is False
    assert uptime.record.ran_s == pytest.approx(40)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"ran_s": "x"}', '{"ran_s": 5}'])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "uptime.json").write_text(content)
    with Uptime(tmp_path / "uptime.json") as uptime:
        assert uptime.record == UptimeRecord()


def test_a_second_worker_of_the_folder_does_not_take_the_first_for_dead(tmp_path: Path) -> None:
    path = tmp_path / "uptime.json"
    with Uptime(path) as first:
        first.tick(is_working=True)
        with Uptime(path) as second:
            assert second.record == UptimeRecord()
        assert json.loads(path.read_text())["is_working"] is True


def test_a_folder_that_cannot_be_written_costs_nothing_but_memory(tmp_path: Path) -> None:
    with Uptime(tmp_path / "no" / "uptime.json") as uptime:
        uptime.tick(is_working=True)
        assert uptime.mtbf_s >= PRIOR_S


def test_old_observations_fade_at_the_same_rate_of_failures() -> None:
    old = fade_record(UptimeRecord(ran_s=4 * MEMORY_S, num_failures=8))
    assert (old.ran_s, old.num_failures) == (MEMORY_S, 2)


def test_auto_begins_as_usual_and_then_follows_what_is_measured() -> None:
    interval = CheckpointInterval(every=None)
    assert interval.choose_steps(0.05) == FIRST_STEPS
    for _ in range(50):
        interval.record_write(0.005)
    assert interval.choose_steps(0.05) == FIRST_STEPS, "a failure that nobody foresaw costs no more"
    assert interval.choose_steps(5.0) == 6, "sqrt(2 x 5 ms x a day) is 29 s"
    for _ in range(40):
        interval.uptime.record_failure()
    assert interval.choose_steps(0.1) == 7, "and at 43 s between failures 0.66 s"


def test_writes_that_take_long_are_made_more_rarely_than_usual() -> None:
    interval = CheckpointInterval(every=None)
    interval.record_write(1.0)
    assert interval.choose_steps(0.2) == 20, "of 5 s one goes into writing"
    assert interval.choose_steps(0.01) == MAX_STEPS


def test_a_number_stays_that_number() -> None:
    interval = CheckpointInterval(every=7)
    interval.record_write(60.0)
    assert interval.choose_steps(0.001) == 7
