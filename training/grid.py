"""Draw a list of prompts with the stock pipeline into one picture, each prompt written under its own.

Used to judge a run, and for the grids in the documentation.
"""

import argparse
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from embed import TextEncoder
from PIL import Image, ImageDraw, ImageFont

CELL_PX = 160
CAPTION_PX = 22
GAP_PX = 8
COLUMNS = 4
PAPER, INK = "#ffffff", "#222222"


def load(folder: Path) -> StableDiffusionPipeline:
    """The pipeline of a run folder or of the shipped folder, in float32."""
    encoder = TextEncoder()
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderTiny.from_pretrained(folder / "vae", torch_dtype=torch.float32),
        unet=UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32),
        scheduler=DDIMScheduler.from_pretrained(folder / "scheduler"),
        text_encoder=encoder.model,
        tokenizer=encoder.tokenizer,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: StableDiffusionPipeline, prompts: list[str], seed: int, guidance_scale: float) -> list[Image.Image]:
    """One picture a prompt, each from the noise of the same seed, as a user who gives `--seed` gets it."""
    generators = [torch.Generator().manual_seed(seed) for _ in prompts]
    images: list[Image.Image] = pipeline(
        prompts, num_inference_steps=30, guidance_scale=guidance_scale, generator=generators
    ).images
    return images


def arrange(images: list[Image.Image], prompts: list[str], columns: int = COLUMNS) -> Image.Image:
    """The pictures enlarged in rows, with their prompts."""
    rows = -(-len(images) // columns)
    width, height = CELL_PX + GAP_PX, CELL_PX + CAPTION_PX + GAP_PX
    sheet = Image.new("RGB", (columns * width + GAP_PX, rows * height + GAP_PX), PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    for index, (image, prompt) in enumerate(zip(images, prompts, strict=True)):
        left, top = GAP_PX + index % columns * width, GAP_PX + index // columns * height
        sheet.paste(image.resize((CELL_PX, CELL_PX), Image.Resampling.BICUBIC), (left, top))
        pen.text((left + CELL_PX / 2, top + CELL_PX + CAPTION_PX / 2), prompt, fill=INK, font=font, anchor="mm")
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a run folder, or src/mezzotint/starter")
    parser.add_argument("prompts", type=Path, help="one prompt a line")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--guidance-scale", type=float, default=3.5)
    parser.add_argument("--columns", type=int, default=COLUMNS)
    arguments = parser.parse_args()
    prompts = [line.strip() for line in arguments.prompts.read_text().splitlines() if line.strip()]
    images = draw(load(arguments.model), prompts, arguments.seed, arguments.guidance_scale)
    arrange(images, prompts, arguments.columns).save(arguments.out)


if __name__ == "__main__":
    main()
