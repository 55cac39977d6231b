"""Train the lexical head: weights of words and runs of letters; and beside it one without a fifth of the rows.

    python training/safety/train_lexical.py --data DATA --out RUN

Writes `RUN/lexical_without_0.npz`, which thresholds and figures are taken from, and `RUN/lexical.npz`, which ships.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from augment import augmented
from fit_lexical import LexicalHead, fit_lexical, number_texts
from numpy.typing import NDArray
from rows import HELD_OUT, OUTPUTS, Row, fold_of, is_sampled, read_rows


class LexicalTraining:
    """The rows that may train, of the largest sets a share, their copies, and the n-grams of all."""

    def __init__(self, data: Path) -> None:
        kept = [row for row in read_rows(data) if row.may_train and is_sampled(row)]
        self.rows = kept + augmented(kept, seed=1)
        self._numbered = number_texts([row.text for row in self.rows])

    def train(self, keep: Callable[[Row], bool], num_outputs: int = len(OUTPUTS)) -> LexicalHead:
        chosen = np.flatnonzero([keep(row) for row in self.rows])
        return fit_lexical(self._numbered[chosen], [self.rows[at] for at in chosen], num_outputs)

    def score(self, rows: Sequence[Row], keep: Callable[[Row], bool]) -> NDArray[np.float64]:
        """Logits of `any` for whole texts, by a head that was trained on the rows that `keep` keeps."""
        logits = self.train(keep, num_outputs=1).logits(number_texts([row.text for row in rows]))
        return logits[:, 0].astype(np.float64)


def save_lexical(path: Path, head: LexicalHead) -> None:
    np.savez(path, weights=head.weights, bias=head.bias)


def load_lexical(path: Path) -> LexicalHead:
    with np.load(path) as kept:
        return LexicalHead(kept["weights"], kept["bias"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    training = LexicalTraining(asked.data)
    print(f"{len(training.rows)} rows", flush=True)
    unseen = training.train(lambda row: fold_of(row) != HELD_OUT)
    save_lexical(asked.out / "lexical_without_0.npz", unseen)
    save_lexical(asked.out / "lexical.npz", training.train(lambda _: True))


if __name__ == "__main__":
    main()
