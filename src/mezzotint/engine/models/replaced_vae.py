"""An autoencoder in place of a model's own: found, compared with the one that it replaces, loaded.

A folder is one in diffusers' layout, or a whole model of which `vae` is taken. A file holds one in diffusers' names or
in those of Stable Diffusion's own code, alone or within a model; its configuration is that of the model's own.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mezzotint.domain.errors import ModelCorrupt, ModelMissing, ModelUnsupported
from mezzotint.engine.models.integrity import check_finite, check_weights, read_header, read_json
from mezzotint.engine.models.single_file import VAE_PREFIXES, convert_tensors, find_checkpoint

if TYPE_CHECKING:
    import torch

BARE = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
FIXED = ("_class_name", "latent_channels", "block_out_channels", "in_channels", "out_channels")
"""Facts of an autoencoder that must be those of the one that it replaces; its `scaling_factor` is its own."""


def locate_vae(source: str) -> Path:
    """The file of an autoencoder, or its folder. Raises: ModelMissing, ModelUnsupported."""
    if (file := find_checkpoint(source)) is not None:
        return file
    folder = Path(source).expanduser()
    for found in (folder, folder / "vae"):
        if (found / "config.json").is_file():
            return found
    raise ModelMissing(f"there is no autoencoder {source!r}: name its folder in diffusers' layout, or a file of it")


def check_vae(vae: Path, folder: Path, *, with_torch: bool) -> None:
    """Check that it is whole and has the form of the model's own. folder: the model's.

    with_torch: compare every tensor, and read every number. Raises: ModelMissing, ModelCorrupt, ModelUnsupported.
    """
    own = folder / "vae" / "config.json"
    if not own.is_file():
        raise ModelUnsupported(f"{folder} has no autoencoder `vae` that could be replaced")
    weights = [vae]
    if vae.is_dir():
        weights = sorted(vae.glob("*.safetensors"))
        theirs, ours = read_json(vae / "config.json", None), read_json(own, folder)
        if different := next((name for name in FIXED if theirs.get(name) != ours.get(name)), None):
            told = f"{different} is {theirs.get(different)!r}, not {ours.get(different)!r}"
            raise ModelCorrupt(f"{vae} cannot replace the autoencoder of {folder}: its {told}")
    if not weights:
        raise ModelMissing(f"{vae} has no safetensors weights")
    for path in weights:
        check_weights(path)
    if vae.is_file() and not _own_names(read_header(vae)):
        raise ModelCorrupt(f"{vae} holds no autoencoder: no tensor's name begins as one's does, such as `decoder.`")
    if with_torch:
        import torch

        for path in weights:
            check_finite(path)
        header = {name: torch.empty(one["shape"], device="meta") for path in weights for name, one in _read(path)}
        _convert(vae, folder, header)


def load_vae(vae: Path, folder: Path, dtype: "torch.dtype") -> Any:
    """The autoencoder, having passed `check_vae`. Raises: ModelCorrupt, OSError, SafetensorError."""
    from safetensors.torch import load_file

    kind = _kind(folder)
    if vae.is_dir():
        return kind.from_pretrained(str(vae), torch_dtype=dtype, use_safetensors=True, local_files_only=True).eval()
    tensors = _convert(vae, folder, load_file(vae))
    module = kind.from_config(kind.load_config(str(folder), subfolder="vae", local_files_only=True))
    module.load_state_dict(tensors)
    return module.to(dtype).eval()


def _read(path: Path) -> Any:
    return read_header(path).items()


def _own_names(names: Any) -> list[str]:
    found = [name for name in names if name.startswith(VAE_PREFIXES)]
    return found or [name for name in names if name.startswith(BARE)]


def _kind(folder: Path) -> Any:
    import diffusers

    return getattr(diffusers, str(read_json(folder / "vae" / "config.json", folder)["_class_name"]))


def _convert(vae: Path, folder: Path, tensors: dict[str, Any]) -> dict[str, Any]:
    """The tensors under the module's own names. Raises: ModelCorrupt."""
    from accelerate import init_empty_weights
    from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES

    own = {name: tensors[name] for name in _own_names(tensors)}
    kind = _kind(folder)
    with init_empty_weights():
        empty = kind.from_config(kind.load_config(str(folder), subfolder="vae", local_files_only=True))
    wanted, found = {name: tensor.shape for name, tensor in empty.state_dict().items()}, own
    try:
        if kind.__name__ in SINGLE_FILE_LOADABLE_CLASSES and not wanted.keys() <= own.keys():
            wanted, found = convert_tensors(kind, folder, "vae", own)
    except Exception as error:  # conversions index, split and count by the names that they expect
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ModelCorrupt(f"{vae} is not a {kind.__name__} as {folder} has it: {reason}") from error
    for name, shape in wanted.items():
        there = list(found[name].shape) if name in found else "missing"
        if there != list(shape):
            raise ModelCorrupt(f"{vae} does not fit {kind.__name__} in {folder}: {name} is {there}, not {list(shape)}")
    return {name: found[name] for name in wanted}
