"""An LRU cache of models in memory: loaded on demand, kept while there is room. For the device's thread alone."""

import json
import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, assert_never

import structlog

from mezzotint.domain.errors import ModelUnavailable, ModelUndrawable, ModelUnsupported, StyleUnavailable
from mezzotint.domain.event import LoadProgress
from mezzotint.domain.style import StyleChoice
from mezzotint.metrics import EngineCounts
from mezzotint.policy.device.model_eviction import Evict, ResidentModel, Wait, choose_evictions
from mezzotint.worker.messages import CacheChanged, EngineCounted, Report

if TYPE_CHECKING:
    from mezzotint.engine import Assignment, EmbeddingCache, Hub, PreviewMap, Tasks
    from mezzotint.worker.messages import Start
    from mezzotint.worker.style_cache import StyleCache

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model in memory. previews: None where its latents cannot be shown. embeddings: its encoders' cache.
    styles: None where it takes none."""

    hub: "Hub"
    tasks: "Tasks"
    previews: "PreviewMap | None"
    embeddings: "EmbeddingCache | None" = None
    styles: "StyleCache | None" = None
    num_bytes: int = 0

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 of all that decides the bits of its pictures; None in fast mode, where other runs do, too."""
        if not self.hub.numerics.exact:
            return None
        return sha256(json.dumps(self.hub.fingerprint, sort_keys=True).encode()).hexdigest()

    def assign(self, command: "Start") -> "Assignment":
        """The pipeline call for a command. Raises: RunFailed."""
        from mezzotint.engine.canvas import read_picture
        from mezzotint.media.transparency import lay_on_white, read_mask

        source = lay_on_white(read_picture(command.source)) if command.source is not None else None
        mask = read_mask(read_picture(command.mask)) if command.mask is not None else None
        return self.tasks.assign(command.job.parameters, source, mask)

    def fetch_styles(self, wanted: Sequence[StyleChoice]) -> bool:
        """Load the styles of a job. False while there is no room for them. Raises: StyleUnavailable."""
        if not wanted:
            return True
        if self.styles is None:
            raise StyleUnavailable(f"This worker has no style {wanted[0].name!r}.")
        return self.styles.fetch(wanted)

    def counts(self) -> EngineCounts:
        """The counts of its engine since it was made."""
        hub, cache = self.hub, self.embeddings
        return EngineCounts(
            passes=hub.num_passes,
            merged=hub.num_merged,
            verifications=hub.num_verifications,
            pass_s=hub.pass_s,
            verify_s=hub.verify_s,
            cache_hits=cache.num_hits if cache else 0,
            cache_misses=cache.num_misses if cache else 0,
            unmerged=dict(hub.unmerged_reasons),
            unsaved=dict(hub.unsaved_reasons),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The models that can be loaded.

    num_bytes: name -> what it will take, as far as that is known before. load: by name, on the thread that will use it,
    telling the share of the weights that is read. warm: those loaded at the start, which stay. bound_bytes: of all in
    memory; 0: no bound. prepare: called first, on that thread. release: called when models were dropped.
    is_out_of_memory: of an error of `load`. check_device: raises DeviceLost where, after an error, the device computes
    no more.
    """

    num_bytes: Mapping[str, int]
    load: Callable[[str, Callable[[float], None]], LoadedModel]
    warm: Collection[str]
    bound_bytes: int = 0
    prepare: Callable[[], None] = lambda: None
    release: Callable[[], None] = lambda: None
    is_out_of_memory: Callable[[BaseException], bool] = lambda error: isinstance(error, MemoryError)
    check_device: Callable[[BaseException], None] = lambda error: None


@dataclass(slots=True)
class ModelCache:
    """loaded: the models in memory, by name."""

    catalog: Catalog
    report: Callable[[Report], None]
    loaded: dict[str, LoadedModel] = field(default_factory=dict)
    _num_bytes: dict[str, int] = field(default_factory=dict)
    _used_at: dict[str, float] = field(default_factory=dict)
    _counted: dict[str, EngineCounts] = field(default_factory=dict)

    def warm_up(self) -> None:
        self.catalog.prepare()
        self._num_bytes = dict(self.catalog.num_bytes)
        for name in self.catalog.warm:
            self._load(name)
        self._report_change()

    def find_live(self) -> list[str]:
        """Names of the models with runs in flight."""
        live = [name for name, loaded in self.loaded.items() if loaded.hub.num_live]
        self._used_at.update(dict.fromkeys(live, time.monotonic()))
        return live

    def fetch(self, name: str) -> LoadedModel | None:
        """The model, loaded if need be; None while there is no room. Raises: ModelUnavailable, ModelUndrawable."""
        self._used_at[name] = time.monotonic()
        if name in self.loaded:
            return self.loaded[name]
        if name not in self._num_bytes:
            raise ModelUnavailable(f"This worker has no model {name!r}.")
        match choose_evictions(self._residents(), self._num_bytes[name], self.catalog.bound_bytes):
            case Wait():
                return None
            case Evict(names=names):
                self._evict(names)
            case _ as never:
                assert_never(never)
        self._load_or_evict(name)
        self._report_change()
        return self.loaded[name]

    def report_counts(self) -> None:
        """Report the engines' counts since the last call."""
        for name, loaded in self.loaded.items():
            counts = loaded.counts()
            self.report(EngineCounted(counts=counts.since(self._counted.get(name, EngineCounts()))))
            self._counted[name] = counts

    def _residents(self) -> list[ResidentModel]:
        return [
            ResidentModel(
                name=name,
                num_bytes=loaded.num_bytes,
                used_at=self._used_at.get(name, 0.0),
                is_pinned=name in self.catalog.warm,
                is_busy=loaded.hub.num_live > 0,
            )
            for name, loaded in self.loaded.items()
        ]

    def _load_or_evict(self, name: str) -> None:
        """Load the model; when memory runs out, evict the idle models and try once more.

        Raises: ModelUnavailable, ModelUndrawable.
        """
        try:
            try:
                self._load(name)
            except Exception as error:
                if not (self._idle() and self.catalog.is_out_of_memory(error)):
                    raise
                traceback.clear_frames(error.__traceback__)  # they hold what was loaded so far
                self.evict_idle()
                self._load(name)
        except Exception as error:
            log.error("model not loaded", model=name, exc_info=error)
            self._report_change()
            if isinstance(error, ModelUnsupported):
                raise ModelUndrawable(f"The model cannot be drawn with: {error}") from error
            raise ModelUnavailable(f"The model {name} could not be loaded.") from error

    def _load(self, name: str) -> None:
        self.report(LoadProgress(model=name))
        started_at = time.monotonic()
        loaded = self.loaded[name] = self.catalog.load(
            name, lambda share: self.report(LoadProgress(model=name, share=share))
        )
        self._num_bytes[name] = loaded.num_bytes
        loaded.hub.components.evict_idle = self.evict_idle
        spent_s = time.monotonic() - started_at
        log.info("model loaded", model=name, seconds=round(spent_s, 2), megabytes=loaded.num_bytes >> 20)
        self._report_change(loaded=name, load_s=spent_s)

    def evict_idle(self) -> None:
        """Drop the models that may go and have no runs in flight: memory ran out."""
        self._evict(self._idle())

    def free(self) -> None:
        """Give back all memory that nothing in flight uses."""
        self.evict_idle()
        self.catalog.release()

    def _idle(self) -> tuple[str, ...]:
        return tuple(one.name for one in self._residents() if not (one.is_pinned or one.is_busy))

    def drop(self, name: str) -> None:
        """Evict a model whose engine failed: its next job loads it again."""
        self._evict((name,))

    def _evict(self, names: tuple[str, ...]) -> None:
        if not names:
            return
        self.report_counts()
        for name in names:
            log.info("model dropped", model=name)
            del self.loaded[name]
            self._counted.pop(name, None)
        self.catalog.release()
        self._report_change(evicted=names)

    def _report_change(self, *, loaded: str | None = None, load_s: float = 0.0, evicted: tuple[str, ...] = ()) -> None:
        cold = frozenset(self.catalog.num_bytes) - frozenset(self.loaded)
        num_loaded = len(self.loaded)
        fingerprint = self.loaded[loaded].fingerprint if loaded is not None else None
        self.report(
            CacheChanged(
                cold=cold,
                num_loaded=num_loaded,
                loaded=loaded,
                load_s=load_s,
                evicted=evicted,
                fingerprint=fingerprint,
            )
        )
