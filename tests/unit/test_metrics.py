"""Phases and engine counts arrive in the meter as they were measured."""

from mezzotint.domain.job import JobState, Timings
from mezzotint.domain.tier import Tier
from mezzotint.metrics import PREFIX, EngineCounts, Metrics


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(PREFIX + name, labels)


def test_phases_are_kept_apart_and_by_lane() -> None:
    metrics = Metrics()
    timings = Timings(queue_s=3.0, load_s=0.5, denoise_s=2.0, decode_s=0.25, filter_s=0.125, upload_s=1.5)
    metrics.count_end(Tier.PRO, JobState.SUCCEEDED, timings)
    metrics.count_end(Tier.FREE, JobState.FAILED, Timings(queue_s=7.0))
    phases = {"queue": 3.0, "load": 0.5, "denoise": 2.0, "decode": 0.25, "filter": 0.125, "upload": 1.5}
    for phase, seconds in phases.items():
        assert sample(metrics, "job_phase_seconds_sum", lane="pro", phase=phase) == seconds
    assert sample(metrics, "job_phase_seconds_sum", lane="free", phase="queue") == 7.0
    assert sample(metrics, "job_phase_seconds_count", lane="free", phase="denoise") is None
    assert sample(metrics, "jobs_ended_total", lane="free", state="failed") == 1


def test_engine_counts_are_added_up_from_their_differences() -> None:
    metrics = Metrics()
    first = EngineCounts(passes=5, merged=2, pass_s=1.0, cache_hits=3, unmerged={"odd shape": 1})
    second = EngineCounts(passes=9, merged=4, pass_s=2.5, cache_hits=3, unmerged={"odd shape": 4, "cache": 1})
    metrics.engine(first.since(EngineCounts()))
    metrics.engine(second.since(first))
    assert sample(metrics, "engine_passes_total") == 9
    assert sample(metrics, "engine_passes_merged_total") == 4
    assert sample(metrics, "engine_pass_seconds_total") == 2.5
    assert sample(metrics, "embedding_cache_total", result="hit") == 3
    assert sample(metrics, "engine_unmerged_total", reason="odd shape") == 4
    assert sample(metrics, "engine_unmerged_total", reason="cache") == 1


def test_two_meters_know_nothing_of_each_other() -> None:
    one, other = Metrics(), Metrics()
    one.passes.inc()
    assert sample(other, "engine_passes_total") == 0
