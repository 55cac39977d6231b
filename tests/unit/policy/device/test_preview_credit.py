"""Previews may take a share of the time of passes, and a moment's burst."""

import pytest

from mezzotint.policy.device.preview_credit import MOST_S, SHARE, PreviewCredit, earn, spend


def test_a_model_begins_with_a_moments_credit_and_keeps_no_more() -> None:
    assert PreviewCredit().left_s == MOST_S
    assert earn(PreviewCredit(), 1e6).left_s == MOST_S


@pytest.mark.parametrize("preview_s", [0.001, 0.05, 0.7])
@pytest.mark.parametrize("num_watchers", [1, 8])
def test_over_time_previews_take_their_share_of_the_passes_and_no_more(preview_s: float, num_watchers: int) -> None:
    credit, pass_s, spent_s = PreviewCredit(), 0.0, 0.0
    for _ in range(2000):
        pass_s += 0.04
        for _ in range(num_watchers):
            credit = earn(credit, pass_s)
            if credit.left_s > 0:
                credit, spent_s = spend(credit, preview_s), spent_s + preview_s
    assert spent_s <= SHARE * pass_s + MOST_S + preview_s
    wanted_s = 2000 * num_watchers * preview_s
    assert spent_s >= min(wanted_s, SHARE * pass_s) * 0.99


def test_passes_are_counted_once() -> None:
    owed = spend(PreviewCredit(), MOST_S + 0.1)
    assert owed.left_s == pytest.approx(-0.1)
    once = earn(owed, 0.25)
    assert once.left_s == pytest.approx(SHARE * 0.25 - 0.1)
    assert earn(once, 0.25) == once
