"""Train the upscaler, 64 to 256 pixels, on the drawn emoji and on what the starter's autoencoder makes of them.

Reads WORK/drawn-240.* (node draw.js WORK 240) and the starter; writes RUN/state.pt (from which it goes on after a
kill), the weights with their card's numbers (RUN/upscaler.safetensors, RUN/scores.json), and RUN/look.png.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from mezzotint.engine.upscaler_nets import Compact

DRAWN_PX, MARGIN_PX, LARGE_PX, SMALL_PX = 240, 8, 256, 64
SCALE = LARGE_PX // SMALL_PX
FEATURES, NUM_CONVS = 32, 12
BATCH, CROP_PX = 8, 32  # of the small picture
LEARNING_RATE, WARM_UP_STEPS = 5e-4, 200
EDGE_WEIGHT = 1.0
LATENT_NOISE = 0.03  # the denoiser's latents are never exact
HELD_OUT_EVERY = 12  # pictures that training never sees
SAVE_STEPS, LOG_STEPS = 500, 100


def large_pictures(work: Path) -> np.ndarray:
    """[n, 256, 256, 3] uint8 on white, made once."""
    kept = work / "large.npy"
    if not kept.exists():
        drawn = np.memmap(work / f"drawn-{DRAWN_PX}.bin", np.uint8, "r").reshape(-1, DRAWN_PX, DRAWN_PX, 4)
        made = np.full((len(drawn), LARGE_PX, LARGE_PX, 3), 255, np.uint8)
        inside = slice(MARGIN_PX, MARGIN_PX + DRAWN_PX)
        for row, picture in enumerate(drawn):
            white = (255 - picture[..., 3:].astype(np.int16)) + picture[..., :3]
            made[row, inside, inside] = np.clip(white, 0, 255)
        np.save(kept, made)
    return np.load(kept, mmap_mode="r")


def small_pictures(large: np.ndarray) -> Tensor:
    """[n, 3, 64, 64] uint8, shrunk as the starter's own art was."""
    size = (SMALL_PX, SMALL_PX)
    shrunk = [np.asarray(Image.fromarray(p).resize(size, Image.Resampling.LANCZOS)) for p in large]
    return torch.from_numpy(np.stack(shrunk)).permute(0, 3, 1, 2).contiguous()


@torch.no_grad()
def as_drawn(vae: AutoencoderTiny, small: Tensor, noise: float) -> Tensor:
    """[n, 3, 64, 64] uint8: the pictures through the starter's autoencoder, its latents disturbed a little."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for part in small.split(64):
        latents = vae.encode(part.float().div(127.5).sub(1)).latents
        latents = latents + noise * torch.randn(latents.shape, generator=generator)
        decoded = vae.decode(latents).sample
        parts.append(decoded.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8))
    return torch.cat(parts)


def fresh() -> Compact:
    """An untrained network whose signal keeps its size from layer to layer, and that begins with the plain picture."""
    network = Compact(FEATURES, NUM_CONVS, SCALE)
    convs = [layer for layer in network.body if isinstance(layer, torch.nn.Conv2d)]
    torch.nn.init.kaiming_normal_(convs[0].weight, a=0.25)
    for conv in convs[1:-1]:  # each hands on what it is given, and a little more
        torch.nn.init.dirac_(conv.weight)
        conv.weight.data.add_(torch.randn_like(conv.weight) * 0.02)
        conv.bias.data.zero_()
    torch.nn.init.zeros_(convs[-1].weight)
    torch.nn.init.zeros_(convs[-1].bias)
    return network


def batch_of(large: np.ndarray, smalls: list[Tensor], rows: np.ndarray, rng: np.random.Generator) -> list[Tensor]:
    """Crops in 0..1, turned over and with their colours exchanged at random: [n, 3, s, s] and [n, 3, 4 s, 4 s]."""
    pairs = []
    for row in rng.choice(rows, BATCH):
        y, x = rng.integers(0, SMALL_PX - CROP_PX + 1, 2)
        small = smalls[rng.integers(len(smalls))][row, :, y : y + CROP_PX, x : x + CROP_PX]
        cut = large[row, SCALE * y : SCALE * (y + CROP_PX), SCALE * x : SCALE * (x + CROP_PX)]
        pair = [small, torch.from_numpy(np.array(cut)).permute(2, 0, 1)]
        flips = [dim for dim in (1, 2) if rng.random() < 0.5]
        colours = rng.permutation(3)
        is_turned = rng.random() < 0.5
        pairs.append([_turned(p[colours].flip(flips), is_turned) for p in pair])
    return [torch.stack(side).float().div(255) for side in zip(*pairs, strict=True)]


def _turned(picture: Tensor, is_turned: bool) -> Tensor:
    return picture.transpose(1, 2) if is_turned else picture


def loss_of(made: Tensor, wanted: Tensor) -> Tensor:
    error = made - wanted
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + EDGE_WEIGHT * edges


def train(network: Compact, large: np.ndarray, smalls: list[Tensor], run: Path, num_steps: int) -> None:
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.0)
    rows = np.array([row for row in range(len(large)) if row % HELD_OUT_EVERY])
    begin, state = 0, run / "state.pt"
    if state.exists():
        saved = torch.load(state, weights_only=True)
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        begin = saved["step"]
    smooth, begun = math.nan, time.monotonic()
    for step in range(begin, num_steps):
        rate = LEARNING_RATE * min(1, (step + 1) / WARM_UP_STEPS) * (1 + math.cos(math.pi * step / num_steps)) / 2
        for group in optimiser.param_groups:
            group["lr"] = rate
        small, wanted = batch_of(large, smalls, rows, np.random.default_rng(step))
        loss = loss_of(network(small), wanted)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        smooth = loss.item() if math.isnan(smooth) else 0.99 * smooth + 0.01 * loss.item()
        if (step + 1) % LOG_STEPS == 0:
            print(f"step {step + 1}  loss {smooth:.4f}  {time.monotonic() - begun:.0f} s", flush=True)
        if (step + 1) % SAVE_STEPS == 0 or step + 1 == num_steps:
            aside = state.with_suffix(".new")
            content = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
            torch.save(content, aside)
            aside.replace(state)


@torch.no_grad()
def scores(network: Compact, large: np.ndarray, smalls: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """Decibels over the held-out pictures: the mean of each picture's PSNR in RGB."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in smalls}
    for row in range(0, len(large), HELD_OUT_EVERY):
        wanted = torch.from_numpy(np.array(large[row])).permute(2, 0, 1)[None].float() / 255
        for name, small in smalls.items():
            picture = small[row : row + 1].float() / 255
            made = {"upscaler": network(picture), **_resampled(small[row])}
            for kind, enlarged in made.items():
                found[name].setdefault(kind, []).append(_psnr(enlarged, wanted))
    return {name: {kind: round(float(np.mean(v)), 2) for kind, v in kinds.items()} for name, kinds in found.items()}


def _resampled(small: Tensor) -> dict[str, Tensor]:
    picture = Image.fromarray(small.permute(1, 2, 0).numpy())
    methods = {"nearest": Image.Resampling.NEAREST, "bicubic": Image.Resampling.BICUBIC}
    return {
        name: torch.from_numpy(np.array(picture.resize((LARGE_PX, LARGE_PX), method))).permute(2, 0, 1)[None] / 255
        for name, method in methods.items()
    }


def _psnr(made: Tensor, wanted: Tensor) -> float:
    rounded = made.clamp(0, 1).mul(255).round() / 255
    return -10 * math.log10(max(1e-10, float(functional.mse_loss(rounded, wanted))))


@torch.no_grad()
def look(network: Compact, large: np.ndarray, small: Tensor, path: Path) -> None:
    """Rows of held-out pictures: bicubic, the upscaler, the original."""
    rows = [row * HELD_OUT_EVERY for row in (3, 11, 27, 45, 80, 130)]
    sheet = Image.new("RGB", (3 * LARGE_PX, len(rows) * LARGE_PX))
    for place, row in enumerate(rows):
        picture = Image.fromarray(small[row].permute(1, 2, 0).numpy())
        made = network(small[row : row + 1].float() / 255)[0].clamp(0, 1).mul(255).round().to(torch.uint8)
        columns = [
            picture.resize((LARGE_PX, LARGE_PX), Image.Resampling.BICUBIC),
            Image.fromarray(made.permute(1, 2, 0).numpy()),
            Image.fromarray(np.array(large[row])),
        ]
        for column, shown in enumerate(columns):
            sheet.paste(shown, (column * LARGE_PX, place * LARGE_PX))
    sheet.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--vae", type=Path, required=True, help="the starter's vae folder")
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    run: Path = arguments.run
    run.mkdir(parents=True, exist_ok=True)
    large = large_pictures(arguments.work)
    clean = small_pictures(large)
    vae = AutoencoderTiny.from_pretrained(arguments.vae, torch_dtype=torch.float32)
    kept = arguments.work / "as-drawn.npy"
    if not kept.exists():
        np.save(kept, as_drawn(vae, clean, LATENT_NOISE).numpy())
    drawn = torch.from_numpy(np.load(kept))
    network = fresh()
    train(network, large, [clean, drawn], run, arguments.steps)
    shipped = {name: tensor.half() for name, tensor in network.state_dict().items()}
    network.load_state_dict({name: tensor.float() for name, tensor in shipped.items()})
    network.eval()
    save_file(shipped, run / "upscaler.safetensors")
    result = scores(network, large, {"art": clean, "as the starter draws": drawn})
    (run / "upscaler.safetensors").chmod(0o644)
    (run / "scores.json").write_text(json.dumps(result, indent=2) + "\n")
    look(network, large, drawn, run / "look.png")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
