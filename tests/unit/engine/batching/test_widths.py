"""What failed for want of memory is remembered for a while, and what a row takes is read off the passes."""

import pytest
import torch

from mezzotint.engine.batching.widths import DOUBLING_PASSES, MEMORY_PASSES, FittingWidths
from mezzotint.engine.device.memory import DeviceMemory


class Measured(DeviceMemory):
    """100 bytes a row, as a device would tell."""

    def __init__(self, room: int) -> None:
        super().__init__(torch.device("cuda"))
        self.room, self.rows = room, 0

    def begin_peak(self) -> None:
        pass

    def peak_bytes(self) -> int:
        return 100 * self.rows

    def room_bytes(self) -> int:
        return self.room


def make(widths: FittingWidths, rows: int, times: int = 1) -> None:
    for _ in range(times):
        with widths.observe("form", rows, rows):
            pass


def test_nothing_speaks_against_a_form_that_never_failed() -> None:
    widths = FittingWidths(DeviceMemory(torch.device("cpu")))
    assert widths.widest("form", 16) is None
    make(widths, 2)
    assert widths.widest("form", 16) is None


def test_below_a_width_that_failed_goes_what_has_fitted_and_later_twice_the_narrowest() -> None:
    widths = FittingWidths(DeviceMemory(torch.device("cpu")))
    widths.add_failure("form", 16)
    assert widths.widest("form", 16) == 0, "each call alone"
    assert widths.widest("other form", 16) is None
    make(widths, 2, DOUBLING_PASSES - 1)
    assert widths.widest("form", 16) == 2
    make(widths, 2)
    assert widths.widest("form", 16) == 4
    make(widths, 4, DOUBLING_PASSES)
    assert widths.widest("form", 16) == 8
    make(widths, 4, 2 * DOUBLING_PASSES)
    assert widths.widest("form", 16) == 15, "it failed at 16"
    make(widths, 12)
    widths.add_failure("form", 14)
    assert widths.widest("form", 16) == 12, "it has fitted"
    widths.add_failure("form", 12)
    assert widths.widest("form", 16) == 4


def test_a_pass_that_fails_teaches_nothing_about_what_fits() -> None:
    widths = FittingWidths(DeviceMemory(torch.device("cpu")))
    with pytest.raises(MemoryError), widths.observe("form", 16, 16):
        raise MemoryError
    widths.add_failure("form", 16)
    assert widths.widest("form", 16) == 0
    assert widths.largest == 0


def test_a_failure_is_forgotten_after_many_passes() -> None:
    widths = FittingWidths(DeviceMemory(torch.device("cpu")))
    widths.add_failure("form", 16)
    make(widths, 4, MEMORY_PASSES)
    assert widths.widest("form", 16) == 15
    make(widths, 4)
    assert widths.widest("form", 16) is None


def test_a_device_that_tells_its_memory_is_filled_but_not_overfilled() -> None:
    memory = Measured(room=1000)
    widths = FittingWidths(memory)
    widths.add_failure("form", 16)
    assert widths.widest("form", 16) == 0, "what a row takes is measured first"
    memory.rows = 1
    make(widths, 1)
    assert widths.widest("form", 16) == 9
    memory.room = 500
    assert widths.widest("form", 16) == 4
    memory.room = 100_000
    assert widths.widest("form", 16) == 15, "it failed at 16"


def test_room_is_looked_at_before_a_pass_is_widened() -> None:
    memory = Measured(room=700)
    widths = FittingWidths(memory)
    memory.rows = 2
    make(widths, 2)
    assert widths.widest("form", 2) is None
    assert widths.widest("form", 16) == 6
