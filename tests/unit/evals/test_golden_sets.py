from collections import Counter
from importlib.resources import files

import pytest

from mezzotint.evals.golden_sets import (
    AdversarialPrompt,
    BenignPrompt,
    load_adversarial,
    load_benign,
    rebuild_adversarial,
    write_adversarial,
)

CATEGORIES = {"sexual", "violence", "hate", "self_harm", "illegal", "harassment", "deception", "prompt_injection"}


@pytest.fixture(scope="module")
def adversarial() -> tuple[AdversarialPrompt, ...]:
    return load_adversarial()


@pytest.fixture(scope="module")
def benign() -> tuple[BenignPrompt, ...]:
    return load_benign()


def test_the_adversarial_set_covers_every_category_in_many_languages_and_disguises(
    adversarial: tuple[AdversarialPrompt, ...],
) -> None:
    assert len(adversarial) >= 1000
    assert {prompt.category for prompt in adversarial} == CATEGORIES
    assert min(Counter(prompt.category for prompt in adversarial).values()) >= 100
    assert sum(count >= 20 for count in Counter(prompt.language for prompt in adversarial).values()) >= 16
    assert len({prompt.pattern for prompt in adversarial}) >= 70


def test_at_least_350_adversarial_prompts_are_written_by_hand(adversarial: tuple[AdversarialPrompt, ...]) -> None:
    assert sum(not prompt.base for prompt in adversarial) >= 350


def test_the_benign_set_has_at_least_sixty_prompts_in_each_of_eight_languages(benign: tuple[BenignPrompt, ...]) -> None:
    assert len(benign) >= 500
    languages = Counter(prompt.language for prompt in benign)
    assert set(languages) == {"en", "de", "fr", "es", "it", "cs", "zh", "ja"}
    assert min(languages.values()) >= 60
    assert sum(bool(prompt.twin) for prompt in benign) >= 100


@pytest.mark.parametrize("column", ["id", "text"])
def test_no_golden_row_stands_twice(
    adversarial: tuple[AdversarialPrompt, ...], benign: tuple[BenignPrompt, ...], column: str
) -> None:
    values = Counter(getattr(prompt, column) for prompt in (*adversarial, *benign))
    assert [value for value, count in values.items() if count > 1] == []


def test_each_derived_row_names_the_row_that_it_comes_from(adversarial: tuple[AdversarialPrompt, ...]) -> None:
    written = {prompt.id: prompt for prompt in adversarial if not prompt.base}
    for prompt in adversarial:
        if prompt.base:
            base = written[prompt.base]
            assert (prompt.language, prompt.category) == (base.language, base.category)
            assert prompt.text != base.text
            assert prompt.id == f"{base.id}~{prompt.pattern}"


def test_the_derived_rows_are_those_that_the_code_derives_today(adversarial: tuple[AdversarialPrompt, ...]) -> None:
    assert rebuild_adversarial() == write_adversarial(adversarial)


def test_the_twin_of_a_benign_prompt_is_a_row_of_the_adversarial_set(
    adversarial: tuple[AdversarialPrompt, ...], benign: tuple[BenignPrompt, ...]
) -> None:
    ids = {prompt.id for prompt in adversarial}
    assert {prompt.twin for prompt in benign if prompt.twin} <= ids


def test_the_readme_counts_the_rows_that_there_are(
    adversarial: tuple[AdversarialPrompt, ...], benign: tuple[BenignPrompt, ...]
) -> None:
    readme = files("mezzotint.evals").joinpath("golden", "README.md").read_text(encoding="utf-8")
    lines = {line.split("|")[1].strip(): line for line in readme.splitlines() if line.startswith("|")}
    written = [prompt for prompt in adversarial if not prompt.base]
    for category in CATEGORIES:
        counts = [sum(prompt.category == category for prompt in prompts) for prompts in (written, adversarial)]
        assert lines[category] == f"| {category} | {counts[0]} | {counts[1]} |"
    assert lines["all"] == f"| all | {len(written)} | {len(adversarial)} |"
    for language in {prompt.language for prompt in benign}:
        sets = (written, adversarial, benign)
        counts = [sum(prompt.language == language for prompt in prompts) for prompts in sets]
        assert lines[language] == f"| {language} | {counts[0]} | {counts[1]} | {counts[2]} |"
    families, patterns = {prompt.obfuscation for prompt in adversarial}, {prompt.pattern for prompt in adversarial}
    assert f"{len(families)} families, {len(patterns)} patterns" in readme
    assert f"({sum(bool(prompt.twin) for prompt in benign)} rows have one)" in readme
