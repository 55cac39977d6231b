"""The meter: what this process counted and timed, as Prometheus reads it from `GET /metrics`.

Built in `main` and handed on; there is no global registry, so a test has a meter of its own. Names, labels and help
become docs/reference/metrics.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from mezzotint.domain.gpu import GpuReading
from mezzotint.domain.job import Job, JobState, Timings
from mezzotint.domain.tier import Tier

PREFIX = "mezzotint_"
PHASES = {"queue_s": "queue", "load_s": "load", "denoise_s": "denoise", "decode_s": "decode", "filter_s": "filter"}
PHASES |= {"upload_s": "upload"}
"""Field of `Timings` -> value of the label `phase`."""
SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 180, 300, 600, 1800)
"""From a filter's milliseconds to the half hour that a Free job may wait."""
CLASSIFIER_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
WRITE_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Open jobs of one lane, as the database has them. oldest_s: age of the longest queued one."""

    lane: Tier
    num_queued: int
    num_running: int
    oldest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCounts:
    """Counts of an engine, since it was made or since the last time it was asked."""

    passes: int = 0
    merged: int = 0
    verifications: int = 0
    pass_s: float = 0.0
    verify_s: float = 0.0
    cache_hits: int = 0
    cache_misses: int = 0
    unmerged: Mapping[str, int] = field(default_factory=dict)
    unsaved: Mapping[str, int] = field(default_factory=dict)

    def since(self, before: "EngineCounts") -> "EngineCounts":
        return EngineCounts(
            passes=self.passes - before.passes,
            merged=self.merged - before.merged,
            verifications=self.verifications - before.verifications,
            pass_s=self.pass_s - before.pass_s,
            verify_s=self.verify_s - before.verify_s,
            cache_hits=self.cache_hits - before.cache_hits,
            cache_misses=self.cache_misses - before.cache_misses,
            unmerged={reason: n - before.unmerged.get(reason, 0) for reason, n in self.unmerged.items()},
            unsaved={reason: n - before.unsaved.get(reason, 0) for reason, n in self.unsaved.items()},
        )


class Metrics:
    """Each attribute is one metric; those who cause a thing count it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)

        self.accepted = self._counter("jobs_accepted", "jobs accepted: durable and queued", "lane")
        self.refused = self._counter("jobs_refused", "requests refused, which became no job", "code")
        self.claimed = self._counter("jobs_claimed", "leases taken", "lane")
        self.requeued = self._counter("jobs_requeued", "running jobs given back to the queue", "reason")
        self.ended = self._counter("jobs_ended", "jobs that reached a final state", "lane", "state")
        self.phase = self._histogram(
            "job_phase_seconds", "time of a finished job in each phase; they do not overlap", SECONDS, "lane", "phase"
        )
        self.gpu_seconds = self._counter("gpu_seconds", "time of runs in passes, shared by rows", "lane")
        self._add_savings()
        self.queued = self._gauge("jobs_queued", "jobs that wait, in the whole database", "lane")
        self.running = self._gauge("jobs_running", "jobs under a lease, in the whole database", "lane")
        self.oldest = self._gauge("oldest_queued_seconds", "age of the job that waits longest", "lane")

        self.passes = self._counter("engine_passes", "forward passes of denoisers, without verification")
        self.merged = self._counter("engine_passes_merged", "passes that served more than one run")
        self.verifications = self._counter("engine_verifications", "separate calls made to check a merged pass")
        self.unmerged = self._counter("engine_unmerged", "calls that could not share a pass", "reason")
        self.unsaved = self._counter("engine_unsaved", "step boundaries that could not be saved", "reason")
        self.pass_seconds = self._counter("engine_pass_seconds", "time spent in passes")
        self.verify_seconds = self._counter("engine_verify_seconds", "time spent in verification, charged to nobody")
        self.embeddings = self._counter("embedding_cache", "text encoder calls by how they were answered", "result")

        self._add_fleet()
        self.models_loaded = self._gauge("models_loaded", "models in memory")
        self.model_loads = self._counter("model_loads", "models brought into memory", "model")
        self.model_load_seconds = self._histogram("model_load_seconds", "bringing one model into memory", SECONDS)
        self.model_evictions = self._counter("model_evictions", "models dropped to make room for others", "model")

        self.gpu_used = self._gauge("gpu_memory_used_bytes", "memory in use on the card, by all processes", "gpu")
        self.gpu_total = self._gauge("gpu_memory_bytes", "memory of the card", "gpu")
        self.gpu_temperature = self._gauge("gpu_temperature_celsius", "temperature of the card", "gpu")
        self.gpu_power = self._gauge("gpu_power_watts", "power that the card draws", "gpu")
        self.gpu_errors = self._gauge(
            "gpu_memory_errors", "ECC errors since the driver was loaded: corrected, uncorrected", "gpu", "kind"
        )
        self.gpu_throttled = self._gauge(
            "gpu_throttled",
            "1 while the card is held back: by power_cap, hardware, heat_software, heat_hardware, power_brake",
            "gpu",
            "reason",
        )

        self.image_classifier = self._histogram(
            "image_classifier_seconds", "time of one classifier for one picture", CLASSIFIER_SECONDS, "classifier"
        )
        self.image_verdicts = self._counter(
            "image_verdicts", "pictures that the image filter judged", "use", "verdict", "category"
        )

        self.checkpoints = self._counter(
            "checkpoints", "checkpoints by outcome: written, skipped (one was being written), late, failed", "result"
        )
        self.checkpoint_write = self._histogram(
            "checkpoint_write_seconds", "encoding and storing one checkpoint", WRITE_SECONDS
        )
        self.checkpoint_bytes = self._counter("checkpoint_bytes", "bytes of checkpoints written")
        self.checkpoint_steps = self._gauge(
            "checkpoint_interval_steps", "steps between two checkpoints that were last chosen by measured costs"
        )
        self.mtbf = self._gauge(
            "worker_mtbf_seconds", "mean time between failures of this worker, as far as it was observed"
        )
        self.unusable = self._counter(
            "checkpoints_unusable", "saved runs that could not be resumed: missing, corrupt, other_numerics", "why"
        )
        self.resumed = self._counter(
            "resumes", "starts of jobs that had run before, by what they went on from: newest, older, noise", "source"
        )
        self.connections = self._gauge("connections", "open connections of this gateway")
        self.connections_ended = self._counter(
            "connections_ended",
            "connections that the gateway ended: refused, malformed, made_room, no_request, not_read, not_closed",
            "why",
        )
        self.storage_faults = self._counter(
            "storage_faults", "failed calls of the database or the object store; alert on any rate", "store"
        )
        self.decoders_lost = self._counter(
            "decoders_lost", "decoder processes that an uploaded picture ended: by its time, its memory or a crash"
        )
        self.safety_overrides_version = self._gauge(
            "safety_overrides_version", "number of the latest change of hard rules or of the dial that is in force here"
        )
        self.safety_overrides_read = self._gauge(
            "safety_overrides_read_timestamp_seconds",
            "when this process last looked for such changes; alert when it is a minute old",
        )
        self.taken_down = self._counter("pictures_taken_down", "pictures and uploads that takedowns withdrew")
        self.cache_purges = self._counter(
            "cache_purges", "orders to caches to drop pictures that were taken down: taken, failed", "result"
        )
        self.task_restarts = self._counter(
            "task_restarts", "background tasks that failed and were tried again; alert on any lasting rate", "task"
        )

    def _add_savings(self) -> None:
        """The passes that were not made."""
        self.calls = self._counter(
            "denoiser_calls", "calls of denoisers by finished jobs, by how they were answered: pass, forecast", "answer"
        )
        self.reuses = self._counter(
            "reuses",
            "looks for a stored picture of an equal request: hit, miss, gone (it was taken down meanwhile), blocked "
            "(today's filter does not let it pass)",
            "result",
        )
        self.reuse_saved = self._counter(
            "reuse_saved_gpu_seconds", "time in passes that the reused pictures had taken when they were drawn"
        )

    def count_restart(self, task: str) -> None:
        """A round of a background task failed; it is tried again."""
        self.task_restarts.labels(task=task).inc()

    def count_end(self, lane: Tier, state: JobState, timings: Timings) -> None:
        """A job ended: its phases, each by itself."""
        self.ended.labels(lane=lane, state=state).inc()
        for name, phase in PHASES.items():
            seconds = getattr(timings, name)
            if seconds is not None:
                self.phase.labels(lane=lane, phase=phase).observe(seconds)

    def count_image_score(self, classifier: str, seconds: float) -> None:
        """A classifier scored a picture."""
        self.image_classifier.labels(classifier=classifier).observe(seconds)

    def count_image_verdict(self, use: str, verdict: str, category: str) -> None:
        """The image filter judged a picture. category: why it is not allowed; else empty."""
        self.image_verdicts.labels(use=use, verdict=verdict, category=category).inc()

    def engine(self, new: EngineCounts) -> None:
        """Add what an engine counted since the last time."""
        self.passes.inc(new.passes)
        self.merged.inc(new.merged)
        self.verifications.inc(new.verifications)
        self.pass_seconds.inc(new.pass_s)
        self.verify_seconds.inc(new.verify_s)
        self.embeddings.labels(result="hit").inc(new.cache_hits)
        self.embeddings.labels(result="miss").inc(new.cache_misses)
        for reason, times in new.unmerged.items():
            self.unmerged.labels(reason=reason).inc(times)
        for reason, times in new.unsaved.items():
            self.unsaved.labels(reason=reason).inc(times)

    def gpu(self, device: str, reading: GpuReading) -> None:
        """Write down the present readings of a device's sensors; sensors that it lacks are left out."""
        found = {
            self.gpu_used: reading.used_bytes,
            self.gpu_total: reading.total_bytes,
            self.gpu_temperature: reading.temperature_c,
            self.gpu_power: reading.power_w,
        }
        for gauge, value in found.items():
            if value is not None:
                gauge.labels(gpu=device).set(value)
        errors = {"corrected": reading.corrected_errors, "uncorrected": reading.uncorrected_errors}
        for kind, count in errors.items():
            if count is not None:
                self.gpu_errors.labels(gpu=device, kind=kind).set(count)
        self.gpu_throttled.clear()
        for reason in reading.throttled_by:
            self.gpu_throttled.labels(gpu=device, reason=reason).set(1)

    def count_undrawn(self, job: Job) -> None:
        """A job ended without having been drawn: cancelled or expired."""
        self.ended.labels(lane=job.lane, state=job.state).inc()

    def set_waiting(self, lanes: list[Waiting]) -> None:
        for lane in lanes:
            self.queued.labels(lane=lane.lane).set(lane.num_queued)
            self.running.labels(lane=lane.lane).set(lane.num_running)
            self.oldest.labels(lane=lane.lane).set(lane.oldest_s)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, help, labels, registry=self.registry)

    def _add_fleet(self) -> None:
        self.worker = self._gauge("worker", "1: the labels of the worker of this process", "pool", "region", "version")
        self.spilled_over = self._counter(
            "jobs_spilled_over", "jobs of another region that workers of this one took", "home", "region", "lane"
        )
        self.health_verdicts = self._counter("health_verdicts", "verdicts on devices that changed", "verdict")
        whole = "in the whole database"
        self.fleet_workers = self._gauge("fleet_workers", f"workers of the fleet that live, {whole}", "pool", "state")
        self.fleet_wanted = self._gauge("fleet_workers_wanted", f"workers that pools are to have, {whole}", "pool")
        self.fleet_decisions = self._gauge(
            "fleet_decisions",
            f"new sizes of pools so far, {whole}, by cause: backlog, late, warm_floor, minimum, maximum, step, "
            "cost_ceiling, no_machines, idle, operator, fleet_ends",
            "cause",
        )
        self.fleet_devices = self._gauge(
            "fleet_devices",
            f"devices that were ever suspected, {whole}, by their verdict now",
            "verdict",
        )
        self.fleet_rollouts = self._gauge("fleet_rollouts", f"rollouts so far, {whole}, by phase", "phase")
        self.spot_notices = self._gauge("fleet_spot_notices", f"notices to spot machines so far, {whole}", "cloud")

    def set_worker_labels(self, *, pool: str, region: str, version: str) -> None:
        self.worker.labels(pool=pool, region=region, version=version).set(1)

    def _gauge(self, name: str, help: str, *labels: str) -> Gauge:
        return Gauge(PREFIX + name, help, labels, registry=self.registry)

    def _histogram(self, name: str, help: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(PREFIX + name, help, labels, registry=self.registry, buckets=buckets)
