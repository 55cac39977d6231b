"""The time that previews may take: a share of that of a model's passes, so that watchers slow no picture down."""

from dataclasses import dataclass

SHARE = 0.2
MOST_S = 1.0
"""Credit that is kept from times without watchers; also what a model begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewCredit:
    """left_s: seconds that previews may still take. counted_s: time of the passes that credit was given for."""

    left_s: float = MOST_S
    counted_s: float = 0.0


def earn(credit: PreviewCredit, pass_s: float) -> PreviewCredit:
    """Give the share of the passes made since. pass_s: time of all passes so far."""
    left_s = credit.left_s + SHARE * max(pass_s - credit.counted_s, 0.0)
    return PreviewCredit(left_s=min(left_s, MOST_S), counted_s=pass_s)


def spend(credit: PreviewCredit, spent_s: float) -> PreviewCredit:
    """Spend credit. Time beyond it is owed, and previews wait until it is earned."""
    return PreviewCredit(left_s=credit.left_s - spent_s, counted_s=credit.counted_s)
