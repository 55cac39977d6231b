"""Train the style that ships with the starter model: woodcuts, one ink on paper.

The starter draws what it knows; `carve` makes woodcuts of those pictures; a LoRA of the denoiser learns to draw them
so. WORK keeps everything, and starting again with the same folder goes on where it was: `drawn.npz`,
`checkpoint.pt`, and at the end `woodcut.safetensors` in PEFT's names, half precision.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # on a machine that does anything else, spinning threads starve

import numpy as np
import torch
from captions import concepts, with_article
from diffusers import StableDiffusionPipeline
from grid import load
from peft import LoraConfig, get_peft_model_state_dict
from PIL import Image, ImageFilter
from torch import Tensor
from train_unet import encode, spread_timesteps

HERE = Path(__file__).parent
INK, PAPER = (34, 44, 92), (246, 236, 216)
SCALE = 4  # pictures are carved at this many times their size
RANK = 8
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"]
CONVOLUTIONS = ["conv_in", "conv_out", "conv1", "conv2"]
"""Colour is in them: attention alone kept the colours that a prompt names."""
BATCH = 16
LEARNING_RATE = 3e-3
UNPROMPTED_SHARE = 0.1
DRAWN_AT_ONCE = 16
SAVE_EVERY = 25  # steps


def carve(picture: Image.Image) -> Image.Image:
    """A woodcut of a picture: lines and shadows in ink, middle tones hatched, the rest paper.

    Lines by an extended difference of Gaussians (Winnemöller et al. 2012, doi:10.1016/j.cag.2012.03.004).
    """
    large = picture.convert("L").resize((picture.width * SCALE, picture.height * SCALE), Image.Resampling.BICUBIC)
    tone, soft, softer = (
        np.asarray(large.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255 for radius in (1.0, 2.5, 5.0)
    )
    lines = soft - softer < -0.025
    rows, columns = np.indices(tone.shape)
    hatched = (tone < 0.72) & ((rows + columns) % (6 * SCALE) < 3 * SCALE)
    inked = lines | (tone < 0.42) | hatched
    image = Image.fromarray(np.where(inked[..., None], INK, PAPER).astype(np.uint8))
    return image.resize(picture.size, Image.Resampling.BOX)


def draw_pictures(pipeline: StableDiffusionPipeline, captions: list[str], path: Path, num_steps: int) -> np.ndarray:
    """[n, 64, 64, 3] uint8: what the starter draws for each caption. Killed, it goes on from its last batch."""
    drawn = list(np.load(path)["drawn"]) if path.exists() else []
    while len(drawn) < len(captions):
        texts = captions[len(drawn) : len(drawn) + DRAWN_AT_ONCE]
        generators = [torch.Generator().manual_seed(len(drawn) + i) for i in range(len(texts))]
        images = pipeline(texts, num_inference_steps=num_steps, guidance_scale=3.5, generator=generators).images
        drawn += [np.asarray(image) for image in images]
        save = path.with_name("drawn.new.npz")
        np.savez(save, drawn=np.stack(drawn))
        os.replace(save, path)
        print(f"{len(drawn)} of {len(captions)} drawn", flush=True)
    return np.stack(drawn[: len(captions)])


class StyleRun:
    """The LoRA in training, with everything that is needed to go on after a kill."""

    def __init__(self, pipeline: StableDiffusionPipeline, work: Path, num_steps: int) -> None:
        self.pipeline, self.path, self.num_steps = pipeline, work / "checkpoint.pt", num_steps
        torch.manual_seed(0)
        pipeline.unet.requires_grad_(False)
        config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=[*ATTENTION, *CONVOLUTIONS])
        pipeline.unet.add_adapter(config, "style")
        self.weights = [weight for weight in pipeline.unet.parameters() if weight.requires_grad]
        self.optimiser = torch.optim.AdamW(self.weights, LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.0)
        self.step = 0
        if self.path.exists():
            saved = torch.load(self.path)
            with torch.no_grad():
                for weight, value in zip(self.weights, saved["weights"], strict=True):
                    weight.copy_(value)
            self.optimiser.load_state_dict(saved["optimiser"])
            self.step = saved["step"]

    def save(self) -> None:
        fresh = self.path.with_suffix(".new")
        state = {"weights": self.weights, "optimiser": self.optimiser.state_dict(), "step": self.step}
        torch.save(state, fresh)
        os.replace(fresh, self.path)

    def train(self, latents: Tensor, states: Tensor, unprompted: Tensor) -> None:
        """latents: [n, 16, 8, 8] unit variance; states: [n, 20, 384]; unprompted: [20, 384]."""
        scheduler, unet = self.pipeline.scheduler, self.pipeline.unet
        smooth = None
        while self.step < self.num_steps:
            torch.manual_seed(self.step)
            for group in self.optimiser.param_groups:
                group["lr"] = LEARNING_RATE * min(1.0, (self.step + 1) / 20) * (1 - self.step / self.num_steps)
            chosen = torch.randint(len(latents), (BATCH,))
            clean, read = latents[chosen], states[chosen].clone()
            read[torch.rand(BATCH) < UNPROMPTED_SHARE] = unprompted
            noise, timesteps = torch.randn_like(clean), spread_timesteps(BATCH)
            noisy = scheduler.add_noise(clean, noise, timesteps)
            target = scheduler.get_velocity(clean, noise, timesteps)
            loss = (unet(noisy, timesteps, encoder_hidden_states=read).sample - target).pow(2).mean()
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.step += 1
            found = float(loss.detach())
            smooth = found if smooth is None else 0.95 * smooth + 0.05 * found
            if self.step % SAVE_EVERY == 0 or self.step == self.num_steps:
                self.save()
                print(f"step {self.step}  v-mse {smooth:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--starter", type=Path, default=HERE.parent / "src/mezzotint/starter")
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--draw-steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    pipeline = load(arguments.starter)
    known = [with_article(concept.names[0]) for concept in concepts(HERE / "concepts.txt")]
    captions = known[: arguments.pictures]
    drawn = draw_pictures(pipeline, captions, arguments.work / "drawn.npz", arguments.draw_steps)
    carved = np.stack([np.asarray(carve(Image.fromarray(picture))) for picture in drawn])
    with torch.no_grad():
        texts = [*captions, ""]
        states = torch.cat(
            [pipeline.encode_prompt(text, "cpu", 1, do_classifier_free_guidance=False)[0] for text in texts]
        )
    run = StyleRun(pipeline, arguments.work, arguments.steps)
    run.train(encode(pipeline.vae, carved), states[:-1], states[-1])
    found = get_peft_model_state_dict(pipeline.unet, adapter_name="style")
    StableDiffusionPipeline.save_lora_weights(
        arguments.work,
        unet_lora_layers={name: value.detach().half().contiguous() for name, value in found.items()},
        weight_name="woodcut.safetensors",
    )
    size = (arguments.work / "woodcut.safetensors").stat().st_size
    print(json.dumps({"steps": run.step, "bytes": size}))


if __name__ == "__main__":
    main()
