"""The built-in rules stand in one file, and each list of terms in the file of its category."""

import tomllib
from collections import Counter

import pytest

from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.safety.text.rules import Rules, list_rule_files

RULES, *TERMS = [
    (file.name.removesuffix(".toml"), Rules.model_validate(tomllib.loads(file.read_text(encoding="utf-8"))))
    for file in list_rule_files()
]
OF_SEVERAL = "harmless"


def test_rules_and_terms_stand_apart() -> None:
    assert RULES[1].rules
    assert not RULES[1].lists
    assert not any(file.rules for _, file in TERMS)
    assert {name for name, _ in TERMS} == {OF_SEVERAL, *SafetyCategory}
    assert [name for name, file in TERMS if file.harmless] == [OF_SEVERAL]


def test_a_list_stands_in_one_file_and_a_rule_uses_it() -> None:
    places = Counter(name for _, file in TERMS for name in file.lists)
    assert [name for name, number in places.items() if number > 1] == []
    used = {name for rule in RULES[1].rules for name in (*rule.all_of, *rule.none_of, *rule.negative)}
    assert used == set(places)


@pytest.mark.parametrize(("category", "file"), TERMS, ids=[name for name, _ in TERMS])
def test_the_lists_of_a_file_are_for_rules_of_its_category(category: str, file: Rules) -> None:
    for name in file.lists:
        uses = {rule.category for rule in RULES[1].rules if name in (*rule.all_of, *rule.none_of, *rule.negative)}
        if category == OF_SEVERAL:
            assert len(uses) > 1 or name == "art_context", name
        else:
            assert uses - {SafetyCategory.SEXUAL_MINORS} <= {category}, name
            assert category in uses, name
