"""The device's thread with several real models: what is loaded when, what makes room, who has the device next."""

import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from queue import Queue
from typing import Any, TypeVar

import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline

from mezzotint.domain.errors import ModelUnavailable, OutOfMemory
from mezzotint.domain.event import LoadProgress
from mezzotint.domain.ids import JobId
from mezzotint.domain.tier import Tier
from mezzotint.engine import Assignment, Hub, RunCancelled
from mezzotint.engine.models import load
from mezzotint.policy.device import run_memory
from mezzotint.worker import Catalog, CheckpointInterval, DeviceThread, LoadedModel, preview_time
from mezzotint.worker.messages import (
    CacheChanged,
    Cancel,
    CheckpointReady,
    ModelsReady,
    Preempt,
    PreemptReason,
    Report,
    RunEnded,
    RunPreempted,
    Shutdown,
    Start,
    StepDone,
)
from tests.conformance.engine.zoo import classic
from tests.making import make_job, make_parameters

T = TypeVar("T")
MB = 1 << 20


class OnEmbeds:
    """The task of a pipeline without a text encoder. Only its steps and its seed matter here."""

    def __init__(self, pipeline: Any, faults: list[Exception]) -> None:
        self.pipeline, self.faults = pipeline, faults

    def assign(self, parameters: Any, source: Any, mask: Any) -> Assignment:
        if parameters.prompt == "no room":
            raise MemoryError
        kwargs = classic.text_to_image(parameters.seed, parameters.num_steps) | {"output_type": "pil"}
        return Assignment(pipeline=self.pipeline, kwargs=kwargs, finish=self.finish)

    def finish(self, drawn: Any) -> Any:
        if self.faults:
            raise self.faults.pop()
        return drawn


@dataclass
class Bench:
    """A device and what it reports."""

    catalog: dict[str, int]
    warm: tuple[str, ...] = ()
    bound: int = 0
    run_bytes: int = 0
    faults: list[Exception] = field(default_factory=list)
    finish_faults: list[Exception] = field(default_factory=list)
    previews: Any = None
    reports: "Queue[Report]" = field(default_factory=Queue)
    heard: list[Report] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    unets: list["weakref.ref[torch.nn.Module]"] = field(default_factory=list)
    device: DeviceThread = field(init=False)

    def __post_init__(self) -> None:
        catalog = Catalog(
            num_bytes=self.catalog,
            load=self.load,
            warm=self.warm,
            bound_bytes=self.bound,
            release=load.release,
            is_out_of_memory=load.is_out_of_memory,
        )
        self.device = DeviceThread(
            catalog,
            self.reports.put,
            lambda job: self.previews is not None,
            CheckpointInterval(every=1),
            _no_upscaler,
            run_bytes=self.run_bytes,
        )

    def load(self, name: str, tell: Callable[[float], None]) -> LoadedModel:
        if self.faults:
            raise self.faults.pop()
        self.loads.append(name)
        tell(0.5)
        torch.manual_seed(len(name))
        pipeline = StableDiffusionPipeline(**classic.parts(EulerDiscreteScheduler()))
        pipeline.set_progress_bar_config(disable=True)
        self.unets.append(weakref.ref(pipeline.unet))
        tasks: Any = OnEmbeds(pipeline, self.finish_faults)
        return LoadedModel(hub=Hub(pipeline), tasks=tasks, previews=self.previews, num_bytes=self.catalog[name])

    def draw(
        self,
        model: str,
        *,
        num_steps: int = 2,
        tier: Tier = Tier.FREE,
        resume: bytes | None = None,
        prompt: str = "a house",
        forecast: float | None = None,
    ) -> JobId:
        parameters = replace(make_parameters(num_steps=num_steps), prompt=prompt, forecast=forecast)
        job = replace(make_job(tier=tier, parameters=parameters), model=model)
        self.device.send(Start(job=job, resume=resume))
        return job.id

    def until(self, kind: type[T], holds: Callable[[T], bool] = lambda report: True) -> T:
        while True:
            report = self.reports.get(timeout=60)
            self.heard.append(report)
            if isinstance(report, kind) and holds(report):
                return report

    def ended(self, job: JobId) -> RunEnded:
        return self.until(RunEnded, lambda report: report.job == job)


def _no_upscaler() -> Any:
    raise AssertionError("nothing is enlarged here")


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**how: Any) -> Bench:
        made.append(Bench(**how))
        made[-1].device.start()
        made[-1].until(ModelsReady)
        return made[-1]

    yield make
    for one in made:
        one.device.send(Shutdown())
        one.device.join(20)


def test_warm_models_are_there_before_the_worker_is_ready_and_others_come_when_asked_for(
    bench: Callable[..., Bench],
) -> None:
    it = bench(catalog={"a": MB, "b": MB}, warm=("a",))
    assert it.loads == ["a"]
    assert it.ended(it.draw("a")).error is None
    assert it.loads == ["a"]
    assert it.ended(it.draw("b")).error is None
    assert it.loads == ["a", "b"]
    told = [report for report in it.heard if isinstance(report, LoadProgress) and report.model == "b"]
    assert told == [LoadProgress(model="b", share=0.0), LoadProgress(model="b", share=0.5)]
    shelved = [report for report in it.heard if isinstance(report, CacheChanged)]
    assert [(one.loaded, one.num_loaded) for one in shelved if one.loaded] == [("a", 1), ("b", 2)]
    assert shelved[-1].cold == frozenset()


def test_the_least_recently_used_makes_room_and_its_memory_comes_back(bench: Callable[..., Bench]) -> None:
    it = bench(catalog={"a": 2 * MB, "b": 2 * MB, "c": 2 * MB}, warm=("a",), bound=4 * MB)
    for model in ("b", "c", "b"):
        assert it.ended(it.draw(model)).error is None
    assert it.loads == ["a", "b", "c", "b"]
    evicted = [report.evicted for report in it.heard if isinstance(report, CacheChanged) and report.evicted]
    assert evicted == [("b",), ("c",)]
    gc.collect()
    assert [ref() is not None for ref in it.unets] == [True, False, False, True]


def test_a_model_with_runs_in_flight_stays_and_the_one_that_waits_is_not_passed_by(bench: Callable[..., Bench]) -> None:
    it = bench(catalog={"a": 3 * MB, "b": 3 * MB}, bound=4 * MB)
    first = it.draw("a", num_steps=6)
    it.until(StepDone)
    second, third = it.draw("b"), it.draw("a")
    for job in (first, second, third):
        assert it.ended(job).error is None
    assert it.loads == ["a", "b", "a"]


def test_two_models_draw_in_turns(bench: Callable[..., Bench]) -> None:
    it = bench(catalog={"a": MB, "b": MB}, warm=("a", "b"))
    jobs = [it.draw("a", num_steps=12), it.draw("b", num_steps=12)]
    for job in jobs:
        it.ended(job) if not any(isinstance(one, RunEnded) and one.job == job for one in it.heard) else None
    steps = [report.job for report in it.heard if isinstance(report, StepDone)]
    both = steps[steps.index(jobs[1]) : -1 - steps[::-1].index(jobs[0])]
    changes = sum(one != other for one, other in pairwise(both))
    assert changes >= 6, "neither had to wait until the other was done"


def test_a_model_that_cannot_be_loaded_fails_its_job_alone(bench: Callable[..., Bench]) -> None:
    it = bench(catalog={"a": MB, "b": MB}, warm=("a",))
    it.faults.append(RuntimeError("no such tensor"))
    assert isinstance(it.ended(it.draw("b")).error, ModelUnavailable)
    assert isinstance(it.ended(it.draw("nowhere")).error, ModelUnavailable)
    assert it.ended(it.draw("a")).error is None
    assert it.ended(it.draw("b")).error is None


def test_where_memory_runs_out_idle_models_go_and_the_load_is_tried_again(bench: Callable[..., Bench]) -> None:
    it = bench(catalog={"a": MB, "b": MB}, warm=())
    it.ended(it.draw("a"))
    it.faults.append(MemoryError())
    assert it.ended(it.draw("b")).error is None
    assert it.loads == ["a", "b"]
    evicted = [report.evicted for report in it.heard if isinstance(report, CacheChanged) and report.evicted]
    assert evicted == [("a",)]


def test_memory_that_runs_out_before_or_after_a_run_is_named_and_idle_models_go(bench: Callable[..., Bench]) -> None:
    it = bench(catalog={"a": MB, "b": MB}, warm=("a",))
    it.ended(it.draw("b"))
    assert isinstance(it.ended(it.draw("a", prompt="no room")).error, OutOfMemory)
    evicted = [report.evicted for report in it.heard if isinstance(report, CacheChanged) and report.evicted]
    assert evicted == [("b",)]
    it.finish_faults.append(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert isinstance(it.ended(it.draw("a")).error, OutOfMemory)
    assert it.ended(it.draw("a")).error is None


class Previews:
    """Notes the sizes of the pictures that it is asked to show."""

    def __init__(self) -> None:
        self.sizes: set[tuple[int, int]] = set()

    def image(self, latents: torch.Tensor, size_px: tuple[int, int]) -> str:
        self.sizes.add(size_px)
        return "picture"


@pytest.mark.parametrize("left_s", [1.0, 0.0])
def test_previews_are_shown_while_they_have_time_left(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, left_s: float
) -> None:
    monkeypatch.setattr(preview_time, "earn", lambda credit, pass_s: replace(credit, left_s=left_s))
    previews = Previews()
    it = bench(catalog={"a": MB}, previews=previews)
    it.ended(it.draw("a", num_steps=3))
    steps = [report.preview for report in it.heard if isinstance(report, StepDone)]
    assert steps == ["picture" if left_s else None] * 3
    assert previews.sizes == ({(64, 64)} if left_s else set())


def test_a_job_that_waits_for_room_can_be_cancelled_or_put_aside(bench: Callable[..., Bench]) -> None:
    it = bench(catalog={"a": 3 * MB, "b": 3 * MB}, bound=4 * MB)
    long = it.draw("a", num_steps=40)
    it.until(StepDone)
    given_up, put_aside, waiting = it.draw("b"), it.draw("b"), it.draw("b")
    it.device.send(Cancel(job=given_up))
    assert isinstance(it.ended(given_up).error, RunCancelled)
    it.device.send(Preempt(job=put_aside))
    assert it.until(RunPreempted).snapshot is None
    it.device.send(Shutdown())
    parked = {it.until(RunPreempted).job: None for _ in range(2)}
    assert set(parked) == {waiting, long}
    assert it.loads == ["a"]


def test_checkpoints_come_from_every_model(bench: Callable[..., Bench]) -> None:
    it = bench(catalog={"a": MB, "b": MB})
    for model in ("a", "b"):
        job = it.draw(model, num_steps=3)
        assert it.until(CheckpointReady, lambda report, job=job: report.job == job).snapshot.steps == 1
        assert it.ended(job).error is None


def test_runs_of_one_lane_wait_for_memory_in_their_order(bench: Callable[..., Bench]) -> None:
    it = bench(catalog={"a": MB}, run_bytes=1)
    first, second = it.draw("a", num_steps=5), it.draw("a", num_steps=5)
    ends = [it.ended(first), it.ended(second)]
    assert [end.error for end in ends] == [None, None]
    steps = [report.job for report in it.heard if isinstance(report, StepDone)]
    assert steps == [first] * 5 + [second] * 5, "the bound is passed by one run alone, never by two"


def test_with_room_for_them_runs_go_together(bench: Callable[..., Bench]) -> None:
    it = bench(catalog={"a": MB}, run_bytes=64 * MB)
    jobs = [it.draw("a", num_steps=12) for _ in range(2)]
    it.until(RunEnded)
    it.until(RunEnded)
    steps = [report.job for report in it.heard if isinstance(report, StepDone)]
    assert steps[-2:] != steps[-3:-1] or set(steps[-4:]) == set(jobs)
    assert set(steps[:8]) == set(jobs)


def test_a_heavier_lane_takes_the_memory_of_a_lighter_one_which_loses_no_step(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_memory, "MIN_RUN_S", 0.0)
    it = bench(catalog={"a": MB}, run_bytes=1)
    undisturbed = it.ended(it.draw("a", num_steps=30)).pictures[0]
    free = it.draw("a", num_steps=30)
    it.until(StepDone, lambda report: report.job == free)
    pro = it.draw("a", num_steps=2, tier=Tier.PRO)
    parked = it.until(RunPreempted)
    assert (parked.job, parked.why) == (free, PreemptReason.MEMORY)
    assert parked.snapshot is not None
    assert it.ended(pro).error is None
    resumed = it.draw("a", num_steps=30, resume=parked.snapshot.encode())
    done = it.ended(resumed)
    assert done.error is None
    assert done.pictures[0].tobytes() == undisturbed.tobytes()
    steps = [report.step for report in it.heard if isinstance(report, StepDone) and report.job == resumed]
    assert steps[0] == parked.snapshot.steps + 1


def test_a_job_with_a_bound_is_foretold_and_its_passes_are_counted(bench: Callable[..., Bench]) -> None:
    one = bench(catalog={"a": MB}, warm=("a",))
    exact, foretold = (one.ended(one.draw("a", num_steps=10, forecast=bound)) for bound in (None, 1e6))
    assert (exact.num_passes, exact.num_forecast) == (10, 0)
    assert foretold.num_forecast > 0
    assert foretold.num_passes + foretold.num_forecast == foretold.step == 10
