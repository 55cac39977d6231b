"""Check 13: styles (LoRA) of different runs in one batch."""

import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from gpu_checks.drive import digest, finish
from gpu_checks.models import SDXL, Made, Size, make
from gpu_checks.report import Check, Finding, Setup
from mezzotint.engine import Hub

RANK = 16
NAMES = ("ink", "oil")
CHOSEN: tuple[dict[str, float], ...] = ({"ink": 1.0}, {"oil": 0.5}, {}, {"ink": 1.0})
STEPS = {Size.FULL: 8, Size.TOY: 3}


def check_styles(setup: Setup) -> Finding:
    """Runs with two styles and without, together, alone, and resumed; then the styles are dropped again."""
    made = make(SDXL, setup.device, setup.dtype, setup.size)
    steps, side_px = STEPS[setup.size], setup.side_px(512)
    files = [write_style(made, setup.folder / f"{name}.safetensors", i) for i, name in enumerate(NAMES)]

    def open_hub() -> Hub:
        return Hub(made.pipeline, exact=True, fixed_rows=4)

    def run_alone(adapters: dict[str, float], **more: Any) -> Any:
        hub = open_hub()
        run = hub.submit(made.request(0, steps, side_px), adapters=adapters, **more)
        finish(hub, run)
        return run

    plain = digest(run_alone({}))
    hub = open_hub()
    begun = time.perf_counter()
    num_bytes = [hub.loras.load(name, file) for name, file in zip(NAMES, files, strict=True)]
    load_s = time.perf_counter() - begun
    alone = [run_alone(adapters, checkpoint_at=1) for adapters in CHOSEN]
    together = [hub.submit(made.request(0, steps, side_px), adapters=adapters) for adapters in CHOSEN]
    finish(hub, *together)
    resumed = [digest(run_alone(adapters, resume=run.checkpoint)) for adapters, run in zip(CHOSEN, alone, strict=True)]
    digests = {"alone": [digest(run) for run in alone], "together": [digest(run) for run in together]}
    for name in NAMES:
        hub.loras.drop(name)
    failures = []
    if digests["alone"] != digests["together"]:
        failures.append("company changes the bits of a run with a style")
    if resumed != digests["alone"]:
        failures.append("a resumed run with a style has other bits")
    if digests["together"][2] != plain or digest(run_alone({})) != plain:
        failures.append("a run without a style is not what it was before any was loaded")
    if len(set(digests["together"])) != len({str(adapters) for adapters in CHOSEN}):
        failures.append("styles make no difference")
    if not hub.num_merged:
        failures.append("runs with equal styles shared no pass")
    return Finding(
        found=f"{len(set(digests['together']))} distinct of {len(CHOSEN)} pictures; {hub.num_merged} shared passes",
        failures=tuple(failures),
        figures={"load_s": load_s, "bytes": num_bytes, "merged": hub.num_merged},
        stands_in="the CPU's exact mode, whose passes have any width",
    )


def write_style(made: Made, path: Path, seed: int) -> Path:
    """A random style for the attention layers of a model."""
    part = "unet" if made.denoiser is getattr(made.pipeline, "unet", None) else "transformer"
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, layer in made.denoiser.named_modules():
        if name.endswith(("to_q", "to_k", "to_v", "to_out.0")):
            up, down = layer.weight.shape
            for side, shape in (("A", (RANK, down)), ("B", (up, RANK))):
                drawn = torch.randn(shape, generator=generator) / shape[1] ** 0.5
                tensors[f"{part}.{name}.lora_{side}.weight"] = drawn.half()
    save_file(tensors, path)
    return path


CHECKS = (
    Check(
        number=13,
        name="styles in one batch",
        expected="two styles and none: together, alone and resumed the same bits; equal styles share passes",
        make=check_styles,
    ),
)
