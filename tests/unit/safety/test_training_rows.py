"""Which rows may train weights that ship, and how the training changes them."""

import csv
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

TRAINING = Path(__file__).parents[3] / "training/safety"


@pytest.fixture(scope="module")
def rows() -> ModuleType:
    sys.path.insert(0, str(TRAINING))
    try:
        import rows
    finally:
        sys.path.remove(str(TRAINING))
    return rows


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


def test_the_heads_that_ship_name_sources_that_may_ship_and_are_small(rows: ModuleType) -> None:
    heads = TRAINING.parents[1] / "src/mezzotint/safety/text/heads"
    listed = json.loads((heads / "heads.json").read_text(encoding="utf8"))
    for head in ("fast", "lexical", "strong"):
        assert len(listed[head]["trained_on"]) > 20
        for entry in listed[head]["trained_on"]:
            source, licence = entry.removesuffix(")").split(" (", 1)
            assert rows.may_ship(licence, source), entry
    assert sum(file.stat().st_size for file in heads.iterdir()) < 30_000_000
