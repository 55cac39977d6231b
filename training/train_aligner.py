"""Train the aligner of `mezzotint eval alignment`: pictures and captions that belong together score high.

python train_aligner.py WORK OUT --starter ../src/mezzotint/starter [--samples 150000]

Reads WORK/pictures.npy, WORK/examples.json and WORK/drawn.* (the art in three styles); writes OUT/aligner.safetensors.
The starter's autoencoder redraws half of what is seen, so that the network learns pictures as the starter makes them.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from art import drawings, on_white, pixels, shrink
from captions import concepts
from diffusers import AutoencoderTiny
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from mezzotint.evals.pictures.aligner import SIDE_PX, AlignmentNetwork, PromptEncoder

NUM_CONCEPTS, NUM_OF_EACH = 48, 4  # of a batch: things, and pictures of each in its colours
OTHER_STYLES = ("noto", "twemoji")
SAME_FROM = 0.85  # cosine of two captions from which one is no counterexample of the other
LEARNING_RATE = 2e-3
TEXT_BATCH = 256


def read_art(work: Path) -> tuple[Tensor, list[list[str]], list[int]]:
    """Pictures [n, 3, 64, 64] uint8, the captions of each, and the number of the thing that each shows."""
    art = list(np.load(work / "pictures.npy"))
    examples = json.loads((work / "examples.json").read_text())
    captions = [example["captions"] for example in examples]
    things = list(np.cumsum([not example["is_coloured"] for example in examples]) - 1)
    drawn = pixels(work)
    rows = {(drawing.style, drawing.label): row for row, drawing in enumerate(drawings(work))}
    plain = [at for at, example in enumerate(examples) if not example["is_coloured"]]
    for at, concept in zip(plain, concepts(Path(__file__).with_name("concepts.txt")), strict=True):
        for style in OTHER_STYLES:
            if (style, concept.label) in rows:
                art.append(shrink(on_white(drawn[rows[style, concept.label]])))
                captions.append(captions[at])
                things.append(things[at])
    return torch.from_numpy(np.stack(art)).permute(0, 3, 1, 2).contiguous(), captions, [int(thing) for thing in things]


@torch.inference_mode()
def redraw(pictures: Tensor, starter: Path) -> Tensor:
    """The pictures as the starter's autoencoder gives them back."""
    vae = AutoencoderTiny.from_pretrained(starter / "vae", torch_dtype=torch.float32).eval()
    out = []
    for start in range(0, len(pictures), 64):
        batch = pictures[start : start + 64].float() / 127.5 - 1
        out.append(((vae.decode(vae.encode(batch).latents).sample.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8))
    return torch.cat(out)


def augment(batch: Tensor, rng: torch.Generator) -> Tensor:
    """Shift, scale, mirror, blur, grain and exposure. batch: [n, 3, 64, 64] uint8 -> [n, 3, 32, 32] in -1..1."""
    num = len(batch)
    values = torch.rand(num, 7, generator=rng)
    scale = 0.85 + 0.4 * values[:, 0]
    mirror = torch.where(values[:, 1] < 0.5, -1.0, 1.0)
    matrix = torch.zeros(num, 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1] = scale * mirror, scale
    matrix[:, :, 2] = (values[:, 2:4] - 0.5) * 0.25
    grid = functional.affine_grid(matrix, [num, 3, SIDE_PX, SIDE_PX], align_corners=False)
    small = functional.avg_pool2d(batch.float() / 127.5 - 2, 2)  # white is 0: what lies outside is white
    seen = functional.grid_sample(small, grid, align_corners=False, padding_mode="zeros") + 1
    blurred = functional.avg_pool2d(functional.pad(seen, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    seen = torch.where((values[:, 4] < 0.25)[:, None, None, None], blurred, seen)
    seen = seen + torch.randn(seen.shape, generator=rng) * (0.08 * values[:, 5])[:, None, None, None]
    return (seen * (0.9 + 0.2 * values[:, 6])[:, None, None, None]).clamp(-1, 1)


def choose_rows(by_thing: list[list[int]], rng: np.random.Generator) -> list[int]:
    """Pictures of a batch: of each thing several, so that colours are told apart, too."""
    things = rng.choice(len(by_thing), NUM_CONCEPTS, replace=False)
    return [
        int(row)
        for thing in things
        for row in rng.choice(by_thing[thing], min(NUM_OF_EACH, len(by_thing[thing])), replace=False)
    ]


def contrast(network: AlignmentNetwork, seen: Tensor, texts: Tensor, temperature: Tensor) -> Tensor:
    """InfoNCE in both directions; captions that mean the same are no counterexamples of each other."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pictures = network.embed_pictures(seen)
    scores = pictures.float() @ network.embed_texts(texts).T * temperature.exp()
    is_same = (texts @ texts.T > SAME_FROM) & ~torch.eye(len(texts), dtype=torch.bool)
    scores = scores.masked_fill(is_same, -math.inf)
    right = torch.arange(len(texts))
    return (functional.cross_entropy(scores, right) + functional.cross_entropy(scores.T, right)) / 2


def embed_captions(captions: list[list[str]]) -> tuple[Tensor, list[list[int]]]:
    """The distinct captions' embeddings [n, 384], and the rows of each picture's captions."""
    texts = sorted({caption for some in captions for caption in some})
    at = {text: row for row, text in enumerate(texts)}
    encode = PromptEncoder()
    parts = [encode(texts[start : start + TEXT_BATCH]) for start in range(0, len(texts), TEXT_BATCH)]
    return torch.cat(parts).clone(), [[at[caption] for caption in some] for some in captions]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--starter", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=150_000)
    asked = parser.parse_args()
    torch.manual_seed(0)
    pictures, captions, things = read_art(asked.work)
    redrawn = redraw(pictures, asked.starter)
    texts, rows_of = embed_captions(captions)
    by_thing = [[row for row, its in enumerate(things) if its == thing] for thing in range(max(things) + 1)]
    network, temperature = AlignmentNetwork(), torch.nn.Parameter(torch.tensor(2.5))
    optimizer = torch.optim.AdamW([*network.parameters(), temperature], lr=LEARNING_RATE, weight_decay=0.05)
    num_steps = asked.samples // (NUM_CONCEPTS * 3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=num_steps)
    rng, noise = np.random.default_rng(0), torch.Generator().manual_seed(0)
    started_at = time.monotonic()
    for step in range(num_steps):
        rows = choose_rows(by_thing, rng)
        source = torch.where(
            (torch.rand(len(rows), generator=noise) < 0.5)[:, None, None, None], pictures[rows], redrawn[rows]
        )
        chosen = texts[[rng.choice(rows_of[row]) for row in rows]]
        loss = contrast(network, augment(source, noise), chosen, temperature)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            print(f"{step} of {num_steps}  loss {loss.item():.3f}  {time.monotonic() - started_at:.0f} s", flush=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    state = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    save_file(state, asked.out / "aligner.safetensors")


if __name__ == "__main__":
    main()
