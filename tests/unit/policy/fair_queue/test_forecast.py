import pytest

from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.forecast import forecast_wait_s


@pytest.mark.parametrize(
    ("position", "lane", "waiting", "rate", "expected"),
    [
        (0, Tier.FREE, [Tier.FREE], 0.5, 2.0),
        (9, Tier.FREE, [Tier.FREE], 0.5, 20.0),
        (9, Tier.FREE, [Tier.FREE, Tier.PAID, Tier.PRO], 0.5, 140.0),
        (9, Tier.PRO, [Tier.FREE, Tier.PAID, Tier.PRO], 0.5, 35.0),
        (9, Tier.PRO, [], 0.5, 20.0),
        (9, Tier.PRO, [Tier.PRO], 0.0, None),
    ],
)
def test_the_wait_follows_place_share_and_pace(
    position: int, lane: Tier, waiting: list[Tier], rate: float, expected: float | None
) -> None:
    assert forecast_wait_s(position, lane, waiting, rate) == expected
