from mezzotint.sim.rng import Dice


def test_the_dice_follow_the_published_sequence() -> None:
    """First values of SplitMix64 from 1234567, as printed in the test vectors of its reference implementation."""
    dice = Dice(1234567)
    assert [dice.bits() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_throws_lie_in_their_ranges_and_spread_evenly() -> None:
    dice = Dice(7)
    throws = [dice.uniform(2.0, 4.0) for _ in range(4000)]
    assert 2.0 <= min(throws) < 2.01
    assert 3.99 < max(throws) < 4.0
    assert abs(sum(throws) / 4000 - 3.0) < 0.05
    assert {dice.below(5) for _ in range(200)} == {0, 1, 2, 3, 4}
    assert abs(sum(dice.exponential(3.0) for _ in range(4000)) / 4000 - 3.0) < 0.2
