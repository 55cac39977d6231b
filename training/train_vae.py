"""Train the autoencoder on all three styles, 64 x 64 pixels to 16 x 8 x 8 latents.

Writes RUN/vae with the `scaling_factor` that gives its latents unit variance. With `--decoder-of FOLDER` only the
decoder of that autoencoder is trained further, on the denoiser's pictures and on noisier latents: the latents of a
picture stay as they are, so that a trained denoiser stays valid.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from art import drawings, on_white, pixels, shrink
from diffusers import AutoencoderTiny
from torch import Tensor

BATCH = 16
LEARNING_RATE = 1.5e-3
WARM_UP_STEPS = 50
LATENT_NOISE = 0.03  # the denoiser's latents are never exact: the decoder must not mind
POLISH_NOISE = 0.12  # up to this much when the decoder alone is trained: it learns to draw clean edges nevertheless
EDGE_WEIGHT = 0.5
LATENT_WEIGHT = 1e-3
LOG_STEPS = 100


def new_vae() -> AutoencoderTiny:
    return AutoencoderTiny(
        encoder_block_out_channels=(48, 48, 48, 48),
        decoder_block_out_channels=(48, 48, 48, 48),
        num_encoder_blocks=(0, 1, 2, 2),
        num_decoder_blocks=(3, 3, 1, 0),
        latent_channels=16,
    )


def load_pictures(work: Path, *, only_learned: bool) -> Tensor:
    """[n, 3, 64, 64] uint8: what the denoiser learns, and unless `only_learned` every drawn emoji of every style."""
    pictures = [np.load(work / "pictures.npy")]
    if not only_learned:
        art = pixels(work)
        pictures.append(np.stack([shrink(on_white(art[row])) for row in range(len(drawings(work)))]))
    return torch.from_numpy(np.concatenate(pictures)).permute(0, 3, 1, 2).contiguous()


def loss_of(decoded: Tensor, images: Tensor, latents: Tensor) -> Tensor:
    """Squared and absolute error, absolute error of the edges, and a light pull of the latents to zero."""
    error = decoded - images
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return 2 * error.pow(2).mean() + error.abs().mean() + EDGE_WEIGHT * edges + LATENT_WEIGHT * latents.pow(2).mean()


def psnr(decoded: Tensor, images: Tensor) -> float:
    """In decibels, of images in -1..1."""
    return -10 * math.log10(float((decoded.clamp(-1, 1) - images).div(2).pow(2).mean()))


def train(vae: AutoencoderTiny, pictures: Tensor, num_samples: int, *, decoder_only: bool) -> None:
    """`num_samples` pictures with a cosine rate that ends at zero."""
    fixed = encode(vae, pictures) if decoder_only else None
    trained = vae.decoder if decoder_only else vae
    optimiser = torch.optim.AdamW(trained.parameters(), LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.0)
    num_steps = -(-num_samples // BATCH)
    smooth = math.nan
    for step in range(num_steps):
        rate = LEARNING_RATE * min(1, (step + 1) / WARM_UP_STEPS) * (1 + math.cos(math.pi * step / num_steps)) / 2
        for group in optimiser.param_groups:
            group["lr"] = rate
        chosen = torch.randint(len(pictures), (BATCH,))
        images = pictures[chosen].float().div(127.5).sub(1)
        latents = vae.encode(images).latents if fixed is None else fixed[chosen]
        amount = POLISH_NOISE * torch.rand(BATCH, 1, 1, 1) if decoder_only else LATENT_NOISE
        decoded = vae.decode(latents + amount * torch.randn_like(latents)).sample
        loss = loss_of(decoded, images, latents)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimiser.step()
        now = psnr(decoded.detach(), images)
        smooth = now if math.isnan(smooth) else 0.99 * smooth + 0.01 * now
        if (step + 1) % LOG_STEPS == 0:
            print(f"{(step + 1) * BATCH} samples  {smooth:.2f} dB", flush=True)


@torch.no_grad()
def encode(vae: AutoencoderTiny, pictures: Tensor) -> Tensor:
    """pictures: [n, 3, 64, 64] uint8 -> latents [n, 16, 8, 8], not yet scaled to unit variance."""
    return torch.cat([vae.encode(part.float().div(127.5).sub(1)).latents for part in pictures.split(64)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--samples", type=int, default=150_000)
    parser.add_argument("--decoder-of", type=Path, help="folder of an autoencoder whose encoder stays")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    source: Path | None = arguments.decoder_of
    vae = AutoencoderTiny.from_pretrained(source, torch_dtype=torch.float32) if source else new_vae()
    pictures = load_pictures(arguments.work, only_learned=source is not None)
    train(vae, pictures, arguments.samples, decoder_only=source is not None)
    if source is None:
        learned = load_pictures(arguments.work, only_learned=True)
        vae.register_to_config(scaling_factor=1 / encode(vae, learned).std().item())
    vae.save_pretrained(arguments.run / "vae")


if __name__ == "__main__":
    main()
