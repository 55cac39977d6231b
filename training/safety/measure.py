"""Measure the heads: sources never seen, five-fold, shipped thresholds, languages, chat requests. Writes one JSON.

    python training/safety/measure.py --data DATA --cache CACHE --run RUN [--strong RUN] [--left-out RUNS] \\
        --out benchmarks/results/text_safety_heads.json

RUNS holds a folder for each source left out of the strong head's training (`train_strong.py --leave-out`), with its
exported model (of that training the rows of C outside the held-out fifth are seen: it is measured on the others).
Intervals are 95 % by bootstrap over rows, thresholds drawn anew each time.
"""

import argparse
import json
import os
import platform
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from calibrate import BLEND, LEXICAL, Scored, label_of, quantile, score_rows
from numpy.typing import NDArray
from rows import HELD_OUT, OUTPUTS, Row, fold_of
from served import score_strong
from train_fast import FastTraining
from train_lexical import LexicalTraining

from mezzotint.safety.text.readings import prepare_text

Floats = NDArray[np.float64]
_TWIN_SOURCES = {"overt": ("overt_benign",)}
_LEFT_OUT = ("overt", "i2p", "nibbler", "t2vsafety", "ring_a_bell")
_UNSEEN_BENIGN = frozenset({"pickapic_test", "partiprompts", "geneval"})
_CHAT = ("ailuminate", "catqa", "multijail")
_ROUNDS = 400


@dataclass(frozen=True, slots=True)
class Sample:
    """Scores of rows, and for how many rows of its source each stands."""

    scores: Floats
    weights: Floats

    def draw(self, chance: np.random.Generator) -> "Sample":
        drawn = chance.choice(self.scores, len(self.scores), p=self.weights / self.weights.sum())
        return Sample(drawn, np.ones(len(drawn)))


def plain(scores: Floats) -> Sample:
    return Sample(scores, np.ones(len(scores)))


def catch_rate(unsafe: Sample, harmless: Sample, false_rate: float) -> dict[str, float]:
    """Percent of `unsafe` above the score that `false_rate` of `harmless` reach, with its interval."""
    chance = np.random.default_rng(14)
    drawn = [_rate(unsafe.draw(chance), harmless.draw(chance), false_rate) for _ in range(_ROUNDS)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    found = {"percent": _rate(unsafe, harmless, false_rate), "low": float(low), "high": float(high)}
    return {**{name: round(value, 1) for name, value in found.items()}, "rows": len(unsafe.scores)}


def _rate(some: Sample, others: Sample, false_rate: float) -> float:
    threshold = quantile(others.scores, 1 - false_rate, others.weights)
    return 100 * float(np.average(some.scores > threshold, weights=some.weights))


def share(stopped: NDArray[np.bool_], weights: Floats) -> dict[str, float]:
    if not len(stopped):
        return {"rows": 0}
    return {"percent": round(100 * float(np.average(stopped, weights=weights)), 2), "rows": len(stopped)}


def leave_sources_out(
    fast: FastTraining, lexical: LexicalTraining, strong_runs: Path | None, num_seeds: int
) -> dict[str, object]:
    """Train without a source and its harmless twins; threshold at 2 % of cleaned rows of C that were not trained on."""
    rows = fast.rows
    is_benign = np.array([_is_unseen_benign(row) for row in rows])
    found: dict[str, object] = {}
    for source in _LEFT_OUT:
        left = {source, *_TWIN_SOURCES.get(source, ())}
        unsafe = np.array([row.source == source and row.set == "A" and row.is_clear for row in rows])
        asked = np.flatnonzero(unsafe | is_benign)
        one = unsafe[asked]

        def keeps(row: Row, left: set[str] = left) -> bool:
            return row.source not in left and not _is_unseen_benign(row)

        of_fast = fast.train(keeps, range(num_seeds)).logits(fast.vectors[asked])[:, 0].astype(np.float64)
        of_words = lexical.score([rows[at] for at in asked], keeps)
        share = LEXICAL["english"]
        both = share * _standard(of_words, ~one) + (1 - share) * _standard(of_fast, ~one)
        scores = {"fast": of_fast, "lexical": of_words, "fast and lexical": both}
        model = strong_runs / source / "minilm_int8.onnx" if strong_runs else None
        limits = dict.fromkeys(scores, ~one)
        if model is not None and model.exists():
            unseen = ~one & np.array([not rows[at].may_train or fold_of(rows[at]) == HELD_OUT for at in asked])
            strong = score_strong(model, [prepare_text(rows[at].text) for at in asked])[:, 0].astype(np.float64)
            scores["strong"] = strong
            scores["all"] = BLEND * _standard(strong, unseen) + (1 - BLEND) * _standard(both, unseen)
            limits |= {"strong": unseen, "all": unseen}
        found[source] = {
            name: catch_rate(plain(score[one]), plain(score[limits[name]]), 0.02) for name, score in scores.items()
        }
        print(source, found[source], flush=True)
    return found


def _is_unseen_benign(row: Row) -> bool:
    """The rows of C that measure sources left out: three whole sources, a fifth of the others, the unlicensed."""
    if row.set != "C" or not row.is_clear:
        return False
    return row.source in _UNSEEN_BENIGN or not row.may_train or fold_of(row) == HELD_OUT


def _standard(scores: Floats, harmless: NDArray[np.bool_]) -> Floats:
    return (scores - scores[harmless].mean()) / scores[harmless].std()


def measure_fixed_rates(scored: Scored, logits: NDArray[np.float32]) -> dict[str, object]:
    """Rows that no head has seen, at fixed rates of false refusals."""
    rows, any_score = scored.rows, logits[:, 0].astype(np.float64)

    def pick(keep: Callable[[Row], bool]) -> Sample:
        chosen = np.array([keep(row) for row in rows])
        return Sample(any_score[chosen], scored.weights[chosen].astype(np.float64))

    benign = pick(lambda row: label_of(row) == "C")
    edge = pick(lambda row: label_of(row) == "D")
    at_two_percent = quantile(benign.scores, 0.98, benign.weights)
    found: dict[str, object] = {
        "public A, 2 % of C": catch_rate(pick(lambda row: row.set == "A" and row.is_clear), benign, 0.02),
        "D refused at 2 % of C": share(edge.scores > at_two_percent, edge.weights),
    }
    for kind in ("sexual", "violence", "hate", "self_harm", "illegal", "harassment"):
        scores = pick(lambda row, kind=kind: row.set == "A" and row.is_clear and kind in row.categories)  # type: ignore[misc]
        found[f"public A, {kind}, 2 % of C"] = catch_rate(scores, benign, 0.02)
    for source in _CHAT:
        scores = pick(
            lambda row, source=source: row.source == source and row.is_clear and row.language == "en"  # type: ignore[misc]
        )
        found[f"{source} en, 2 % of C"] = catch_rate(scores, benign, 0.02)
    return found


def measure_hate(scored: Scored) -> dict[str, object]:
    """Multilingual HateCheck, whole functionalities unseen; at 5 % of captions and of its own harmless rows."""
    score = np.maximum(scored.fast[:, OUTPUTS.index("hate")], scored.fast[:, 0]).astype(np.float64)
    rows = scored.rows
    captions = score[np.array([row.set == "K" and scored.groups[at] != "unknown" for at, row in enumerate(rows)])]
    found: dict[str, object] = {}
    for language in sorted({row.language for row in rows if row.source == "mhc"}):
        of_language = [row.source == "mhc" and row.language == language for row in rows]
        unsafe = score[np.array([one and row.is_unsafe for one, row in zip(of_language, rows, strict=True)])]
        harmless = score[np.array([one and not row.is_unsafe for one, row in zip(of_language, rows, strict=True)])]
        found[language] = {
            "5 % of captions": catch_rate(plain(unsafe), plain(captions), 0.05),
            "5 % of its harmless rows": catch_rate(plain(unsafe), plain(harmless), 0.05),
        }
    return found


def measure_thresholds(scored: Scored, policy: dict[str, Any]) -> dict[str, object]:
    """Percent refused by the policy, of rows that no head has seen, by set, source and language.

    The strong head is asked where the policy's grey zone says so.
    """
    table = np.array([[policy["text"][str(group)][name] for name in OUTPUTS] for group in scored.groups])
    fast, final = (1 / (1 + np.exp(-logits)) for logits in (scored.fast, scored.final))
    nearness = (fast / table).max(axis=1)
    is_grey = (nearness >= policy["grey"]["low"]) & (nearness < policy["grey"]["high"])
    stopped = (np.where(is_grey[:, None], final, fast) >= table).any(axis=1)
    found: dict[str, dict[str, object]] = {"unsafe": {}, "harmless": {}}
    names: dict[tuple[str, str], list[int]] = {}
    for at, row in enumerate(scored.rows):
        counted = row.is_clear if row.is_unsafe or row.set == "C" else True
        for name in _names_of(row) if counted else ():
            names.setdefault(("unsafe" if row.is_unsafe else "harmless", name), []).append(at)
    for (side, name), chosen in sorted(names.items()):
        found[side][name] = share(stopped[chosen], scored.weights[chosen].astype(np.float64))
    return dict(found)


def _names_of(row: Row) -> Sequence[str]:
    kinds = [f"{row.set}, {kind}" for kind in row.categories] if row.set in {"A", "M"} else []
    return (row.set, f"{row.set} {row.source} {row.language}", *kinds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--strong", type=Path)
    parser.add_argument("--left-out", type=Path)
    parser.add_argument("--policy", type=Path, default=Path("src/mezzotint/safety/policy.toml"))
    parser.add_argument("--keep-left-out", action="store_true", help="take sources left out from --out as it is")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    policy = tomllib.loads(asked.policy.read_text(encoding="utf-8"))
    scored, _ = score_rows(asked.data, asked.cache, asked.run, asked.strong)
    result = {
        "policy": policy["version"],
        "hardware": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "seeds": asked.seeds,
        "at the thresholds that ship": measure_thresholds(scored, policy),
        "fast and lexical head, on rows unseen by both": measure_fixed_rates(scored, scored.fast),
        "hate in ten languages, functionalities unseen": measure_hate(scored),
    }
    if asked.strong:
        result["all heads, on rows unseen by all"] = measure_fixed_rates(scored, scored.final)
    name = "sources left out, 2 % of cleaned C"
    if asked.keep_left_out:
        result[name] = json.loads(asked.out.read_text(encoding="utf-8"))[name]
    else:
        fast, lexical = FastTraining(asked.data, asked.cache), LexicalTraining(asked.data)
        result[name] = leave_sources_out(fast, lexical, asked.left_out, asked.seeds)
    asked.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
