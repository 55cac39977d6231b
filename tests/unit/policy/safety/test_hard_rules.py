"""Which hard rules can be added, and how long they hold."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mezzotint.policy.safety.hard_rules import MAX_TERM, MAX_TERMS, blocks_too_much, find_rule_fault
from tests.making import NOW, make_rule

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("all_of", "none_of"),
    [
        ([], []),
        ([[]], []),
        ([["a"], []], []),
        ([["!?"]], []),
        ([["a"]], [" "]),
        ([["a"]] * 9, []),
        ([["a"] * (MAX_TERMS + 1)], []),
        ([["a" * (MAX_TERM + 1)]], []),
        ([["a"]], ["b" * (MAX_TERM + 1)]),
    ],
)
def test_a_rule_that_cannot_be_used_is_explained(all_of: list[list[str]], none_of: list[str]) -> None:
    assert find_rule_fault(all_of, none_of)
    assert not find_rule_fault([["rocket skates"], ["@nudity", "14"]], ["test report"])


def test_a_rule_holds_until_it_expires_or_is_removed() -> None:
    rule = make_rule("acme", expires_at=NOW + HOUR)
    assert rule.is_in_force(NOW)
    assert not rule.is_in_force(NOW + HOUR)
    assert not replace(rule, removed_at=NOW).is_in_force(NOW)


def test_a_rule_blocks_too_much_from_two_in_five_hundred_benign_prompts_on() -> None:
    assert not blocks_too_much(1, 500)
    assert blocks_too_much(2, 500)
    assert not blocks_too_much(0, 0)
