"""Which rows may train weights that ship, and how the training changes them."""

import csv
import importlib
import json
import random
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TRAINING = Path(__file__).parents[3] / "training/safety"


@pytest.fixture(scope="module")
def rows() -> ModuleType:
    return _import("rows")


@pytest.fixture(scope="module")
def augment() -> ModuleType:
    return _import("augment")


def _import(name: str) -> ModuleType:
    sys.path.insert(0, str(TRAINING))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(TRAINING))


@pytest.mark.parametrize(
    ("licence", "source", "may"),
    [
        ("MIT", "coprov2_train", True),
        ("MIT (repo copy)", "pickapic_test", True),
        ("CC-BY-4.0 (COCO)", "coco_captions", True),
        ("CC0", "tate", True),
        ("not stated in repo", "t2vsafetybench", False),
        ("none stated", "t2i_riskyprompt", False),
        ("captions: research use, see repository", "multi30k_val", False),
        ("CC-BY (article's own version)", "roco_radiology", False),
        ("MIT", "multijail", False),  # its README gives it for measuring
    ],
)
def test_only_rows_under_a_free_licence_train_what_ships(
    rows: ModuleType, licence: str, source: str, may: bool
) -> None:
    assert rows.may_ship(licence, source) is may


def test_rows_of_one_group_fall_into_the_same_fold(rows: ModuleType) -> None:
    pair = [
        rows.Row(text, rows.key_of(text), "W", "twins", unsafe, (), "en", True, group="en-violence-001")
        for text, unsafe in (("a soldier shoots a prisoner", True), ("a soldier writes a letter", False))
    ]
    assert len({rows.fold_of(row) for row in pair}) == 1


def test_the_list_of_mislabelled_rows_holds_no_text() -> None:
    with (TRAINING / "c_excluded.csv").open(newline="", encoding="utf8") as file:
        lines = list(csv.DictReader(file))
    assert lines
    for line in lines:
        assert re.fullmatch("[0-9a-f]{16}", line["row"])
        assert re.fullmatch("[a-z0-9_]+", line["source"])
        assert re.fullmatch("[a-z_]+", line["reason"])


def test_each_handwritten_request_has_a_harmless_one_in_the_same_words(rows: ModuleType) -> None:
    groups: dict[str, list[bool]] = {}
    for _, _, categories, group in rows.request_texts():
        groups.setdefault(group, []).append(bool(categories))
    assert len(groups) > 100
    for labels in groups.values():
        assert labels.count(True) == labels.count(False)


def test_phrases_come_in_each_category_and_more_than_twenty_languages(rows: ModuleType) -> None:
    phrases = rows.list_phrases()
    texts = [phrase.text for phrase in phrases]
    assert len(texts) > 10_000
    assert not any(set(text) & set("{}|") for text in texts)
    assert {phrase.category for phrase in phrases} == {*rows.CATEGORIES, "none"}
    assert len({phrase.language for phrase in phrases}) > 20
    harmless = {phrase.line for phrase in phrases if phrase.category == "none"}
    assert harmless.isdisjoint(phrase.line for phrase in phrases if phrase.category != "none")


def _alternate(rows: ModuleType, count: int, language: str = "en") -> list[Any]:
    """Harmful and harmless rows by turns, each with a mark of its own."""
    return [
        rows.Row(f"mark{at} beside a grey wall, evening", f"{at}", "C", "made up", at % 2 == 1, (), language, True)
        for at in range(count)
    ]


def test_each_pass_changes_other_rows_and_harmful_ones_as_often_as_harmless_ones(
    rows: ModuleType, augment: ModuleType
) -> None:
    plain = _alternate(rows, 2000)
    first, second = (augment.augment_anew(plain, seed) for seed in (1, 2))
    assert [row.text for row in first] == [row.text for row in augment.augment_anew(plain, 1)]
    changed = [at for at in range(2000) if first[at].text != plain[at].text]
    assert 800 < len(changed) < 1400
    assert sum(first[at].text != second[at].text for at in changed) > 600
    assert abs(sum(first[at].is_unsafe for at in changed) / len(changed) - 0.5) < 0.06
    assert [(row.key, row.is_unsafe) for row in first] == [(row.key, row.is_unsafe) for row in plain]


@pytest.mark.parametrize("language", ["en", "de", "zh", "sw"])
def test_a_framing_keeps_the_text_and_needs_no_language_of_its_own(augment: ModuleType, language: str) -> None:
    chance = random.Random(3)
    framed = {augment.frame_text("mark7 on a hill.", chance, ["a red boat on a lake"], language) for _ in range(60)}
    assert len(framed) >= 4
    assert all("mark7 on a hill" in text and not set(text) & set("{}") for text in framed)


def test_the_heads_that_ship_name_sources_that_may_ship_and_are_small(rows: ModuleType) -> None:
    heads = TRAINING.parents[1] / "src/mezzotint/safety/text/heads"
    listed = json.loads((heads / "heads.json").read_text(encoding="utf8"))
    for head in ("fast", "lexical", "strong"):
        assert len(listed[head]["trained_on"]) > 20
        for entry in listed[head]["trained_on"]:
            source, licence = entry.removesuffix(")").split(" (", 1)
            assert rows.may_ship(licence, source), entry
    assert sum(file.stat().st_size for file in heads.iterdir()) < 30_000_000
