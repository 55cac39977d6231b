"""Train the fast head on the vectors of the multilingual encoder, and beside it one without a fifth of the rows.

    python training/safety/train_fast.py --data DATA --cache CACHE --out RUN [--seeds 2]

Writes `RUN/fast_without_0.npz`, which thresholds and figures are taken from, and `RUN/fast.npz`, which ships: each is
the mean of the seeds.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from augment import augmented
from embed import VectorCache
from fit import Head, average, fit_head
from rows import HELD_OUT, Row, fold_of, is_sampled, read_rows
from served import ServedRows

PARTS_FROM = frozenset("CDE")
PART_WEIGHT = 0.3


class FastTraining:
    """Rows, their copies, the parts of the harmless ones, and the vectors of all.

    The service takes the highest score of any sentence or window. A head that has seen only whole texts finds harm in
    the fragments of harmless ones, so that thresholds would have to rise: it caught 43 instead of 56 % of the unsafe
    prompts at the same rate of false refusals.
    """

    def __init__(self, data: Path, cache: Path) -> None:
        vectors = VectorCache(cache / "fast.npz")
        self.rows = read_rows(data)
        copies = augmented([row for row in self.rows if row.may_train and is_sampled(row)], seed=1)
        harmless = [row for row in self.rows if row.may_train and not row.is_unsafe and row.set in PARTS_FROM]
        parts, of_parts = ServedRows(harmless, cache / "parts.npz").parts_beside_whole()
        self.vectors = vectors.embed([row.text for row in self.rows])
        self._all = [
            *self.rows,
            *copies,
            *(replace(row, weight=PART_WEIGHT * row.weight) for row in parts),
        ]
        self._vectors = np.concatenate([self.vectors, vectors.embed([row.text for row in copies]), of_parts])

    def train(self, keep: Callable[[Row], bool], seeds: Sequence[int]) -> Head:
        """The mean head of the seeds, trained on the rows that may train and that `keep` keeps."""
        chosen = [at for at, row in enumerate(self._all) if row.may_train and is_sampled(row) and keep(row)]
        rows = [self._all[at] for at in chosen]
        return average([fit_head(self._vectors[chosen], rows, seed) for seed in seeds])


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
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    training = FastTraining(asked.data, asked.cache)
    asked.out.mkdir(parents=True, exist_ok=True)
    seeds = range(asked.seeds)
    save_head(asked.out / "fast_without_0.npz", training.train(lambda row: fold_of(row) != HELD_OUT, seeds))
    save_head(asked.out / "fast.npz", training.train(lambda _: True, seeds))


if __name__ == "__main__":
    main()
