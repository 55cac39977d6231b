"""Prompts are composed at run time; no failure prints their text."""

import re

import pytest

from mezzotint.evals.minors import ComposedPrompt, compose_minors, disguise_minors, measure_minors
from mezzotint.evals.safety import Screening
from mezzotint.safety.text.prefilter import PreFilter
from mezzotint.safety.text.rules import Rules, load_rules


@pytest.fixture(scope="module")
def rules() -> Rules:
    return load_rules(None)


@pytest.fixture(scope="module")
def prefilter() -> PreFilter:
    return PreFilter.load()


def find_missed(prefilter: PreFilter, prompts: list[ComposedPrompt]) -> list[str]:
    """Ids of the prompts that no rule on minors stops."""
    missed = []
    for prompt in prompts:
        match = prefilter.find_rule(prompt.text, prompt.negative_prompt)
        if match is None or match.category != "sexual_minors":
            missed.append(prompt.id)
    return missed


def test_every_term_beside_a_term_of_the_other_list_is_stopped(rules: Rules, prefilter: PreFilter) -> None:
    prompts = list(compose_minors(rules))
    assert len(prompts) > 2000
    assert find_missed(prefilter, prompts) == []


def test_no_disguise_by_letters_hides_a_term(rules: Rules, prefilter: PreFilter) -> None:
    prompts = list(disguise_minors(rules))
    assert len({prompt.disguise for prompt in prompts}) >= 14
    assert find_missed(prefilter, prompts) == []


def test_every_term_of_every_list_of_the_rules_is_used(rules: Rules) -> None:
    used = {part for prompt in compose_minors(rules) for part in prompt.id.split(".")[2:]}
    lists = {
        name for rule in rules.rules if rule.category == "sexual_minors" for name in (*rule.all_of, *rule.negative)
    }
    counts = {name: sum(1 for _, list_name in rules.terms() if list_name == name) for name in lists}
    assert used == {f"{name}-{number}" for name, count in counts.items() for number in range(count)}


def test_an_id_tells_numbers_of_terms_and_none_of_their_words(rules: Rules) -> None:
    for prompt in compose_minors(rules):
        assert re.fullmatch(r"minors\.\d+(\.[a-z_]+-\d+)+", prompt.id)


def test_the_share_that_is_stopped_is_measured_with_the_filter_given(rules: Rules) -> None:
    assert measure_minors(lambda _: Screening(False, 0.0), rules, limit=50).value == 0
    figure = measure_minors(lambda text: Screening(len(text) > 0, 1.0), rules, limit=50)
    assert figure.value == 1
    assert 0 < figure.num <= 50
