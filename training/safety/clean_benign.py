"""Find rows of the benign set C that may be mislabelled, for a person to read and decide.

    python training/safety/clean_benign.py --data DATA --cache CACHE --out candidates.csv

Three heads (the fast encoder, word and letter n-grams, the pretrained MiniLM) score C five-fold: no head has seen the
row that it scores. A row is a candidate where two of the three put it among the highest 3 % of C, or one among the
highest 0.5 %. A person reads each candidate and excludes those whose text by itself asks for what the policy refuses:
nudity or sex, gore or violence against people, hatred, self-harm, crime. What only sounds dark stays. The decisions
stand in `c_excluded.csv` by key, without texts.
"""

import argparse
import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from embed import VectorCache
from encoder import embed_with_minilm
from fit import fit_head
from numpy.typing import NDArray
from rows import Row, read_rows
from scipy.stats import rankdata
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

_FOLDS = 5
_HIGH, _HIGHEST = 0.97, 0.995

Scorer = Callable[[NDArray[np.intp], NDArray[np.intp]], NDArray[np.float64]]  # trained on, scored


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="holds texts: keep it out of the repository")
    asked = parser.parse_args()
    # The cleaned set only measures: rows whose licence forbids weights that ship may vote here.
    rows = [row for row in read_rows(asked.data) if row.set in "CD" or (row.set == "A" and row.is_clear)]
    benign = np.array([row.set == "C" for row in rows])
    ranks = np.stack([_ranks(score, rows)[benign] for score in _scorers(rows, asked.cache)])
    chosen = ((ranks > _HIGH).sum(axis=0) >= 2) | (ranks.max(axis=0) > _HIGHEST)
    _write(asked.out, [row for row in rows if row.set == "C"], ranks, chosen)
    print(f"{chosen.sum()} candidates of {benign.sum()}")


def _ranks(score: Scorer, rows: Sequence[Row]) -> NDArray[np.float64]:
    """0..1 by row: the share of C that scores lower; each scored by a head that has not seen it."""
    fold = np.array([int(row.key, 16) % _FOLDS for row in rows])
    scores = np.zeros(len(rows))
    for number in range(_FOLDS):
        unseen = np.flatnonzero(fold == number)
        scores[unseen] = rankdata(score(np.flatnonzero(fold != number), unseen)) / len(unseen)
    benign = np.array([row.set == "C" for row in rows])
    return np.searchsorted(np.sort(scores[benign]), scores) / benign.sum()


def _scorers(rows: Sequence[Row], cache: Path) -> list[Scorer]:
    texts = [row.text.lower() for row in rows]
    unsafe = np.array([row.is_unsafe for row in rows])
    fast = VectorCache(cache / "fast.npz").embed([row.text for row in rows])
    slow = embed_with_minilm([row.text for row in rows], cache / "minilm.npz")

    def with_fast_head(seen: NDArray[np.intp], unseen: NDArray[np.intp]) -> NDArray[np.float64]:
        head = fit_head(fast[seen], [rows[at] for at in seen], seed=0)
        return head.logits(fast[unseen])[:, 0].astype(np.float64)

    def with_words(seen: NDArray[np.intp], unseen: NDArray[np.intp]) -> NDArray[np.float64]:
        grams = make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=3),
        )
        model = make_pipeline(grams, LogisticRegression(C=3, class_weight="balanced", max_iter=300))
        model.fit([texts[at] for at in seen], unsafe[seen])
        return model.decision_function([texts[at] for at in unseen])

    def with_minilm(seen: NDArray[np.intp], unseen: NDArray[np.intp]) -> NDArray[np.float64]:
        model = LogisticRegression(C=10, class_weight="balanced", max_iter=500)
        return model.fit(slow[seen], unsafe[seen]).decision_function(slow[unseen])

    return [with_fast_head, with_words, with_minilm]


def _write(path: Path, rows: Sequence[Row], ranks: NDArray[np.float64], chosen: NDArray[np.bool_]) -> None:
    order = [at for at in np.argsort(-ranks.mean(axis=0)) if chosen[at]]
    with path.open("w", newline="", encoding="utf8") as file:
        out = csv.writer(file)
        out.writerow(["row", "source", "fast", "words", "minilm", "text"])
        for at in order:
            out.writerow([rows[at].key, rows[at].source, *np.round(ranks[:, at], 4), rows[at].text])


if __name__ == "__main__":
    main()
