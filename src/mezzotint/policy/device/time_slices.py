"""Share a device between models with runs in flight: the one that has had it for the shortest time is next."""

from collections.abc import Mapping, Sequence


def carry_over(spent_s: Mapping[str, float], live: Sequence[str]) -> dict[str, float]:
    """Seconds by live model. A model that was idle starts at the least served one's time: idleness earns no credit.

    spent_s: as it was at the turn before.
    """
    kept = {name: spent_s[name] for name in live if name in spent_s}
    start = min(kept.values(), default=0.0)
    return {name: kept.get(name, start) for name in live}


def choose_least_served(spent_s: Mapping[str, float]) -> str | None:
    """The least served; of equals the first. None where none is live."""
    return min(spent_s, key=spent_s.__getitem__, default=None)
