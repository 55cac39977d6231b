"""Hard rules that are added while the server runs, held against texts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mezzotint.policy.safety.hard_rules import HardRule
from mezzotint.policy.safety.overrides import NO_OVERRIDES, SafetyOverrides
from mezzotint.safety.text.prefilter import PreFilter
from mezzotint.safety.text.rules import RulesInvalid
from tests.making import make_rule


class Board:
    """The overrides of a process, as a test changes them."""

    def __init__(self) -> None:
        self.current = NO_OVERRIDES

    def put(self, *rules: HardRule) -> None:
        self.current = SafetyOverrides(version=self.current.version + 1, rules=rules)


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def prefilter(board: Board) -> PreFilter:
    return PreFilter.load(overrides=lambda: board.current)


def test_a_rule_stops_prompts_from_when_it_is_there_until_it_is_gone(prefilter: PreFilter, board: Board) -> None:
    assert prefilter.find_rule("acme rocket skates on a road") is None
    rule = make_rule("acme", "rocket skates", none_of=("test report",))
    board.put(rule)
    found = prefilter.find_rule("ACME's r0cket skates on a road")
    assert found is not None
    assert (found.rule, found.category) == (rule.id, "deception")
    assert "acme" not in found.about.lower()
    assert prefilter.find_rule("rocket skates on a road") is None
    assert prefilter.find_rule("a test report about acme rocket skates") is None
    board.put()
    assert prefilter.find_rule("acme rocket skates on a road") is None


def test_a_rule_lets_go_by_itself_at_its_end(prefilter: PreFilter, board: Board) -> None:
    board.put(make_rule("acme", expires_at=datetime.now(UTC) + timedelta(hours=1)), make_rule("emca"))
    assert prefilter.find_rule("an acme anvil") is not None
    board.put(make_rule("acme", expires_at=datetime.now(UTC) - timedelta(seconds=1)), make_rule("emca"))
    assert prefilter.find_rule("an acme anvil") is None
    assert prefilter.find_rule("an emca anvil") is not None


def test_a_term_may_name_a_list_of_the_rules_files(board: Board, tmp_path: Path) -> None:
    own = tmp_path / "rules.toml"
    own.write_text('[lists]\nrival = ["rocket skates"]\n')
    prefilter = PreFilter.load(own, lambda: board.current)
    board.put(make_rule("@rival", "canyon"), make_rule("anvil"))
    assert prefilter.find_rule("a canyon with rocket skates") is not None
    assert prefilter.find_rule("a canyon") is None
    own.write_text('[lists]\nother = ["x y"]\n')
    assert prefilter.find_rule("a canyon with rocket skates") is None, "its list is gone"
    assert prefilter.find_rule("an anvil") is not None, "the other rules hold"


def test_a_rule_by_itself_can_be_tried(prefilter: PreFilter) -> None:
    stops = prefilter.compile_rule(make_rule("acme"))
    assert stops("an acme anvil", "")
    assert not stops("an anvil", "acme"), "the negative prompt is never held against its author"
    assert not stops("a nude woman", ""), "the built-in rules are not tried"
    with pytest.raises(RulesInvalid, match="no list"):
        prefilter.compile_rule(make_rule("@unknown"))


def test_the_first_rules_category_is_told_and_the_built_in_rules_come_first(prefilter: PreFilter, board: Board) -> None:
    board.put(make_rule("woman"))
    found = prefilter.find_rule("a nude woman")
    assert found is not None
    assert (found.category, found.rule) == ("sexual", "")
