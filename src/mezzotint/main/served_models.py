"""The models that the settings name: found, checked, and loaded on the device's thread."""

import gc
import json
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import structlog

from mezzotint.config import STARTER, Settings
from mezzotint.domain.drawing.sampler import find_sampler
from mezzotint.domain.ids import Sha256
from mezzotint.domain.job import Parameters
from mezzotint.domain.model import ModelInfo
from mezzotint.domain.task import Task
from mezzotint.domain.tier import Tier, limits_of
from mezzotint.engine.models import catalog, files, integrity, load, single_file, structure
from mezzotint.engine.models.added_parts import AddedParts
from mezzotint.engine.models.catalog import Dtype, EmbeddingEntry, ModelEntry, ModelsInvalid
from mezzotint.engine.models.describe import describe_model
from mezzotint.environment import cublas_workspace, wait_passively
from mezzotint.main.drawing.added_parts import describe_added_parts, find_added_parts
from mezzotint.main.drawing.default_options import choose_defaults
from mezzotint.main.json_cache import JsonCache
from mezzotint.policy.device.batching import choose_runs

log = structlog.get_logger()
MAX_ROWS = 16
"""Widest pass; two rows a picture with guidance. The stepping policy stays below it where width does not pay."""
WEIGHTS = {tier.value: float(limits_of(tier).weight) for tier in Tier}

BUILT_IN_UPSCALER = Path(str(resources.files("mezzotint"))) / "upscaler"

if TYPE_CHECKING:
    from mezzotint.engine.upscaler import Upscaler
    from mezzotint.worker import Catalog, LoadedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model that is served: how it is listed, where it lies, what it is.

    checkpoint: the single file that holds its weights; `folder` is then that of its configuration. tiny: folder of its
    previews' decoder. added: its autoencoder and embeddings, where the list names them.
    """

    entry: ModelEntry
    folder: Path
    info: ModelInfo
    checkpoint: Path | None = None
    tiny: Path | None = None
    added: AddedParts = load.NOTHING

    @property
    def num_bytes(self) -> int:
        """Bytes of all weights that are loaded."""
        return files.num_bytes(self.folder, self.checkpoint) + sum(path.stat().st_size for path in self.added.files)

    @property
    def place(self) -> Path:
        """The file or folder that names the model's weights."""
        return self.checkpoint or self.folder

    @property
    def places(self) -> tuple[Path, ...]:
        """`place`, and that of the autoencoder in place of its own."""
        return (self.place,) if self.added.vae is None else (self.place, self.added.vae)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Findings of earlier processes about models. trials: the models that were drawn with once."""

    verdicts: MutableMapping[str, str]
    previews: MutableMapping[str, str]
    capabilities: MutableMapping[str, str]
    trials: MutableMapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> Self:
        kept = {name: JsonCache(folder / f"{name}.json") for name in ("verdicts", "previews", "capabilities", "trials")}
        return cls(**kept)


def find_models(settings: Settings) -> tuple[ServedModel, ...]:
    """The models, checked; first the default. Loads nothing. Raises: ModelsInvalid, ModelMissing, ModelCorrupt."""
    if settings.models is None:
        return (_find_model(settings),)
    if settings.model != STARTER:
        raise ModelsInvalid("model and models are both set: list the model in the file, or leave the file out")
    if settings.model_aliases:
        raise ModelsInvalid("model_aliases and models are both set: write `aliases` of each model in the file")
    embeddings = catalog.read_embeddings(settings.models)
    return tuple(_find_listed(settings, entry, embeddings) for entry in catalog.read_catalog(settings.models))


def find_place(source: str, revision: str | None, like: str | None) -> tuple[Path, Path | None]:
    """The folder of a model, or the folder of its configuration and the single file that holds its weights.

    Raises: ModelsInvalid, ModelMissing, ModelCorrupt, ModelUnsupported.
    """
    checkpoint = single_file.find_checkpoint(source)
    if checkpoint is not None:
        return single_file.find_configs(checkpoint, like, files.locate_cached), checkpoint
    if like is not None:
        raise ModelsInvalid(f"like: {source!r} is no single file, and has its own configuration: leave `like` out")
    return files.locate(source, revision), None


def check_files(settings: Settings, folder: Path, checkpoint: Path | None = None) -> None:
    """Look at a model's files: there, whole, those of its modules, and all numbers in them finite. checkpoint: the
    single file that the folder gives its configuration to. Raises: ModelMissing, ModelCorrupt, ModelUnsupported.

    Modules are built for it, with torch: not for the starter, whose checksums tell as much, nor by a gateway alone.
    """
    files.check_model(folder, checkpoint)
    if not settings.worker or (folder == files.locate(STARTER) and checkpoint is None):
        return
    structure.check_structure(folder, checkpoint)
    known = JsonCache(settings.data / "finite.json") if settings.data.is_dir() else {}
    for path in files.weights_of(folder, checkpoint=checkpoint):
        stat = path.stat()
        stamp = f"{stat.st_size}:{stat.st_mtime_ns}"
        if known.get(str(path.absolute())) != stamp:
            integrity.check_finite(path)
            known[str(path.absolute())] = stamp


def _find_model(settings: Settings) -> ServedModel:
    folder, checkpoint = find_place(settings.model, settings.revision, settings.like)
    check_files(settings, folder, checkpoint)
    is_path = Path(settings.model).expanduser().exists()
    info = _describe(folder, checkpoint, folder.resolve().name if is_path else settings.model)
    aliases = tuple(filter(None, map(str.strip, settings.model_aliases.split(","))))
    if unusable := [alias for alias in aliases if not re.fullmatch(catalog.NAME, alias)]:
        raise ModelsInvalid(f"model_aliases: {unusable[0]!r} cannot stand in an address")
    info = replace(info, aliases=aliases)
    entry = ModelEntry.model_construct(name=info.name, source=settings.model, revision=settings.revision, warm=True)
    return ServedModel(entry=entry, folder=folder, info=info, checkpoint=checkpoint)


def _describe(folder: Path, checkpoint: Path | None, name: str | None) -> ModelInfo:
    """A single file has the sizes and defaults of its configuration; what its folder says of itself is not of it."""
    if checkpoint is None:
        return describe_model(folder, name)
    info = describe_model(folder)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", checkpoint.stem).strip("-._")[:100] or "model"
    about = f"{files.pipeline_class_of(folder)} from {checkpoint.name}"
    return replace(info, name=name, about=about, license="see the model's own card", knows=(), examples=())


def _find_listed(settings: Settings, entry: ModelEntry, embeddings: Sequence[EmbeddingEntry]) -> ServedModel:
    folder, checkpoint = find_place(entry.source, entry.revision, entry.like)
    if checkpoint is not None and entry.quantization is not None:
        raise ModelsInvalid(
            f"models: {entry.name}: a single file is not quantised: write a folder of it with `mezzotint models import`"
        )
    check_files(settings, folder, checkpoint)
    tiny = None if entry.preview is None else files.locate_tiny(entry.preview)
    if tiny is not None:
        files.check_tiny(tiny, folder)
    added = find_added_parts(entry, embeddings, folder, with_torch=settings.worker)
    info = describe_added_parts(_describe(folder, checkpoint, None), added)
    named = replace(info, name=entry.name, aliases=entry.aliases, default_sampler=_find_sampler(entry, info))
    return ServedModel(
        entry=entry,
        folder=folder,
        info=replace(named, options=choose_defaults(entry, named)),
        checkpoint=checkpoint,
        tiny=tiny,
        added=added,
    )


def _find_sampler(entry: ModelEntry, info: ModelInfo) -> str | None:
    """The sampler of requests that name none. Raises: ModelsInvalid for one that the model does not take."""
    known = None if entry.sampler is None else find_sampler(entry.sampler)
    if entry.sampler is None or (known is not None and known.name in info.samplers):
        return None if known is None else known.name
    takes = ", ".join(info.samplers) or "only its own: leave `sampler` out"
    raise ModelsInvalid(f"models: {entry.name} has no sampler {entry.sampler!r}; it takes {takes}")


def find_upscaler(settings: Settings) -> Path | None:
    """The upscaler's weights, checked; None where there is none. Raises: ModelMissing, ModelCorrupt."""
    if settings.upscaler == "none":
        return None
    if settings.upscaler != "built-in":
        path = Path(settings.upscaler).expanduser()
        integrity.check_weights(path)
        return path
    integrity.check_sums(BUILT_IN_UPSCALER)
    return BUILT_IN_UPSCALER / "upscaler.safetensors"


def freeze_collector() -> None:
    """Call gc.freeze() after start-up: full collections paused requests for 0.1 s, the p99 of a gateway's answers."""
    gc.collect()
    gc.freeze()


def upscaler_name(path: Path | None) -> str:
    if path is None:
        return ""
    return "mezzotint-upscaler" if path.parent == BUILT_IN_UPSCALER else path.stem


def find_weights(offers: Sequence[ServedModel], upscaler: Path | None) -> dict[str, tuple[Path, ...]]:
    """The folders or files of each model's weights, by its name."""
    places = {offer.info.name: offer.places for offer in offers}
    return places if upscaler is None else {**places, upscaler_name(upscaler): (upscaler,)}


def make_upscaler_loader(settings: Settings, path: Path | None) -> "Callable[[], Upscaler]":
    """A function that brings the upscaler into memory, on the thread that will use it."""

    def load_upscaler() -> "Upscaler":
        from mezzotint.engine.device.choice import process_device
        from mezzotint.engine.upscaler import Upscaler

        assert path is not None, "admission refuses upscales where there is no upscaler"
        return Upscaler.load(path, process_device(settings.device))

    return load_upscaler


def build_catalog(
    settings: Settings,
    offers: Sequence[ServedModel],
    findings: Findings | None = None,
    styles: Mapping[str, Mapping[str, Path]] | None = None,
) -> "Catalog":
    """The models as the device's thread takes them. styles: by model, the files of its styles by name."""
    from mezzotint.worker import Catalog

    by_name = {offer.info.name: offer for offer in offers}

    def prepare() -> None:
        wait_passively()
        import torch

        from mezzotint.engine.device.choice import describe_device, process_device, try_kernels

        device = process_device(settings.device)
        if device != "cpu":
            torch.cuda.set_device(device)
        try_kernels(device, torch.float32)
        log.info("device chosen", device=device, what=describe_device(device))
        if settings.threads:
            torch.set_num_threads(settings.threads)
        from mezzotint.engine import Hub  # noqa: F401 - what every model needs, before the first is there

        freeze_collector()
        for offer in offers:
            load.check_entry(_resolve(offer, settings, device), device, exact=is_exact(settings, device))

    def check(error: BaseException) -> None:
        import torch

        from mezzotint.engine.device.choice import process_device
        from mezzotint.engine.device.lost import check_device

        check_device(torch.device(process_device(settings.device)), error)

    return Catalog(
        num_bytes={name: offer.num_bytes for name, offer in by_name.items()},
        load=lambda name, tell: _load(settings, by_name[name], findings, (styles or {}).get(name), tell),
        warm=[name for name, offer in by_name.items() if offer.entry.warm],
        bound_bytes=settings.model_memory_mb << 20,
        prepare=prepare,
        release=load.release,
        is_out_of_memory=load.is_out_of_memory,
        check_device=check,
    )


def is_exact(settings: Settings, device: str) -> bool:
    """Say whether models on this device run in exact mode. Its cost on a GPU has not been measured."""
    return device == "cpu" if settings.exact == "auto" else settings.exact


def sample_request(
    pipeline: Any, offer: ServedModel, *, seed: int, num_steps: int, example: int = 0, task: Task | None = None
) -> dict[str, Any]:
    """A call of the pipeline as a user may ask for it, at the model's own size. example: which of its prompts. task:
    another than the usual one, which the pipeline's own call does too."""
    from PIL import Image

    from mezzotint.engine.tasks import Tasks, task_of

    task = task or task_of(pipeline)
    size = (offer.info.native_width, offer.info.native_height)
    prompts = offer.info.examples or ("a red apple",)
    parameters = Parameters(
        prompt=prompts[example % len(prompts)],
        negative_prompt="",
        seed=seed,
        num_steps=num_steps,
        guidance_scale=offer.info.default_guidance,
        width=size[0],
        height=size[1],
        task=task,
        source=None if task is Task.GENERATE else Sha256("0" * 64),
        strength=0.75 if task.takes_strength else None,
        image_guidance=offer.info.options.image_guidance if task is Task.EDIT else None,
    )
    gradient = Image.linear_gradient("L").resize(size)
    source = None if task is Task.GENERATE else gradient.convert("RGB")
    mask = gradient if task is Task.INPAINT else None
    return Tasks(pipeline).assign(parameters, source, mask).kwargs


def _resolve(offer: ServedModel, settings: Settings, device: str) -> ModelEntry:
    """The entry, with the settings in the place of what it does not say.

    A UNet's convolutions are channels-last on a GPU in fast mode, where neither its entry nor its card says otherwise.
    """
    entry = offer.entry
    ordered = files.is_channels_last(offer.folder) if entry.channels_last is None else entry.channels_last
    if ordered is None:
        ordered = device != "cpu" and not is_exact(settings, device) and files.has_unet(offer.folder)
    dtype = Dtype(settings.dtype) if entry.dtype is Dtype.AUTO else entry.dtype
    compiles = settings.compile if entry.compile is None else entry.compile
    return entry.model_copy(update={"dtype": dtype, "compile": compiles, "channels_last": ordered})


def _load(
    settings: Settings,
    offer: ServedModel,
    findings: Findings | None,
    styles: Mapping[str, Path] | None,
    tell: Callable[[float], None],
) -> "LoadedModel":
    from mezzotint.engine import EmbeddingCache, Hub, PreviewMap, Tasks
    from mezzotint.engine.device.choice import process_device
    from mezzotint.engine.device.width import find_fixed_rows
    from mezzotint.engine.models.compiled import warm_up
    from mezzotint.engine.numerics import GUIDED_ROWS
    from mezzotint.worker import LoadedModel
    from mezzotint.worker.style_cache import StyleCache

    device = process_device(settings.device)
    entry = _resolve(offer, settings, device)
    pipeline = load.load_pipeline(offer.folder, device, entry, tell, offer.checkpoint, added=offer.added)
    embeddings = EmbeddingCache()
    embeddings.attach(pipeline)
    vae = getattr(pipeline, "vae", None)
    tiny = None if offer.tiny is None else load.load_tiny(offer.tiny, device)
    exact = is_exact(settings, device)
    verdicts = findings.verdicts if findings else None
    if entry.compile:
        trial = Hub(pipeline, exact=exact, max_rows=MAX_ROWS, verdicts=verdicts)
        warm_up(trial, lambda seed: sample_request(pipeline, offer, seed=seed, num_steps=2))
    fixed_rows = GUIDED_ROWS
    if exact and device != "cpu":
        growth = offer.info.max_px**2 / (offer.info.native_width * offer.info.native_height)
        fixed_rows = find_fixed_rows(
            pipeline, lambda: sample_request(pipeline, offer, seed=0, num_steps=2), growth=growth, known=verdicts
        )
    hub = Hub(
        pipeline,
        exact=exact,
        max_rows=MAX_ROWS,
        fixed_rows=fixed_rows,
        choose=partial(choose_runs, weights=WEIGHTS, max_rows=MAX_ROWS),
        verdicts=verdicts,
        workspace=cublas_workspace(),
    )
    loaded = LoadedModel(
        hub=hub,
        tasks=Tasks(pipeline),
        previews=PreviewMap.fit(vae, tiny, findings.previews if findings else None) if vae is not None else None,
        embeddings=embeddings,
        num_bytes=load.num_bytes(pipeline),
        styles=StyleCache(hub=hub, files=styles, bound_bytes=settings.style_memory_mb << 20) if styles else None,
    )
    if offer.place != files.locate(STARTER):
        trial = Hub(pipeline, exact=exact, max_rows=MAX_ROWS, fixed_rows=fixed_rows, verdicts=verdicts)
        _try_drawing(replace(loaded, hub=trial), offer, {} if findings is None else findings.trials)
    return loaded


def _try_drawing(loaded: "LoadedModel", offer: ServedModel, known: MutableMapping[str, str]) -> None:
    """Draw with a model before a job does, once for its weights and versions. Raises: ModelUnsupported."""
    from mezzotint.main.drawing.trial_drawing import STEPS_AT_LOAD, draw_smallest

    key = sha256(json.dumps([*offer.info.tasks, loaded.hub.fingerprint], sort_keys=True).encode()).hexdigest()
    if key not in known:
        draw_smallest(loaded, offer, STEPS_AT_LOAD)
        known[key] = "drawn"
