"""An LRU cache of styles (LoRA) in a model's modules: loaded on demand, kept while there is room.

For the device's thread alone. The hub switches them on for the runs that name them, and for no others.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

import structlog

from mezzotint.domain.errors import StyleUnavailable
from mezzotint.domain.style import StyleChoice
from mezzotint.policy.device.model_eviction import Evict, ResidentModel, Wait, choose_evictions

if TYPE_CHECKING:
    from mezzotint.engine import Hub

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class StyleCache:
    """files: those that fit the model, by name. bound_bytes: of all in memory; 0: no bound."""

    hub: "Hub"
    files: Mapping[str, Path]
    bound_bytes: int = 0
    _num_bytes: dict[str, int] = field(default_factory=dict)
    _used_at: dict[str, float] = field(default_factory=dict)
    _sha256: dict[str, str] = field(default_factory=dict)

    def fetch(self, wanted: Sequence[StyleChoice]) -> bool:
        """Load the styles that are not in memory. False while there is no room. Raises: StyleUnavailable.

        An error for a lack of memory is raised as it is.
        """
        names = {style.name for style in wanted}
        for style in wanted:
            if style.name in self._num_bytes:
                _check_hash(style, self._sha256[style.name])
                self._used_at[style.name] = time.monotonic()
                continue
            path = self._find_file(style)
            match choose_evictions(self._residents(names), path.stat().st_size, self.bound_bytes):
                case Wait():
                    return False
                case Evict(names=evicted):
                    for name in evicted:
                        self._drop(name)
                case _ as never:
                    assert_never(never)
            self._load(style, path)
        return True

    @property
    def held_bytes(self) -> int:
        return sum(self._num_bytes.values())

    @property
    def loaded(self) -> frozenset[str]:
        return frozenset(self._num_bytes)

    def _residents(self, wanted: set[str]) -> list[ResidentModel]:
        in_use = self.hub.adapters_in_use
        return [
            ResidentModel(
                name=name,
                num_bytes=num_bytes,
                used_at=self._used_at[name],
                is_pinned=name in wanted,
                is_busy=name in in_use,
            )
            for name, num_bytes in self._num_bytes.items()
        ]

    def _find_file(self, style: StyleChoice) -> Path:
        path = self.files.get(style.name)
        if path is None:
            raise StyleUnavailable(f"This worker has no style {style.name!r}.")
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise StyleUnavailable(f"The file of the style {style.name!r} cannot be read.") from error
        _check_hash(style, found)
        return path

    def _load(self, style: StyleChoice, path: Path) -> None:
        from mezzotint.engine.device.faults import is_out_of_memory

        started_at = time.monotonic()
        try:
            self._num_bytes[style.name] = self.hub.loras.load(style.name, path)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            log.error("style not loaded", style=style.name, exc_info=error)
            raise StyleUnavailable(f"The style {style.name!r} could not be loaded.") from error
        self._sha256[style.name], self._used_at[style.name] = style.sha256, time.monotonic()
        spent_s, kilobytes = round(time.monotonic() - started_at, 2), self._num_bytes[style.name] >> 10
        log.info("style loaded", style=style.name, seconds=spent_s, kilobytes=kilobytes)

    def _drop(self, name: str) -> None:
        log.info("style dropped", style=name)
        self.hub.loras.drop(name)
        del self._num_bytes[name], self._used_at[name], self._sha256[name]


def _check_hash(style: StyleChoice, found: str) -> None:
    """Another file under the same name would draw another picture than the one that was admitted."""
    if found != style.sha256:
        raise StyleUnavailable(f"The file of the style {style.name!r} is another one than when the job came.")
