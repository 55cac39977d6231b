from mezzotint.sim.rng import Rng


def test_the_dice_follow_the_published_sequence() -> None:
    """First values of SplitMix64 from 1234567, as printed in the test vectors of its reference implementation."""
    rng = Rng(1234567)
    assert [rng.bits() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_throws_lie_in_their_ranges_and_spread_evenly() -> None:
    rng = Rng(7)
    draws = [rng.uniform(2.0, 4.0) for _ in range(4000)]
    assert 2.0 <= min(draws) < 2.01
    assert 3.99 < max(draws) < 4.0
    assert abs(sum(draws) / 4000 - 3.0) < 0.05
    assert {rng.below(5) for _ in range(200)} == {0, 1, 2, 3, 4}
    assert abs(sum(rng.exponential(3.0) for _ in range(4000)) / 4000 - 3.0) < 0.2
