"""From settings to parts."""

from collections.abc import Callable, MutableMapping
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from mezzotint.config import Settings, wait_passively
from mezzotint.domain.model import ModelInfo
from mezzotint.domain.tier import Tier, limits_of
from mezzotint.engine import models
from mezzotint.policy.stepping import choose

MAX_ROWS = 16
"""Widest pass; two rows a picture with guidance. The stepping policy stays below it where width does not pay."""
WEIGHTS = {tier.value: float(limits_of(tier).weight) for tier in Tier}

BUILT_IN_UPSCALER = Path(str(files("mezzotint"))) / "upscaler"

if TYPE_CHECKING:
    from mezzotint.engine.upscaler import Upscaler
    from mezzotint.worker import Loaded


def find_model(settings: Settings) -> tuple[Path, ModelInfo]:
    """The model's folder, checked, and what it is. Loads nothing. Raises: ModelMissing, ModelCorrupt."""
    folder = models.locate(settings.model, settings.revision)
    models.check(folder)
    return folder, models.describe(folder, name=settings.model)


def find_upscaler(settings: Settings) -> Path | None:
    """The upscaler's weights, checked; None where there is none. Raises: ModelMissing, ModelCorrupt."""
    if settings.upscaler == "none":
        return None
    if settings.upscaler != "built-in":
        path = Path(settings.upscaler).expanduser()
        models.check_weights(path)
        return path
    models.check_sums(BUILT_IN_UPSCALER)
    return BUILT_IN_UPSCALER / "upscaler.safetensors"


def upscaler_name(path: Path | None) -> str:
    if path is None:
        return ""
    return "mezzotint-upscaler" if path.parent == BUILT_IN_UPSCALER else path.stem


def upscaler_loader(settings: Settings, path: Path | None) -> "Callable[[], Upscaler]":
    """A function that brings the upscaler into memory, on the thread that will use it."""

    def load() -> "Upscaler":
        from mezzotint.engine.upscaler import Upscaler

        assert path is not None, "admission refuses upscales where there is no upscaler"
        return Upscaler.load(path, models.pick_device(settings.device))

    return load


def loader(
    settings: Settings, folder: Path, verdicts: MutableMapping[str, str] | None = None
) -> Callable[[], "Loaded"]:
    """A function that brings the model into memory, on the thread that will use it. verdicts: of earlier times."""

    def load() -> "Loaded":
        wait_passively()
        import torch

        from mezzotint.engine import EmbeddingCache, Hub, PreviewMap, Tasks
        from mezzotint.worker import Loaded

        device = models.pick_device(settings.device)
        if settings.threads:
            torch.set_num_threads(settings.threads)
        pipeline = models.load(folder, device, is_half=device != "cpu")
        embeddings = EmbeddingCache()
        embeddings.attach(pipeline)
        vae = getattr(pipeline, "vae", None)
        previews = PreviewMap.fit(vae) if vae is not None else None
        hub = Hub(
            pipeline,
            exact=settings.exact,
            max_rows=MAX_ROWS,
            choose=partial(choose, weights=WEIGHTS, max_rows=MAX_ROWS),
            verdicts=verdicts,
        )
        return Loaded(hub=hub, tasks=Tasks(pipeline), previews=previews, embeddings=embeddings)

    return load
