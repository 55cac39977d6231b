"""Turn logits into probabilities, choose thresholds, and write the folder of heads that ships.

    python training/safety/calibrate.py --data DATA --cache CACHE --run RUN [--strong RUN] --heads HEADS --version V

Every score used here is of a row that no head was trained on: of the fifth that was held out of all three, and of rows
that may not train. Parts of a text are scored as the service does.

Thresholds: of all tables whose false refusals stay under the limits below, the one that refuses most. The `any` output
gets a share r of the harmless rows, each category a part of r. One number r decides the table of a group of languages.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from encoder import MAX_TOKENS_SERVED
from numpy.typing import NDArray
from rows import FOLDS, HELD_OUT, OUTPUTS, Row, fold_of, read_rows
from served import ServedRows, score_strong
from sklearn.linear_model import LogisticRegression
from train_fast import load_head
from train_lexical import load_lexical

Array = NDArray[np.float32]

# The largest share of harmless rows refused, by group of languages: of each set or source.
LIMITS = {
    "english": {"C": 0.019, "D": 0.028, "E": 0.03, "captions en": 0.02, "written": 0.07},
    "known": {"captions de": 0.019, "captions fr": 0.019, "captions zh": 0.019, "written": 0.035},
    "unknown": {"captions cs": 0.016, "written": 0.06},
}
_CATEGORY_SHARE = {"english": 1 / 3, "known": 1 / 8, "unknown": 1 / 4}
# Of a category's share: harmless prompts that speak of rules and settings are rare in these sets and common in use.
_INJECTION_SHARE = 1 / 8
_MAX_ROWS = {"M": 4000, "H": 5000, "T": 800}
# Share of the lexical head beside the fast one. In other languages it has learned few words: more of it stops more of
# what is like the texts written for it there, and less of everything else.
LEXICAL = {"english": 0.7, "known": 0.35, "unknown": 0.7}
BLEND = 0.4  # share of the strong head where it is asked
# Taken off the calibrated logit of a sentence, a window or a disguised reading: a fragment of a harmless text looks
# harmful more often than the text.
PART_DISCOUNT = 0.75
# Of the most suspicious part, which the strong head reads beside the whole: its share there, and what is taken off both
# heads' logit of `any`. A part raises no other output. None below the lowest logit is read: with 5.2, the highest
# logit of a strong head so far, its score would still be under the threshold.
PART_BLEND, STRONG_PART_DISCOUNT, MIN_PART_LOGIT = 0.6, 1.4, -1.0


@dataclass(frozen=True, slots=True)
class Scored:
    """Calibrated logits [n, K]. fast: of the fast and the lexical head. final: with the strong head's, in English.

    No head knew the rows. weights: a row of the fifth that was held out stands for five of its source, a row that may
    not train for itself. So every source counts as in the whole set.
    """

    rows: Sequence[Row]
    groups: NDArray[np.str_]
    fast: Array
    final: Array
    weights: Array


def rows_to_score(data: Path) -> list[Row]:
    """All prompts and captions, and of the largest sets as many as settle a threshold; the same ones every time."""
    rows = [row for row in read_rows(data) if row.source not in {"requests", "scenes"}]
    rows = [row for row in rows if row.set != "A" or row.is_clear]
    chosen = [row for row in rows if row.set not in _MAX_ROWS]
    for name, count in _MAX_ROWS.items():
        chosen += sorted((row for row in rows if row.set == name), key=lambda row: row.key)[:count]
    return chosen


def fit_calibration(logits: Array, rows: Sequence[Row]) -> Array:
    """[K, 2] scale and offset: sigmoid(scale * logit + offset) is a probability where half of the texts are unsafe."""
    harmless = np.array([not row.is_unsafe and row.set in {"C", "D", "E", "W", "K"} for row in rows])
    table = np.zeros((len(OUTPUTS), 2), np.float32)
    for at, name in enumerate(OUTPUTS):
        positive = np.array([row.is_unsafe and row.is_clear and (at == 0 or name in row.categories) for row in rows])
        chosen = positive | harmless
        model = LogisticRegression(class_weight="balanced").fit(logits[chosen, at : at + 1], positive[chosen])
        table[at] = model.coef_[0, 0], model.intercept_[0]
    return table


def label_of(row: Row) -> str:
    """The name under which LIMITS counts a harmless row; empty for the others."""
    if row.is_unsafe or (row.set == "C" and not row.is_clear):
        return ""
    if row.set == "K":
        return f"captions {row.language}"
    return {"C": "C", "D": "D", "E": "E"}.get(row.set, "written" if row.source in {"twins", "phrases"} else "")


def choose_thresholds(logits: Array, rows: Sequence[Row], weights: Array, group: str) -> Array:
    """[K] logits from which a text is refused."""
    limits, share_of_category = LIMITS[group], _CATEGORY_SHARE[group]
    parts = [share_of_category * (_INJECTION_SHARE if name == "prompt_injection" else 1) for name in OUTPUTS[1:]]
    labels = np.array([label_of(row) for row in rows])
    harmless = np.isin(labels, list(limits))
    best = logits[harmless].max(axis=0)
    for share in np.geomspace(0.002, 0.2, 120):
        shares = [share, *(share * part for part in parts)]
        table = np.array(
            [quantile(logits[harmless, at], 1 - one, weights[harmless]) for at, one in enumerate(shares)], np.float32
        )
        stopped = (logits >= table).any(axis=1)
        if any(
            np.average(stopped[labels == name], weights=weights[labels == name]) > limit
            for name, limit in limits.items()
        ):
            break
        best = table
    return best


def quantile(values: NDArray[Any], share: float, weights: NDArray[Any]) -> float:
    return float(np.quantile(values, share, weights=weights, method="inverted_cdf"))


def score_rows(data: Path, cache: Path, run: Path, strong: Path | None) -> tuple[Scored, dict[str, Array]]:
    """The rows with calibrated logits, and the calibration of each head."""
    rows = [row for row in rows_to_score(data) if not row.may_train or fold_of(row) == HELD_OUT]
    served = ServedRows(rows, cache / "parts.npz")
    raw = {
        "fast": served.fast_logits(load_head(run / "fast_without_0.npz")),
        "lexical": served.lexical_logits(load_lexical(run / "lexical_without_0.npz")),
    }
    tables = {name: fit_calibration(served.of_whole(logits), rows) for name, logits in raw.items()}
    of_fast, of_lexical = (raw[name] * tables[name][:, 0] + tables[name][:, 1] for name in ("fast", "lexical"))
    lexical_share = served.of_parts(np.array([LEXICAL[group] for group in served.groups], np.float32))[:, None]
    of_parts = lexical_share * of_lexical + (1 - lexical_share) * of_fast
    fast = served.highest(of_parts, PART_DISCOUNT)
    final = fast.copy()
    if strong is not None:
        asked = np.flatnonzero(served.groups == "english")
        final[asked], tables["strong"] = _add_strong(strong, served, asked, of_parts[:, 0], fast[asked])
    weights = np.array([FOLDS if row.may_train else 1 for row in rows], np.float32)
    return Scored(rows, served.groups, fast, final, weights), tables


def _add_strong(
    strong: Path, served: ServedRows, asked: NDArray[np.int64], badness: Array, fast: Array
) -> tuple[Array, Array]:
    """The logits of the rows asked for with the strong head's, and its calibration. badness: [parts], by `of_parts`."""
    wholes, parts, of_part = zip(*served.texts_for_strong(badness, PART_DISCOUNT, asked), strict=True)
    model = strong / "minilm_int8.onnx"
    raw = score_strong(model, wholes)
    table = fit_calibration(raw, [served.rows[at] for at in asked])
    final = BLEND * (raw * table[:, 0] + table[:, 1]) + (1 - BLEND) * fast
    part = score_strong(model, parts)[:, 0] * table[0, 0] + table[0, 1]
    blended = PART_BLEND * part + (1 - PART_BLEND) * np.array(of_part, np.float32) - STRONG_PART_DISCOUNT
    is_read = np.array(of_part) >= MIN_PART_LOGIT
    final[is_read, 0] = np.maximum(final[is_read, 0], blended[is_read])
    return final, table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="where train_fast.py wrote")
    parser.add_argument("--strong", type=Path, help="where export_strong.py wrote")
    parser.add_argument("--heads", type=Path, required=True)
    parser.add_argument("--version", required=True)
    asked = parser.parse_args()
    scored, tables = score_rows(asked.data, asked.cache, asked.run, asked.strong)
    suggested = {}
    for group in LIMITS:
        chosen = np.flatnonzero(scored.groups == group)
        table = choose_thresholds(
            scored.final[chosen], [scored.rows[at] for at in chosen], scored.weights[chosen], group
        )
        scores = 1 / (1 + np.exp(-table))
        suggested[group] = {name: round(float(score), 4) for name, score in zip(OUTPUTS, scores, strict=True)}
    _write(asked, tables, suggested)


def _write(asked: argparse.Namespace, tables: dict[str, Array], suggested: dict[str, object]) -> None:
    head = load_head(asked.run / "fast.npz")
    asked.heads.mkdir(parents=True, exist_ok=True)
    np.savez(
        asked.heads / "fast_head.npz",
        hidden_weights=head.hidden_weights,
        hidden_bias=head.hidden_bias,
        weights=head.weights,
        bias=head.bias,
        outputs=np.array(OUTPUTS),
        calibration=tables["fast"],
    )
    # the head that was calibrated: one with the held-out fifth beside it refused more of golden rows, harmless ones too
    lexical = load_lexical(asked.run / "lexical_without_0.npz")
    scale = np.abs(lexical.weights).max(axis=0) / 127
    np.savez_compressed(
        asked.heads / "lexical_head.npz",
        weights=np.rint(lexical.weights / scale).astype(np.int8),
        scale=scale,
        bias=lexical.bias,
        outputs=np.array(OUTPUTS),
        calibration=tables["lexical"],
    )
    rows = [row for row in read_rows(asked.data) if row.may_train]
    content: dict[str, object] = {
        "version": asked.version,
        "fast": {"file": "fast_head.npz", "sha256": _hash(asked.heads / "fast_head.npz"), **_origin(rows)},
        "lexical": {"file": "lexical_head.npz", "sha256": _hash(asked.heads / "lexical_head.npz"), **_origin(rows)},
    }
    content["blend"] = {"lexical": LEXICAL, "strong": BLEND}
    if (of_strong := tables.get("strong")) is not None:
        for name in ("minilm_int8.onnx", "minilm_tokenizer.json"):
            (asked.heads / name).write_bytes((asked.strong / name).read_bytes())
        content["strong"] = {
            "file": "minilm_int8.onnx",
            "sha256": _hash(asked.heads / "minilm_int8.onnx"),
            "tokenizer": "minilm_tokenizer.json",
            "tokenizer_sha256": _hash(asked.heads / "minilm_tokenizer.json"),
            "outputs": OUTPUTS,
            "calibration": of_strong.round(4).tolist(),
            "languages": ["en"],
            "max_tokens": MAX_TOKENS_SERVED,
            **_origin([row for row in rows if row.language == "en"]),
        }
    content["part_discount"] = PART_DISCOUNT
    if asked.strong:
        content["strong_part"] = {
            "share": PART_BLEND,
            "discount": STRONG_PART_DISCOUNT,
            "min_logit": MIN_PART_LOGIT,
        }
    content["suggested_thresholds"] = suggested
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    (asked.heads / "heads.json").write_text(text, encoding="utf-8")
    print(json.dumps(suggested, indent=1))


def _origin(rows: Sequence[Row]) -> dict[str, object]:
    return {"licence": "Apache-2.0", "trained_on": sorted({f"{row.source} ({row.licence})" for row in rows})}


def _hash(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
