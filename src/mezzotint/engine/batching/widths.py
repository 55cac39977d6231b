"""The widths of passes that fit into the device's memory, by form of call: learned from passes, and forgotten.

A form is a denoiser and the shape of its samples. A pass that fails for want of memory is not tried again at its width
until `MEMORY_PASSES` later ones of its form have been made, since memory may be free by then. A device that tells
its memory is asked how wide passes may be meanwhile; without one they go back to what has fitted, and double slowly.
"""

import contextlib
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from mezzotint.engine.device.memory import DeviceMemory

MEMORY_PASSES = 100
DOUBLING_PASSES = 16  # passes after a failure until wider ones are tried, where no device tells its memory
MAX_FORMS = 512
USABLE = 0.9  # of the room: the allocator's fragments and the libraries' workspaces need the rest


@dataclass(slots=True, eq=False)
class _Known:
    """fitted: widths that fitted. failed: the least width that did not, `failed_at` so many passes."""

    fitted: set[int] = field(default_factory=set)
    failed: int | None = None
    failed_at: int = 0
    num_passes: int = 0
    bytes_per_row: float | None = None

    @property
    def proven(self) -> int:
        return max((rows for rows in self.fitted if self.failed is None or rows < self.failed), default=0)


class FittingWidths:
    """Learns from every pass how wide passes of its form may be.

    largest: size of the largest pass that fitted, of any form, in elements of its samples. peak: rows and bytes of the
    pass that took most memory, where the device tells.
    """

    def __init__(self, memory: DeviceMemory) -> None:
        self.largest = 0
        self.peak: tuple[int, int] | None = None
        self._memory = memory
        self._forms: dict[Hashable, _Known] = {}

    @contextlib.contextmanager
    def observe(self, form: Hashable, rows: int, size: int) -> Iterator[None]:
        """Learn from the pass made inside, if it succeeds. Its memory is measured the first time at each width."""
        known = self._known(form)
        is_new = rows not in known.fitted
        if is_new:
            self._memory.begin_peak()
        yield
        known.num_passes += 1
        if known.failed is not None and known.num_passes - known.failed_at > MEMORY_PASSES:
            known.failed = None
        self.largest = max(self.largest, size)
        if is_new:
            known.fitted.add(rows)
            peak = self._memory.peak_bytes()
            if peak is not None:
                known.bytes_per_row = max(known.bytes_per_row or 0.0, peak / rows)
                self.peak = max(self.peak or (rows, peak), (rows, peak), key=lambda found: found[1])

    def add_failure(self, form: Hashable, rows: int) -> None:
        """Memory ran out in a pass of so many rows."""
        known = self._known(form)
        known.failed = rows if known.failed is None else min(known.failed, rows)
        known.failed_at = known.num_passes
        known.fitted = {width for width in known.fitted if width < known.failed}

    def widest(self, form: Hashable, wanted: int) -> int | None:
        """The most rows of a pass that are expected to fit; None if nothing speaks against `wanted` rows."""
        known = self._forms.get(form)
        if known is None or wanted <= known.proven:
            return None
        room = self._memory.room_bytes() if known.bytes_per_row else None
        if room is not None and known.bytes_per_row:
            expected = int(room * USABLE / known.bytes_per_row)
            return max(known.proven, expected if known.failed is None else min(expected, known.failed - 1))
        if known.failed is None:
            return None
        if self._memory.is_measured:
            return known.proven  # the next pass tells what a row needs
        doublings = (known.num_passes - known.failed_at) // DOUBLING_PASSES
        return max(known.proven, min(min(known.fitted, default=0) << doublings, known.failed - 1))

    def _known(self, form: Hashable) -> _Known:
        if form not in self._forms and len(self._forms) >= MAX_FORMS:
            return _Known()
        return self._forms.setdefault(form, _Known())
