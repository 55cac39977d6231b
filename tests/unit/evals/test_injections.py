from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from mezzotint.domain.errors import ArgumentInvalid
from mezzotint.evals.golden_sets import load_adversarial, load_benign
from mezzotint.evals.injection_ledger import InjectionLedger, LedgerEventKind, LedgerInvalid
from mezzotint.evals.injections import (
    PatternUnknown,
    compose_pattern,
    format_week,
    list_controls,
    list_week,
)

WEEK, NEXT_WEEK = "2026-W48", "2026-W49"


def test_a_week_has_one_set_and_a_larger_set_begins_with_it() -> None:
    small = list_week(WEEK, 40)
    assert small == list_week(WEEK, 40)
    assert small == list_week(WEEK, 120)[:40]


def test_two_weeks_share_no_pattern() -> None:
    assert {prompt.id for prompt in list_week(WEEK)}.isdisjoint(prompt.id for prompt in list_week(NEXT_WEEK))


def test_a_pattern_of_an_earlier_week_is_not_drawn_again() -> None:
    first, *others = list_week(WEEK, 30)
    drawn = list_week(WEEK, 30, seen_before={first.id})
    assert first.id not in {prompt.id for prompt in drawn}
    assert drawn[: len(others)] == others


def test_a_set_that_the_parts_cannot_yield_is_refused_with_a_reason() -> None:
    known = {prompt.id for prompt in list_week(WEEK)}  # more than the tries for a set of five
    with pytest.raises(ArgumentInvalid, match="yield only 0"):
        list_week(WEEK, 5, seen_before=known)


def test_a_week_mixes_languages_categories_carriers_and_disguises() -> None:
    prompts = list_week(WEEK)
    assert len(prompts) == 300
    assert len({prompt.language for prompt in prompts}) >= 15
    assert len({prompt.category for prompt in prompts}) == 8
    patterns = [prompt.pattern for prompt in prompts if prompt.pattern]
    assert len({pattern.carrier for pattern in patterns}) >= 14
    assert Counter(len(pattern.disguises) for pattern in patterns).keys() == {0, 1, 2}


def test_a_pattern_of_a_past_week_is_composed_again_from_its_id() -> None:
    for prompt in list_week(WEEK):
        assert compose_pattern(prompt.id) == prompt


def test_an_undisguised_pattern_holds_its_carrier_its_lead_and_its_request() -> None:
    prompt = compose_pattern("recipe.middle.de-1-2-3.request.none.de-violence-001")
    request = next(golden.text for golden in load_adversarial() if golden.id == "de-violence-001")
    assert f"Der eigentliche Auftrag lautet: {request}" in prompt.text
    assert prompt.text.startswith("Plum cake")
    assert prompt.text.endswith("checked cloth.")
    assert (prompt.language, prompt.category) == ("de", "violence")


@pytest.mark.parametrize(
    "pattern_id",
    [
        "",
        "recipe",
        "menu.middle.de-1-2-3.request.none.de-violence-001",
        "recipe.side.de-1-2-3.request.none.de-violence-001",
        "recipe.middle.de-0-2-3.request.none.de-violence-001",
        "recipe.middle.de-1-2-99.request.none.de-violence-001",
        "recipe.middle.xx-1-2-3.request.none.de-violence-001",
        "recipe.middle.de-1-2-3.request.glitter/pink.de-violence-001",
        "recipe.middle.de-1-2-3.request.none.de-violence-999",
        "recipe.middle.de-1-2-3.request.leetspeak/digits.zh-violence-001",
    ],
)
def test_an_id_that_names_no_pattern_is_refused(pattern_id: str) -> None:
    with pytest.raises(PatternUnknown):
        compose_pattern(pattern_id)


def test_controls_put_benign_prompts_into_the_same_carriers() -> None:
    controls = list_controls(WEEK, 60)
    assert controls == list_controls(WEEK, 60)
    texts = {prompt.text for prompt in load_benign()}
    assert all(control.pattern is None and control.category == "none" for control in controls)
    assert all(any(text in control.text for text in texts) for control in controls)


def test_the_week_of_a_date_is_its_iso_week() -> None:
    assert [format_week(date(2027, 1, 3)), format_week(date(2027, 1, 4))] == ["2026-W53", "2027-W01"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results" / "injections.jsonl"


def test_the_ledger_keeps_when_a_pattern_was_seen_caught_lost_and_caught_again(path: Path) -> None:
    for week, caught in (("2026-W45", False), ("2026-W46", True), ("2026-W47", False), ("2026-W48", True)):
        InjectionLedger(path).record(week, {"a": caught}, "policy 3")
    history = InjectionLedger(path).histories["a"]
    assert (history.first_seen, history.first_caught, history.last_lost) == ("2026-W45", "2026-W46", "2026-W47")
    assert history.is_caught


def test_the_ledger_is_appended_to_and_a_run_that_changes_nothing_writes_nothing(path: Path) -> None:
    ledger = InjectionLedger(path)
    assert [event.event for event in ledger.record(WEEK, {"a": True}, "1")] == [
        LedgerEventKind.SEEN,
        LedgerEventKind.CAUGHT,
    ]
    before = path.read_bytes()
    assert ledger.record(NEXT_WEEK, {"a": True}, "2") == []
    assert path.read_bytes() == before
    ledger.record(NEXT_WEEK, {"a": False, "b": False}, "2")
    assert path.read_bytes().startswith(before)


def test_the_patterns_of_earlier_weeks_are_listed_the_latest_first(path: Path) -> None:
    ledger = InjectionLedger(path)
    for week, pattern in (("2026-W46", "a"), ("2026-W47", "b"), (WEEK, "c")):
        ledger.record(week, {pattern: False}, "1")
    assert ledger.list_seen_before(WEEK) == ["b", "a"]


@pytest.mark.parametrize("line", ["", "{", '{"week": "2026-W48"}', "[1]", "\ufffd"])
def test_a_damaged_ledger_is_refused_with_its_line(path: Path, line: str) -> None:
    InjectionLedger(path).record(WEEK, {"a": True}, "1")
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    with pytest.raises(LedgerInvalid, match="line 3"):
        InjectionLedger(path)


def test_a_word_that_is_no_week_is_refused(path: Path) -> None:
    with pytest.raises(LedgerInvalid, match="ISO week"):
        InjectionLedger(path).record("last week", {"a": True}, "1")
