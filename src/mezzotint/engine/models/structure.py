"""Compare a model's weights with the parameters of its modules, by the headers of its files alone."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mezzotint.domain.errors import ModelCorrupt, ModelMissing, ModelUnsupported
from mezzotint.engine.models.integrity import read_json
from mezzotint.engine.models.single_file import check_parts, held_parts, needs_no_folder
from mezzotint.engine.models.variants import choose_variant

VISION_PROCESSORS = ("VLProcessor", "VideoProcessor", "PixtralProcessor")
NAMED = 3
"""Tensors that a message names at most."""


def check_structure(folder: Path, checkpoint: Path | None = None) -> None:
    """Build every module of a model on the meta device, as it is loaded, and look for tensors that are missing or of
    another shape. Reads no tensor. checkpoint: the single file that the folder gives its configuration to.

    Raises: ModelMissing, ModelCorrupt, ModelUnsupported.
    """
    index = read_json(folder / "model_index.json", folder)
    parts = [part for part in index if isinstance(index[part], list) and (folder / part / "config.json").exists()]
    if checkpoint is not None:
        check_parts(checkpoint, folder)
        held = held_parts(checkpoint, folder)
        parts = [part for part in parts if part not in held and not needs_no_folder(part, folder)]
    variant = choose_variant([folder / part for part in parts], "float32")
    _check_packages(index, folder)
    for part in parts:
        if (module := _find_module(*index[part])) is not None:
            _check_module(module, folder / part, variant)


def _check_packages(index: dict[str, Any], folder: Path) -> None:
    """Look for the classes that the index names in diffusers, which has moved some away. transformers' processors of
    pictures and videos may need torchvision, which it says when one is called."""
    import diffusers
    import transformers

    for part, named in index.items():
        if not isinstance(named, list) or named[:1] in ([], [None]):
            continue
        library, name = str(named[0]), str(named[-1])
        if library != "transformers":
            place = diffusers if library == "diffusers" else getattr(diffusers.pipelines, library, None)
            if not hasattr(place, name):
                raise ModelUnsupported(f"{folder}: this diffusers finds no {name} in {library}, the model's {part}")
            continue
        needed = getattr(getattr(transformers, name, None), "_backends", None) or ()
        if name.endswith(VISION_PROCESSORS):
            needed = ("torchvision",)
        if missing := [package for package in needed if find_spec(package) is None]:
            raise ModelMissing(
                f"{folder}: {name}, its {part}, needs the Python package {missing[0]}: {advise_torchvision()}"
            )


def advise_torchvision() -> str:
    """Say how to get torchvision beside this torch. A wheel that is built with CUDA does not load beside a torch that
    is not, and then keeps transformers from loading."""
    import torch

    version, _, local = str(torch.__version__).partition("+")
    if local.startswith("cpu"):
        return (
            f"take the torchvision of torch {version} from the index that this torch ({version}+{local}) came from;"
            " what other indexes have for the extra `vision` does not load beside it"
        )
    return "pip install 'mezzotint[vision]' brings torchvision"


def build_empty_pipeline(folder: Path) -> Any:
    """A pipeline whose modules have shapes and no weights, and none of its other components: for what asks about its
    layers. Raises: ModelMissing, ModelCorrupt.
    """
    import diffusers
    import torch

    index = read_json(folder / "model_index.json", folder)
    found = getattr(diffusers, str(index.get("_class_name")), None)
    if found is None:
        raise ModelCorrupt(f"this diffusers knows no pipeline {index.get('_class_name')!r}")
    pipeline = found.__new__(found)
    parts = found._get_signature_keys(found)[0]
    pipeline.register_to_config(**dict.fromkeys(parts))
    for part in sorted(parts):
        module = _find_module(*index[part]) if isinstance(index.get(part), list) else None
        config = folder / part / "config.json"
        built = None
        if module is not None and config.exists():
            with torch.device("meta"):
                if index[part][0] == "transformers":
                    built = module(module.config_class.from_pretrained(config.parent, local_files_only=True))
                else:
                    built = module.from_config(read_json(config, folder))
        object.__setattr__(pipeline, part, built)
    return pipeline


def _find_module(library: Any, name: Any) -> Any:
    """The class of a component that has weights; None: it has none, or is of a library that only its loader knows."""
    import diffusers
    import torch

    if library in {"diffusers", "transformers"}:
        found = getattr(import_module(library), str(name), None)
    else:  # such as StableDiffusionSafetyChecker of `stable_diffusion`
        found = getattr(getattr(diffusers.pipelines, str(library), None), str(name), None)
    return found if isinstance(found, type) and issubclass(found, torch.nn.Module) else None


def _check_module(module: Any, part: Path, variant: str | None) -> None:
    import diffusers
    import transformers

    for library in (diffusers.utils, transformers.utils):  # their remarks are for model authors
        library.logging.set_verbosity_error()
        library.logging.disable_progress_bar()
    if "quantization_config" in read_json(part / "config.json", None):
        return  # their tensors are packed, and need the backend's device
    named = variant if any(part.glob(f"*.{variant}*.safetensors")) else None
    try:
        _, found = module.from_pretrained(
            str(part),
            variant=named,
            device_map={"": "meta"},
            output_loading_info=True,
            use_safetensors=True,
            local_files_only=True,
        )
    except Exception as error:  # from a config that fits no class to a shape: what fails here fails when it is loaded
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise ModelCorrupt(f"{part} does not fit {module.__name__}: {reason}") from error
    if missing := sorted(found["missing_keys"]):
        names = ", ".join(missing[:NAMED]) + (" ..." if len(missing) > NAMED else "")
        raise ModelCorrupt(f"{part} lacks {len(missing)} tensors of {module.__name__}: {names}")
