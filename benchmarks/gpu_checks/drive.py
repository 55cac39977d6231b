"""Drive hubs to their ends, and compare what comes out."""

import functools
import hashlib
from pathlib import Path
from typing import Any

import torch

from mezzotint.engine import Hub, Run
from mezzotint.engine.models import files, load
from mezzotint.engine.models.catalog import Dtype, ModelEntry

MAX_TURNS = 10_000
TOO_MANY_BYTES = 2**50  # that no host has
TOO_LARGE_SHARE = 1.05  # of a card's memory: torch reserves addresses for little more


def finish(hub: Hub, *runs: Run) -> None:
    """Turn until all runs have ended. Raises what a run failed with."""
    turn_until_idle(hub)
    for run in runs:
        if run.error is not None:
            raise run.error


def turn_until_idle(hub: Hub) -> int:
    """Returns the number of turns."""
    for number in range(1, MAX_TURNS):
        if not hub.turn():
            return number
    raise RuntimeError(f"the hub was not done after {MAX_TURNS} turns")


def draw(hub: Hub, requests: list[dict[str, Any]]) -> list[Run]:
    runs = [hub.submit(request) for request in requests]
    finish(hub, *runs)
    return runs


def picture_of(output: Any) -> torch.Tensor:
    """The picture or the latents of a pipeline's output, on the host."""
    images = output.images
    if isinstance(images, torch.Tensor):
        return images.detach().cpu()
    return torch.as_tensor(images[0] if isinstance(images, list) else images)


def digest(run: Run) -> str:
    """SHA-256 of the bits of its picture."""
    plain = picture_of(run.output).contiguous()
    return hashlib.sha256(plain.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()


@functools.cache
def load_starter(device: torch.device, dtype: Dtype = Dtype.AUTO) -> Any:
    """The starter model; every caller gets the same, which hubs leave as it is."""
    entry = ModelEntry(name="starter", source="starter", dtype=dtype)
    return load.load_pipeline(files.locate("starter"), str(device), entry)


def starter_request(number: int, steps: int) -> dict[str, Any]:
    prompts = (
        "a red apple",
        "a cat face",
        "a blue car",
        "a rocket",
        "a green heart",
        "the sun",
        "a blue fish",
        "a tree",
    )
    return {
        "prompt": prompts[number % len(prompts)],
        "num_inference_steps": steps,
        "guidance_scale": 3.5,
        "generator": torch.Generator().manual_seed(number),
        "output_type": "np",
    }


def run_out_of_memory(device: torch.device) -> None:
    """Ask the device for more than any has. Raises: its allocator's own error."""
    num_bytes = TOO_MANY_BYTES
    if device.type == "cuda":
        num_bytes = int(TOO_LARGE_SHARE * torch.cuda.get_device_properties(device).total_memory)
    torch.empty(num_bytes, dtype=torch.uint8, device=device)


def benchmarks_folder() -> Path:
    return Path(__file__).parents[1]
