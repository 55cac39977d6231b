"""Fine-tune MiniLM-L6 on the English rows that may train weights that ship.

    python training/safety/train_strong.py --data DATA --out RUN [--seed 1] [--leave-out SOURCE ...] [--epochs 6]

Each pass draws the two largest sets and the disguises and framings of all rows anew. Killed and started again, it goes
on from its last checkpoint (`RUN/checkpoint.pt`, every 50 steps). At the end `RUN/model.pt` holds the weights.
`--leave-out` trains without these sources, for the figures of sources never seen (name their benign twins, too).
"""

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from augment import augment_anew
from encoder import Classifier, load_classifier, pad, tokenize
from fit import targets_of
from rows import Row, fold_of, read_rows
from torch import Tensor, nn

_BATCH = 128
_ENCODER_RATE, _WORDS_RATE, _HEAD_RATE = 7e-5, 2e-5, 1e-3
_WARM_UP_STEPS = 40
_CHECKPOINT_STEPS = 50
_SAMPLES = {("T", True): 5000, ("T", False): 1500, ("H", True): 1500, ("H", False): 1500}
# Against the weights of `rows.py`: ordinary prompts set the threshold, of those that sound unsafe fewer are refused.
_WEIGHTS = {"C": 1.4, "D": 0.5}
_LONGEST = 600  # characters; jailbreaks of chat models run to thousands and say the same


class TrainingRows:
    """English rows that may train; of the two largest sets another sample each pass."""

    def __init__(self, rows: Sequence[Row], seed: int, left_out: frozenset[str], held_out_fold: int | None) -> None:
        kept = [row for row in rows if row.may_train and row.language == "en" and row.source not in left_out]
        kept = [row for row in kept if fold_of(row) != held_out_fold and len(row.text) <= _LONGEST]
        kept = [replace(row, weight=row.weight * _WEIGHTS.get(row.set, 1.0)) for row in kept]
        self._whole = [row for row in kept if (row.set, row.is_unsafe) not in _SAMPLES]
        self._pools = {name: [row for row in kept if (row.set, row.is_unsafe) == name] for name in _SAMPLES}
        self._seed = seed

    def __len__(self) -> int:
        return len(self._whole) + sum(min(_SAMPLES[name], len(pool)) for name, pool in self._pools.items())

    def draw(self, epoch: int) -> list[Row]:
        """The rows of a pass, about half of them disguised or framed."""
        chance = random.Random(self._seed * 100 + epoch)
        chosen = list(self._whole)
        for name, pool in self._pools.items():
            chosen += chance.sample(pool, min(_SAMPLES[name], len(pool)))
        return augment_anew(chosen, self._seed * 100 + epoch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--leave-out", nargs="*", default=[])
    parser.add_argument("--hold-out-fold", type=int, help="0..4: measure and calibrate on this fifth of the rows")
    parser.add_argument("--start", type=Path, help="weights of an earlier run to go on from, at `--rate` of the rates")
    parser.add_argument("--rate", type=float, default=1.0)
    parser.add_argument("--last-rate", type=float, default=0.02, help="share of the rates at the last step")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    asked.out.mkdir(parents=True, exist_ok=True)
    rows = TrainingRows(read_rows(asked.data), asked.seed, frozenset(asked.leave_out), asked.hold_out_fold)
    print(f"{len(rows)} rows a pass", flush=True)
    network = Classifier() if asked.start is None else load_classifier(asked.start)
    run = _Run(network, rows, asked.seed, asked.epochs, asked.out / "checkpoint.pt")
    run.set_rates(asked.rate, asked.last_rate)
    run.train()
    torch.save(run.weights(), asked.out / "model.pt")


class _Run:
    """One training run. Its batches follow from the seed, so that a resumed run is the same run.

    The network computes in bfloat16; the optimizer keeps its weights in float32.
    """

    def __init__(self, network: Classifier, rows: TrainingRows, seed: int, epochs: int, checkpoint: Path) -> None:
        torch.manual_seed(seed)
        self._network = network
        network.use_fast_training()
        self._names = [name for name, _ in network.named_parameters() if "pooler" not in name]
        self._used = [network.get_parameter(name) for name in self._names]
        self._exact = [weight.detach().float().clone().requires_grad_() for weight in self._used]
        self._rows, self._seed, self._checkpoint = rows, seed, checkpoint
        self._steps_of_epoch = -(-len(rows) // _BATCH)
        self._steps = epochs * self._steps_of_epoch
        groups: dict[float, list[Tensor]] = {_ENCODER_RATE: [], _WORDS_RATE: [], _HEAD_RATE: []}
        for name, weight in zip(self._names, self._exact, strict=True):
            of_words = _WORDS_RATE if "embeddings" in name else _ENCODER_RATE
            groups[_HEAD_RATE if name.startswith("head") else of_words].append(weight)
        self._optimizer = torch.optim.AdamW(
            [{"params": some, "lr": rate} for rate, some in groups.items()], weight_decay=0.01, fused=True
        )
        self._step = 0

    def set_rates(self, rate: float, last: float) -> None:
        """Shares of the learning rates: at first, and at the last step. Go on from the checkpoint, if there is one."""
        for group in self._optimizer.param_groups:
            group["lr"] *= rate

        def share(step: int) -> float:
            return min(1.0, (step + 1) / _WARM_UP_STEPS) * (1 - (1 - last) * step / self._steps)

        self._rate = torch.optim.lr_scheduler.LambdaLR(self._optimizer, share)
        if self._checkpoint.exists():
            self._resume()

    def train(self) -> None:
        self._network.train()
        started, first, mean = time.process_time(), self._step, 0.0
        while self._step < self._steps:
            epoch, done = divmod(self._step, self._steps_of_epoch)
            for loss in self._learn_pass(epoch, done):
                mean = 0.98 * mean + 0.02 * loss if self._step > first else loss
                self._step += 1
                if self._step % _CHECKPOINT_STEPS == 0:
                    rate = (self._step - first) * _BATCH / (time.process_time() - started)
                    print(f"{self._step}/{self._steps} loss {mean:.3f}, {rate:.0f} rows a CPU second", flush=True)
                    self._save()

    def weights(self) -> dict[str, Tensor]:
        """The state of the network, in float32."""
        exact = {name: weight.detach() for name, weight in zip(self._names, self._exact, strict=True)}
        return {
            name: exact.get(name, value.float() if value.is_floating_point() else value)
            for name, value in self._network.state_dict().items()
        }

    def _learn_pass(self, epoch: int, done: int):
        rows = self._rows.draw(epoch)
        sequences = tokenize([row.text for row in rows])
        targets, weights = map(torch.from_numpy, targets_of(rows))
        for batch in _shuffle(sequences, self._seed * 100 + epoch)[done:]:
            yield self._learn([sequences[at] for at in batch], targets[batch], weights[batch])

    def _learn(self, sequences: list[list[int]], targets: Tensor, weights: Tensor) -> float:
        logits: Tensor = self._network(*pad(sequences))
        loss = nn.functional.binary_cross_entropy_with_logits(
            logits.float(), targets, weight=weights, reduction="sum"
        ) / len(sequences)
        loss.backward()
        for exact, used in zip(self._exact, self._used, strict=True):
            exact.grad = None if used.grad is None else used.grad.float()
        nn.utils.clip_grad_norm_(self._exact, 1.0)
        self._optimizer.step()
        self._rate.step()
        with torch.no_grad():
            for exact, used in zip(self._exact, self._used, strict=True):
                used.copy_(exact)
                used.grad = None
        return loss.item()

    def _save(self) -> None:
        state = {
            "step": self._step,
            "network": self.weights(),
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
        with torch.no_grad():
            for name, exact, used in zip(self._names, self._exact, self._used, strict=True):
                exact.copy_(state["network"][name])
                used.copy_(exact)
        self._optimizer.load_state_dict(state["optimizer"])
        self._rate.load_state_dict(state["rate"])
        torch.set_rng_state(state["chance"])
        print(f"going on from step {self._step}", flush=True)


def _shuffle(sequences: Sequence[Sequence[int]], seed: int) -> list[list[int]]:
    """Batches of texts of like length, in random order."""
    chance = random.Random(seed)
    order = list(range(len(sequences)))
    chance.shuffle(order)
    batches: list[list[int]] = []
    for start in range(0, len(order), _BATCH * 20):
        part = sorted(order[start : start + _BATCH * 20], key=lambda at: len(sequences[at]))
        batches += [part[at : at + _BATCH] for at in range(0, len(part), _BATCH)]
    chance.shuffle(batches)
    return batches


if __name__ == "__main__":
    main()
