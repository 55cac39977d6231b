"""The states of the models in the device's memory, as the device's thread reports them."""

from dataclasses import dataclass, field

from mezzotint.domain.event import LoadProgress
from mezzotint.metrics import Metrics
from mezzotint.worker.messages import CacheChanged


@dataclass(slots=True, kw_only=True)
class ModelStates:
    """cold: models that would have to be loaded first. loading: the one that is being loaded. fingerprints: of the
    engines of models that are loaded, in exact mode."""

    metrics: Metrics
    cold: frozenset[str] = frozenset()
    loading: LoadProgress | None = None
    fingerprints: dict[str, str] = field(default_factory=dict)

    def note(self, report: LoadProgress | CacheChanged) -> None:
        if isinstance(report, LoadProgress):
            self.loading = report
            return
        self.cold, self.loading = report.cold, None
        if report.loaded is not None:
            self.metrics.model_loads.labels(model=report.loaded).inc()
            self.metrics.model_load_seconds.observe(report.load_s)
            if report.fingerprint is not None:
                self.fingerprints[report.loaded] = report.fingerprint
        for model in self.cold & self.fingerprints.keys():
            del self.fingerprints[model]
        for model in report.evicted:
            self.metrics.model_evictions.labels(model=model).inc()
        self.metrics.models_loaded.set(report.num_loaded)

    def warm(self, names: frozenset[str]) -> frozenset[str]:
        return names - self.cold

    def states(self, names: frozenset[str], *, is_ready: bool) -> dict[str, str]:
        """Name -> cold, loading or warm."""
        states = {name: "cold" if name in self.cold or not is_ready else "warm" for name in names}
        return states if self.loading is None else {**states, self.loading.model: "loading"}
