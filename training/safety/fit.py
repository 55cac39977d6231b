"""Targets, weights and the small network on fixed vectors: what the fast head and its measurements share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rows import OUTPUTS, Row
from torch import nn

HIDDEN = 96
_EPOCHS = 20
_BATCH = 512
_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 1e-4
_DROPOUT = 0.3
_SMOOTHING = 0.05
_UNSAFE_CATEGORY_WEIGHT = 0.3  # the sources name one category where several may hold
_SAFE_CATEGORY_WEIGHT = 0.3


@dataclass(frozen=True, slots=True)
class Head:
    """hidden_weights [512, H], hidden_bias [H], weights [H, K], bias [K]; ReLU between."""

    hidden_weights: NDArray[np.float32]
    hidden_bias: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """[n, 512] -> [n, K]."""
        hidden = np.maximum(vectors @ self.hidden_weights + self.hidden_bias, 0)
        return hidden @ self.weights + self.bias


def targets_of(rows: Sequence[Row]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """[n, K] targets and weights. The weights of all unsafe rows and of all safe ones have the same sum."""
    unsafe = np.array([row.is_unsafe for row in rows])
    weights = np.array([row.weight for row in rows], np.float32)
    for side in (unsafe, ~unsafe):
        weights[side] *= len(rows) / 2 / weights[side].sum()
    targets = np.zeros((len(rows), len(OUTPUTS)), np.float32)
    targets[:, 0] = unsafe
    of_output = np.tile(weights[:, None], (1, len(OUTPUTS)))
    for at, row in enumerate(rows):
        for name in row.categories:
            targets[at, OUTPUTS.index(name)] = 1
        share = _UNSAFE_CATEGORY_WEIGHT if row.is_unsafe else _SAFE_CATEGORY_WEIGHT
        of_output[at, 1:] *= share if row.categories or not row.is_unsafe else 0
    return targets * (1 - _SMOOTHING) + _SMOOTHING / 2, of_output


def fit_head(vectors: NDArray[np.float32], rows: Sequence[Row], seed: int, hidden: int = HIDDEN) -> Head:
    """Train on vectors [n, 512] of `rows`."""
    torch.manual_seed(seed)
    inputs = torch.from_numpy(vectors)
    targets, weights = map(torch.from_numpy, targets_of(rows))
    network = nn.Sequential(
        nn.Dropout(0.05),
        nn.Linear(inputs.shape[1], hidden),
        nn.ReLU(),
        nn.Dropout(_DROPOUT),
        nn.Linear(hidden, len(OUTPUTS)),
    )
    steps = _EPOCHS * -(-len(rows) // _BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps, pct_start=0.1)
    network.train()
    for _ in range(_EPOCHS):
        for batch in torch.randperm(len(rows)).split(_BATCH):
            losses = nn.functional.binary_cross_entropy_with_logits(
                network(inputs[batch]), targets[batch], weight=weights[batch]
            )
            optimizer.zero_grad()
            losses.backward()
            optimizer.step()
            rate.step()
    first, last = network[1], network[4]
    parts = (first.weight.T, first.bias, last.weight.T, last.bias)
    return Head(*(part.detach().numpy().astype(np.float32) for part in parts))


def average(heads: Sequence[Head]) -> Head:
    """One head whose logits are the mean of the heads': their hidden layers side by side."""
    return Head(
        np.concatenate([head.hidden_weights for head in heads], axis=1),
        np.concatenate([head.hidden_bias for head in heads]),
        np.concatenate([head.weights for head in heads]) / np.float32(len(heads)),
        np.mean([head.bias for head in heads], axis=0, dtype=np.float32),
    )
