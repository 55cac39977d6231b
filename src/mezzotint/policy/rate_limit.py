"""The leaky bucket as one number, the generic cell rate algorithm (ITU-T I.371): when the bucket would be empty.

Each request pours in `period_s / num` seconds, time drains one second a second, and what would overflow `burst`
requests is turned away and pours nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """num requests each period_s, of which at most `burst` at once."""

    num: float
    period_s: float
    burst: int

    @property
    def spacing_s(self) -> float:
        return self.period_s / self.num


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """remaining: requests that would pass at once. reset_s: until the bucket is empty."""

    empty_at: float
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """retry_s: until one request would pass."""

    retry_s: float
    reset_s: float


def check_rate(empty_at: float, now: float, rate: Rate) -> Allowed | Limited:
    """Decide whether a request passes. Times in seconds.

    empty_at: of the bucket, as the last `Allowed` gave it; 0 for a new one.
    """
    start = max(empty_at, now)
    level_s = start + rate.spacing_s - now
    room_s = rate.burst * rate.spacing_s - level_s
    if room_s < -1e-9:  # float dust of a bucket that is exactly full
        return Limited(retry_s=-room_s, reset_s=start - now)
    return Allowed(empty_at=start + rate.spacing_s, remaining=int(room_s / rate.spacing_s + 1e-9), reset_s=level_s)
