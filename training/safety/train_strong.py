"""Fine-tune MiniLM-L6 on the English rows that may train weights that ship.

    python training/safety/train_strong.py --data DATA --out RUN [--seed 1] [--leave-out SOURCE ...] [--epochs 2]

Killed and started again, it goes on from its last checkpoint (`RUN/checkpoint.pt`, every 50 steps). At the end
`RUN/model.pt` holds the weights. `--leave-out` trains without these sources (and without the benign twins that are
named with them), for the figures of sources never seen.
"""

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from augment import augmented
from encoder import Classifier, load_classifier, pad, tokenize
from fit import targets_of
from rows import Row, fold_of, read_rows
from torch import Tensor, nn

_BATCH = 64
_ENCODER_RATE, _HEAD_RATE = 5e-5, 1e-3
_WARM_UP = 0.06
_CHECKPOINT_STEPS = 50
_SAMPLES = {("T", True): 3500, ("T", False): 1000, ("H", True): 1500, ("H", False): 1500}
_LONGEST = 600  # characters; jailbreaks of chat models run to thousands and say the same


def training_rows(rows: Sequence[Row], seed: int, left_out: frozenset[str], held_out_fold: int | None) -> list[Row]:
    """English rows that may train, the two largest sets sampled, and copies."""
    chance = random.Random(seed)
    kept = [row for row in rows if row.may_train and row.language == "en" and row.source not in left_out]
    kept = [row for row in kept if fold_of(row) != held_out_fold]
    chosen = [row for row in kept if (row.set, row.is_unsafe) not in _SAMPLES]
    for (name, unsafe), count in _SAMPLES.items():
        pool = [row for row in kept if row.set == name and row.is_unsafe == unsafe]
        chosen += chance.sample(pool, min(count, len(pool)))
    return [row for row in chosen + augmented(chosen, seed) if len(row.text) <= _LONGEST]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--leave-out", nargs="*", default=[])
    parser.add_argument("--hold-out-fold", type=int, help="0..4: measure and calibrate on this fifth of the rows")
    parser.add_argument("--start", type=Path, help="weights of an earlier run to go on from, at `--rate` of the rates")
    parser.add_argument("--rate", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    asked.out.mkdir(parents=True, exist_ok=True)
    rows = training_rows(read_rows(asked.data), asked.seed, frozenset(asked.leave_out), asked.hold_out_fold)
    print(f"{len(rows)} rows, {sum(row.is_unsafe for row in rows)} of them unsafe", flush=True)
    run = _Run(rows, asked.seed, asked.epochs, asked.out / "checkpoint.pt", start=asked.start, rate=asked.rate)
    run.train()
    torch.save(run.network.state_dict(), asked.out / "model.pt")


class _Run:
    """One training run. Its batches follow from the seed, so that a resumed run is the same run."""

    def __init__(
        self, rows: Sequence[Row], seed: int, epochs: int, checkpoint: Path, *, start: Path | None, rate: float
    ) -> None:
        torch.manual_seed(seed)
        self.network = Classifier() if start is None else load_classifier(start)
        self._sequences = tokenize([row.text for row in rows])
        self._targets, self._weights = map(torch.from_numpy, targets_of(rows))
        self._batches = [batch for epoch in range(epochs) for batch in self._shuffle(seed * 100 + epoch)]
        encoder = [weight for weight in self.network.encoder.parameters() if weight.requires_grad]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": encoder, "lr": rate * _ENCODER_RATE},
                {"params": self.network.head.parameters(), "lr": rate * _HEAD_RATE},
            ],
            weight_decay=0.01,
            fused=True,
        )
        self._rate = torch.optim.lr_scheduler.LambdaLR(self._optimizer, self._share_of_rate)
        self._checkpoint = checkpoint
        self._step = 0
        if checkpoint.exists():
            self._resume()

    def train(self) -> None:
        self.network.train()
        started, first, mean = time.process_time(), self._step, 0.0
        while self._step < len(self._batches):
            loss = self._learn(self._batches[self._step])
            mean = 0.97 * mean + 0.03 * loss if self._step > first else loss
            self._step += 1
            if self._step % _CHECKPOINT_STEPS == 0:
                rate = (self._step - first) * _BATCH / (time.process_time() - started)
                print(f"{self._step}/{len(self._batches)} loss {mean:.3f}, {rate:.0f} rows a CPU second", flush=True)
                self._save()

    def _learn(self, batch: list[int]) -> float:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits: Tensor = self.network(*pad([self._sequences[at] for at in batch]))
        loss = nn.functional.binary_cross_entropy_with_logits(
            logits.float(), self._targets[batch], weight=self._weights[batch], reduction="sum"
        ) / len(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self._rate.step()
        self._optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def _shuffle(self, seed: int) -> list[list[int]]:
        """Batches of texts of like length, in random order."""
        chance = random.Random(seed)
        order = list(range(len(self._sequences)))
        chance.shuffle(order)
        batches: list[list[int]] = []
        for start in range(0, len(order), _BATCH * 20):
            part = sorted(order[start : start + _BATCH * 20], key=lambda at: len(self._sequences[at]))
            batches += [part[at : at + _BATCH] for at in range(0, len(part), _BATCH)]
        chance.shuffle(batches)
        return batches

    def _share_of_rate(self, step: int) -> float:
        return min(1.0, (step + 1) / (_WARM_UP * len(self._batches))) * max(0.02, 1 - step / len(self._batches))

    def _save(self) -> None:
        state = {
            "step": self._step,
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "rate": self._rate.state_dict(),
            "chance": torch.get_rng_state(),
        }
        partial = self._checkpoint.with_suffix(".tmp")
        torch.save(state, partial)
        partial.replace(self._checkpoint)

    def _resume(self) -> None:
        state = torch.load(self._checkpoint, weights_only=True)
        self._step = state["step"]
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._rate.load_state_dict(state["rate"])
        torch.set_rng_state(state["chance"])
        print(f"going on from step {self._step}", flush=True)


if __name__ == "__main__":
    main()
