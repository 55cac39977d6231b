"""What trains the filters shares no text with what measures them."""

import csv
import tomllib
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from mezzotint.evals.golden_sets import load_adversarial, load_benign
from mezzotint.evals.near_copies import find_near_copies
from mezzotint.safety.text.prefilter import PreFilter

TRAINING = Path(__file__).parents[3] / "training" / "safety"


@pytest.fixture(scope="module")
def twins() -> list[dict[str, str]]:
    found = []
    for path in sorted(TRAINING.glob("twins*.csv")):
        with path.open(encoding="utf-8", newline="") as source:
            found += list(csv.DictReader(source))
    return found


@pytest.fixture(scope="module")
def golden() -> list[str]:
    return [prompt.text for prompt in load_adversarial() if not prompt.base] + [prompt.text for prompt in load_benign()]


def test_no_twin_is_a_near_copy_of_a_golden_row(twins: list[dict[str, str]], golden: list[str]) -> None:
    assert [copy for copy in find_near_copies((twin["text"] for twin in twins[::4]), golden)] == []


def test_no_framing_of_the_training_is_a_near_copy_of_a_golden_one() -> None:
    trained = tomllib.loads((TRAINING / "framings.toml").read_text(encoding="utf-8"))
    measured = tomllib.loads((files("mezzotint.evals") / "golden/framings.toml").read_text(encoding="utf-8"))
    ours = [text for name, kinds in trained.items() if name != "pieces" for texts in kinds.values() for text in texts]
    theirs = [text for family in measured.values() for texts in family.values() for text in texts]
    assert len(ours) > 250
    assert [copy for copy in find_near_copies(ours, theirs)] == []


def test_no_phrase_is_a_near_copy_of_a_golden_row(golden: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TRAINING))
    from phrases import list_phrases

    texts = [phrase.text for phrase in list_phrases()][::12]
    assert len(texts) > 900
    assert [copy for copy in find_near_copies(texts, golden)] == []


def test_no_phrase_names_a_minor_in_a_sexual_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TRAINING))
    from phrases import list_phrases

    rules = PreFilter.load()
    sexual = [phrase.text for phrase in list_phrases() if phrase.category == "sexual"]
    matches = [rules.find_rule(text) for text in sexual]
    assert [
        text for text, match in zip(sexual, matches, strict=True) if match and match.category == "sexual_minors"
    ] == []


@pytest.mark.parametrize(
    ("change", "is_found"),
    [
        (lambda text: text.upper(), True),
        (lambda text: text.replace(" ", "-") + "!", True),
        (lambda text: f"please draw {text}", True),
        (lambda text: " ".join(sorted(text.split())), True),
        (lambda text: text[: len(text) // 4] + " over the hills and far away, a wholly different scene", False),
    ],
)
def test_a_golden_row_that_was_changed_a_little_is_found(
    golden: list[str], change: Callable[[str], str], is_found: bool
) -> None:
    text = max(golden[:200], key=len)
    assert any(copy.copied == text for copy in find_near_copies([change(text)], golden)) is is_found


def test_each_twin_is_a_pair_of_one_unsafe_and_one_safe_text(twins: list[dict[str, str]]) -> None:
    labels: dict[tuple[str, str], list[str]] = {}
    for twin in twins:
        labels.setdefault((twin["twin"], twin["lang"]), []).append(twin["label"])
    assert {tuple(pair) for pair in labels.values()} == {("unsafe", "safe")}
    assert [text for text, count in Counter(twin["text"].casefold() for twin in twins).items() if count > 1] == []


def test_the_twins_cover_every_category_and_twenty_languages(twins: list[dict[str, str]]) -> None:
    assert len(twins) >= 6000
    assert len({twin["lang"] for twin in twins}) >= 20
    unsafe = [twin for twin in twins if twin["label"] == "unsafe"]
    categories = Counter(category for twin in unsafe for category in twin["category"].split(","))
    assert len(categories) == 8
    assert min(categories.values()) >= 100
