"""Train the fast head on the vectors of the multilingual encoder, and beside it a head for each fifth of the rows.

    python training/safety/train_fast.py --data DATA --cache CACHE --out RUN [--seeds 3]

Writes `RUN/fast.npz` (the head that ships: trained on every row that may, the mean of the seeds) and
`RUN/fast_without_0.npz` ... `_4.npz`, each trained without one fifth, which thresholds and figures are taken from.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from augment import augmented
from embed import VectorCache
from fit import Head, average, fit_head
from numpy.typing import NDArray
from rows import FOLDS, Row, fold_of, read_rows


class FastTraining:
    """Rows, their copies and the vectors of both."""

    def __init__(self, data: Path, cache: Path) -> None:
        vectors = VectorCache(cache / "fast.npz")
        self.rows = read_rows(data)
        self._copies = augmented([row for row in self.rows if row.may_train], seed=1)
        self.vectors = vectors.embed([row.text for row in self.rows])
        self._of_copies = vectors.embed([row.text for row in self._copies])

    def train(self, keep: Callable[[Row], bool], seeds: Sequence[int]) -> Head:
        """The mean head of the seeds, trained on the rows that may train and that `keep` keeps."""
        rows: list[Row] = []
        vectors: list[NDArray[np.float32]] = []
        for some, of_some in ((self.rows, self.vectors), (self._copies, self._of_copies)):
            chosen = [at for at, row in enumerate(some) if row.may_train and keep(row)]
            rows += [some[at] for at in chosen]
            vectors.append(of_some[chosen])
        return average([fit_head(np.concatenate(vectors), rows, seed) for seed in seeds])


def save_head(path: Path, head: Head) -> None:
    np.savez(
        path,
        hidden_weights=head.hidden_weights,
        hidden_bias=head.hidden_bias,
        weights=head.weights,
        bias=head.bias,
    )


def load_head(path: Path) -> Head:
    with np.load(path) as kept:
        return Head(**{name: kept[name] for name in ("hidden_weights", "hidden_bias", "weights", "bias")})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    training = FastTraining(asked.data, asked.cache)
    asked.out.mkdir(parents=True, exist_ok=True)
    save_head(asked.out / "fast.npz", training.train(lambda _: True, range(asked.seeds)))
    for fold in range(FOLDS):
        head = training.train(lambda row, fold=fold: fold_of(row) != fold, seeds=(0,))  # type: ignore[misc]
        save_head(asked.out / f"fast_without_{fold}.npz", head)


if __name__ == "__main__":
    main()
