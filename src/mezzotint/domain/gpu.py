"""The readings of a GPU's sensors at one moment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReading:
    """None: the card has no such sensor, or it does not answer. Memory is the whole card's, of all processes on it.

    corrected_errors, uncorrected_errors: of its memory, since the driver was loaded. throttled_by: why it is slower now
    than it could be; empty: it is not.
    """

    used_bytes: int | None = None
    total_bytes: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    corrected_errors: int | None = None
    uncorrected_errors: int | None = None
    throttled_by: tuple[str, ...] = ()
