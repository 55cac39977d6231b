"""The lexical head: one weight for each word and run of letters, by logistic regression."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from fit import targets_of
from numpy.typing import NDArray
from rows import OUTPUTS, Row
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, diags

from mezzotint.safety.text.ngrams import NUM_BUCKETS, Ngrams
from mezzotint.safety.text.readings import prepare_text

_PENALTY = 1.0
_ITERATIONS = 30
_LONGEST = 2000  # characters
_RAREST = 2  # rows that an n-gram must stand in
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LexicalHead:
    """weights [NUM_BUCKETS, K], bias [K]. A text's logits: the sum of the weights of its n-grams by the root of their
    number, and the bias.
    """

    weights: Array
    bias: Array

    def logits(self, numbered: csr_matrix) -> Array:
        return np.asarray(numbered @ self.weights + self.bias, np.float32)


def number_texts(texts: Sequence[str]) -> csr_matrix:
    """[n, NUM_BUCKETS]: 1 / root of the number of a text's n-grams, where it has one."""
    return stack_numbers([Ngrams(prepare_text(text)[:_LONGEST]).list_numbers(0, _LONGEST) for text in texts])


def stack_numbers(found: Sequence[NDArray[Any]]) -> csr_matrix:
    counts = np.array([len(numbers) for numbers in found])
    values = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts).astype(np.float32)
    indices = np.concatenate(found).astype(np.int32)
    return csr_matrix((values, indices, np.cumsum([0, *counts])), shape=(len(found), NUM_BUCKETS))


def fit_lexical(
    numbered: csr_matrix, rows: Sequence[Row], num_outputs: int = len(OUTPUTS), penalty: float = _PENALTY
) -> LexicalHead:
    """Train on `number_texts` of the rows."""
    targets, weights = (table[:, :num_outputs].astype(np.float32) for table in targets_of(rows))
    in_rows = np.asarray((numbered > 0).sum(axis=0)).ravel()
    # Rare n-grams tell more: they get larger values, and so larger weights at the same penalty.
    rarity = np.log(len(rows) / (1 + in_rows)).clip(0).astype(np.float32) * (in_rows >= _RAREST)
    scaled = (numbered @ diags(rarity)).tocsr().astype(np.float32)
    turned = scaled.T.tocsr()
    size = NUM_BUCKETS * num_outputs

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        table = flat[:size].reshape(NUM_BUCKETS, num_outputs).astype(np.float32)
        logits = scaled @ table + flat[size:].astype(np.float32)
        excess = weights * (1 / (1 + np.exp(-logits)) - targets)
        total = (weights * (np.logaddexp(0, logits) - targets * logits)).sum(dtype=np.float64)
        total += penalty / 2 * float((flat[:size] ** 2).sum())
        gradient = np.concatenate([(turned @ excess).ravel(), excess.sum(axis=0)]).astype(np.float64)
        gradient[:size] += penalty * flat[:size]
        return total, gradient

    start = np.zeros(size + num_outputs)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS, "maxcor": 8}).x
    table = found[:size].reshape(NUM_BUCKETS, num_outputs).astype(np.float32) * rarity[:, None]
    return LexicalHead(table, found[size:].astype(np.float32))
