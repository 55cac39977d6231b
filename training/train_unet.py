"""Train the denoiser on the pictures' latents: v-prediction, classifier-free guidance dropout, averaged weights.

A run is a folder: `checkpoint.pt` (everything needed to go on after a kill), `unet/`, `vae/` and `scheduler/` (the
averaged weights as diffusers loads them) and `log.csv`. Starting again with the same folder goes on where it was.
The learning rate depends on samples seen, never on time: a warm-up, a constant rate for as long as wanted, and, in an
invocation of its own with `--cool-down N`, a fall to zero over N samples. Another cool-down after one that is over
starts from `--learning-rate` again.
"""

import argparse
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # on a machine that does anything else, spinning threads starve

import numpy as np
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from torch import Tensor

BATCH = 32
LEARNING_RATE = 8e-4
WARM_UP = 12_800  # samples
COLOURED_SHARE = 0.3  # of a batch: pictures chosen for their colour
UNPROMPTED_SHARE = 0.1  # of a batch: the empty prompt, for guidance
AVERAGED_STEPS = 1000  # horizon of the averaged weights; no longer than an eighth of the cool-down
CHECKPOINT_S = 240.0
LOG_STEPS = 100

SCHEDULER = DDIMScheduler(
    num_train_timesteps=1000,
    beta_schedule="squaredcos_cap_v2",
    prediction_type="v_prediction",
    clip_sample=False,
    set_alpha_to_one=True,
    steps_offset=1,
    timestep_spacing="trailing",
)


def new_unet(widths: tuple[int, int] = (96, 192)) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=16,
        out_channels=16,
        layers_per_block=1,
        block_out_channels=widths,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=384,
        attention_head_dim=8,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """latents: [b, 16, 8, 8] unit variance; states: [b, 20, 384]."""

    latents: Tensor
    states: Tensor


class Examples:
    """Latents with the states of their captions, drawn at random."""

    def __init__(self, work: Path, vae: AutoencoderTiny) -> None:
        examples = json.loads((work / "examples.json").read_text())
        captions = torch.load(work / "captions.pt")
        self.latents = encode(vae, np.load(work / "pictures.npy"))
        self.states: Tensor = captions["states"]
        self.rows: list[list[int]] = captions["rows"]
        weight = torch.tensor([float(example["weight"]) for example in examples])
        coloured = torch.tensor([bool(example["is_coloured"]) for example in examples])
        self.things, self.coloured = weight * ~coloured, weight * coloured

    def draw(self, num: int) -> Batch:
        """`num` examples, each under one of its captions, every tenth under none."""
        num_coloured = round(num * COLOURED_SHARE)
        chosen = torch.cat(
            [
                torch.multinomial(self.things, num - num_coloured, replacement=True),
                torch.multinomial(self.coloured, num_coloured, replacement=True),
            ]
        )
        rows = [self.rows[index][int(torch.randint(len(self.rows[index]), ()))] for index in chosen.tolist()]
        states = self.states[torch.tensor(rows)].float()
        states[torch.rand(num) < UNPROMPTED_SHARE] = self.states[-1].float()
        return Batch(latents=self.latents[chosen], states=states)


@torch.no_grad()
def encode(vae: AutoencoderTiny, pictures: np.ndarray) -> Tensor:
    """pictures: [n, 64, 64, 3] uint8 -> latents [n, 16, 8, 8] of unit variance."""
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    parts = [vae.encode(part.float().div(127.5).sub(1)).latents for part in images.split(64)]
    latents: Tensor = torch.cat(parts) * vae.config.scaling_factor
    return latents


def loss_of(unet: UNet2DConditionModel, batch: Batch, timesteps: Tensor, noise: Tensor) -> Tensor:
    """Mean squared error of v (Salimans and Ho 2022, arXiv:2202.00512, appendix D)."""
    noisy = SCHEDULER.add_noise(batch.latents, noise, timesteps)
    target = SCHEDULER.get_velocity(batch.latents, noise, timesteps)
    predicted = unet(noisy, timesteps, encoder_hidden_states=batch.states).sample
    loss: Tensor = (predicted - target).pow(2).mean()
    return loss


def spread_timesteps(num: int) -> Tensor:
    """One timestep in each of `num` equal parts of the schedule, shuffled: less noise in the gradient."""
    total: int = SCHEDULER.config.num_train_timesteps
    return ((torch.arange(num) + torch.rand(())) / num * total).long()[torch.randperm(num)]


class Run:
    """A run folder and the state of training in it."""

    def __init__(self, folder: Path, unet: UNet2DConditionModel, constant_rate: float = LEARNING_RATE) -> None:
        self.folder = folder
        self.unet = unet
        self.constant_rate = constant_rate
        self.optimiser = torch.optim.AdamW(
            unet.parameters(), constant_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )
        self.average = {name: value.clone() for name, value in unet.state_dict().items()}
        self.samples = 0
        self.steps = 0
        self.cool_down_from: int | None = None
        if self.checkpoint.exists():
            self._restore()

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def _restore(self) -> None:
        saved = torch.load(self.checkpoint)
        self.unet.load_state_dict(saved["unet"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.average = saved["average"]
        self.samples, self.steps = saved["samples"], saved["steps"]
        self.cool_down_from = saved["cool_down_from"]

    def save(self) -> None:
        """The checkpoint is replaced in one move, so that a kill leaves the old one or the new one."""
        fresh = self.checkpoint.with_suffix(".new")
        torch.save(
            {
                "unet": self.unet.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "average": self.average,
                "samples": self.samples,
                "steps": self.steps,
                "cool_down_from": self.cool_down_from,
            },
            fresh,
        )
        os.replace(fresh, self.checkpoint)
        averaged = UNet2DConditionModel.from_config(self.unet.config)
        averaged.load_state_dict(self.average)
        averaged.save_pretrained(self.folder / "unet")

    def is_cooling(self, cool_down: int) -> bool:
        """A cool-down of so many samples has begun and is not over."""
        return self.cool_down_from is not None and self.samples < self.cool_down_from + cool_down

    def learning_rate(self, cool_down: int) -> float:
        if self.cool_down_from is not None:
            left = 1 - (self.samples - self.cool_down_from) / cool_down
            return self.constant_rate * max(0.0, left)
        return self.constant_rate * min(1.0, (self.samples + BATCH) / WARM_UP)

    def step(self, examples: Examples, cool_down: int) -> float:
        """One update; the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate(cool_down)
        batch = examples.draw(BATCH)
        loss = loss_of(self.unet, batch, spread_timesteps(BATCH), torch.randn_like(batch.latents))
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        self.optimiser.step()
        self.steps += 1
        self.samples += BATCH
        self._follow(cool_down)
        return float(loss.detach())

    @torch.no_grad()
    def _follow(self, cool_down: int) -> None:
        horizon = min(AVERAGED_STEPS, 1 + self.steps // 4)
        if self.cool_down_from is not None:
            horizon = min(horizon, max(1, cool_down // BATCH // 8))
        current = self.unet.state_dict()
        torch._foreach_lerp_(list(self.average.values()), [current[name] for name in self.average], 1 / horizon)


def train(run: Run, examples: Examples, until: float, cool_down: int) -> None:
    """Go on until `until` samples have been seen, keeping a checkpoint every few minutes."""
    smooth = math.nan
    started = saved = time.monotonic()
    first = run.samples
    while run.samples < until:
        loss = run.step(examples, cool_down)
        smooth = loss if math.isnan(smooth) else 0.98 * smooth + 0.02 * loss
        now = time.monotonic()
        if run.steps % LOG_STEPS == 0:
            rate = (run.samples - first) / (now - started)
            with (run.folder / "log.csv").open("a") as log:
                log.write(f"{run.samples},{smooth:.5f},{run.learning_rate(cool_down):.6f},{rate:.1f}\n")
            print(f"{run.samples} samples  v-mse {smooth:.4f}  {rate:.1f} samples/s", flush=True)
        if now - saved > CHECKPOINT_S:
            run.save()
            saved = now
    run.save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder with pictures.npy, examples.json and captions.pt")
    parser.add_argument("run", type=Path, help="folder of this run; made when missing")
    parser.add_argument("--vae", type=Path, required=True, help="folder of the autoencoder")
    parser.add_argument("--warm-start", type=Path, help="folder of a denoiser to begin a new run from")
    parser.add_argument("--until", type=int, default=0, help="stop when this many samples have been seen")
    parser.add_argument("--cool-down", type=int, default=0, metavar="N", help="bring the rate to zero over N samples")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE, help="the constant rate")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.run.mkdir(parents=True, exist_ok=True)
    vae = AutoencoderTiny.from_pretrained(arguments.vae, torch_dtype=torch.float32).eval()
    vae.save_pretrained(arguments.run / "vae")
    SCHEDULER.save_pretrained(arguments.run / "scheduler")
    warm: Path | None = arguments.warm_start
    unet = UNet2DConditionModel.from_pretrained(warm, torch_dtype=torch.float32) if warm else new_unet()
    run = Run(arguments.run, unet.train(), arguments.learning_rate)
    if arguments.cool_down and not run.is_cooling(arguments.cool_down):
        run.cool_down_from = run.samples
    until = run.cool_down_from + arguments.cool_down if run.cool_down_from is not None else arguments.until
    torch.manual_seed(run.samples)
    train(run, Examples(arguments.work, vae), until, arguments.cool_down)


if __name__ == "__main__":
    main()
