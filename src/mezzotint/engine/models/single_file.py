"""Models in one file, as AUTOMATIC1111 and ComfyUI keep them: what a file holds, and its parts in diffusers' form.

A file has weights alone. Configurations, tokenizers and parts that it lacks come from a folder in diffusers' layout
(`like`), which need not have weights of the parts that the file holds. Nothing is downloaded. Torch is not needed for
what a gateway asks; `check_parts` and `load_parts` need it.
"""

import gzip
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mezzotint.domain.errors import ModelCorrupt, ModelMissing, ModelUnsupported
from mezzotint.engine.models.integrity import WEIGHTS_SUFFIXES, check_weights, read_header, read_json

if TYPE_CHECKING:
    import torch

CONFIGS = Path(str(files("mezzotint"))) / "families"
"""Configurations that the package has, a folder a family, and CLIP's merges."""
CLIP_PREFIXES = {
    "text_encoder": ("cond_stage_model.", "conditioner.embedders.0.", "text_encoders.clip_l."),
    "text_encoder_2": ("conditioner.embedders.1.", "conditioner.embedders.0.model.", "text_encoders.clip_g."),
}
T5_PREFIXES = ("text_encoders.t5xxl.transformer.",)
VAE_PREFIXES = ("first_stage_model.", "vae.")
DENOISER_PREFIX = "model.diffusion_model."
LEFT_OUT = ("safety_checker", "feature_extractor")
"""Parts that a single file never has and a picture does not need: the server has a filter of its own."""
NAMED = 3
"""Tensors that a message names at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family of models by a tensor that only it has. configs: the package's configuration of it, if any."""

    title: str
    marks: str
    configs: str | None = None


FAMILIES = (
    Family(title="a LoRA adapter", marks=r"lora_(down|up|A|B)\b|lora\.(down|up)|^lora_(unet|te)"),
    Family(title="a ControlNet", marks=r"^control_model\.|controlnet_cond_embedding|^control_all_x_embedder"),
    Family(title="Stable Diffusion XL refiner", marks=r"^conditioner\.embedders\.0\.model\."),
    Family(title="Stable Diffusion XL", marks=r"^conditioner\.embedders\.1\.", configs="sdxl"),
    Family(title="Stable Diffusion 2", marks=r"^cond_stage_model\.model\."),
    Family(title="Stable Diffusion 1", marks=r"^cond_stage_model\.transformer\.", configs="sd1"),
    Family(title="Stable Diffusion 3", marks=r"joint_blocks\.0\."),
    Family(title="FLUX.2", marks=r"single_stream_modulation\."),
    Family(title="Chroma", marks=r"distilled_guidance_layer\."),
    Family(title="FLUX.1", marks=r"double_blocks\.0\.img_attn\."),
    Family(title="a UNet of Stable Diffusion", marks=r"^model\.diffusion_model\.input_blocks\."),
    Family(title="an autoencoder", marks=r"^(first_stage_model\.)?decoder\.(conv_in|up)\."),
    Family(title="an embedding", marks=r"^(emb_params|clip_[lg])$"),
)
NO_MODELS = {
    "a LoRA adapter": "it changes a model and is none",
    "a ControlNet": "it steers a model and is none",
    "an autoencoder": "it is one part of a model",
    "an embedding": "it is a word for a model's text encoder",
}
QUANTISED = re.compile(r"\.scale_weight$|\.weight_scale$|^scaled_fp8$|\.absmax$|\.quant_map$|\.qweight$")
"""Tensors beside weights that are meaningless without them, which diffusers' conversions pass over."""
V_PREDICTION = "v_pred"
"""A tensor that says that an XL model predicts velocities, which the package's configuration does not."""


def find_checkpoint(source: str) -> Path | None:
    """The file that `source` names; None: it names something else. Raises: ModelMissing, ModelUnsupported."""
    path = Path(source).expanduser()
    is_named_so = path.suffix.lower() in WEIGHTS_SUFFIXES
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError as error:  # a folder that may not be searched, a name that is too long
        raise ModelMissing(f"{source[:200]!r} cannot be read: {error.strerror}") from error
    if is_folder or not (is_named_so or is_there):
        return None
    if not is_there:
        raise ModelMissing(f"there is no file {source!r}")
    if path.suffix.lower() in {".ckpt", ".bin", ".pt", ".pth"}:
        raise ModelUnsupported(
            f"{path} is a pickle, which may run code when it is read: get the model as .safetensors, or convert it "
            "on a machine where that may happen"
        )
    if path.suffix.lower() != ".safetensors":
        raise ModelUnsupported(f"{path} is not a .safetensors file: get the model as one, or as a diffusers folder")
    return path


def find_configs(checkpoint: Path, like: str | None, locate: Callable[[str], Path]) -> Path:
    """The folder of configurations for a file: that of `like`, else the package's for the file's family.

    locate: finds a folder, or a hub id in the cache. Raises: ModelMissing, ModelCorrupt, ModelUnsupported.
    """
    check_weights(checkpoint)
    names = read_header(checkpoint).keys()
    family = find_family(names)
    if family is not None and family.title in NO_MODELS:
        raise ModelUnsupported(f"{checkpoint} holds {family.title}: {NO_MODELS[family.title]}")
    if scale := next(filter(QUANTISED.search, names), None):
        raise ModelUnsupported(f"{checkpoint} is quantised ({scale}): get the file in float16, bfloat16 or float32")
    if like is not None:
        return locate(like)
    if family is None:
        raise ModelUnsupported(f"{checkpoint} holds no model that is known: name one like it with --like or `like`")
    if family.configs is None or V_PREDICTION in names:
        raise ModelMissing(
            f"{checkpoint} holds {family.title}, whose configuration this package does not have: name a diffusers "
            "folder of that family, or a hub id that lies in the hub's cache, with --like or `like`"
        )
    return CONFIGS / family.configs


def find_family(names: Iterable[str]) -> Family | None:
    return next((one for one in FAMILIES if any(re.search(one.marks, name) for name in names)), None)


def held_parts(checkpoint: Path, like: Path) -> frozenset[str]:
    """The components of `like` whose weights are in the file. Raises: ModelMissing, ModelCorrupt."""
    names = read_header(checkpoint)
    index = read_json(like / "model_index.json", like)
    parts = {part: str(named[1]) for part, named in index.items() if isinstance(named, list) and len(named) == 2}
    return frozenset(part for part, kind in parts.items() if next(tensors_of(part, kind, names), None) is not None)


def needs_no_folder(part: str, like: Path) -> bool:
    """Say whether a component of `like` is left out, or made from what the package has."""
    return part in LEFT_OUT or (like.parent == CONFIGS and part.startswith("tokenizer"))


def tensors_of(part: str, kind: str, names: Mapping[str, Any]) -> Iterator[str]:
    """The names of a component's tensors. kind: its class."""
    prefixes: tuple[str, ...]
    if kind.startswith("CLIPTextModel"):
        prefixes = CLIP_PREFIXES.get(part, ())
    elif kind == "T5EncoderModel":
        prefixes = T5_PREFIXES
    elif part == "vae" and kind == "AutoencoderKL":
        prefixes = VAE_PREFIXES
    elif part in {"unet", "transformer"}:
        prefixes = (DENOISER_PREFIX,) if any(name.startswith(DENOISER_PREFIX) for name in names) else ("",)
    else:
        return
    yield from (name for name in names if name.startswith(prefixes))


def load_parts(
    checkpoint: Path, like: Path, dtypes: "Mapping[str, torch.dtype]", tensors: "dict[str, torch.Tensor] | None" = None
) -> dict[str, Any]:
    """The modules that the file holds, and None for what is left out, as arguments of the pipeline's `from_pretrained`.

    dtypes: by component, and `default`. Raises: ModelCorrupt, OSError, ValueError.
    """
    from diffusers.loaders.single_file_utils import (
        create_diffusers_clip_model_from_ldm,
        create_diffusers_t5_model_from_checkpoint,
    )
    from safetensors.torch import load_file

    tensors = load_file(checkpoint) if tensors is None else tensors
    index = read_json(like / "model_index.json", like)
    loaded: dict[str, Any] = {part: None for part in LEFT_OUT if part in index}
    for part in sorted(held_parts(checkpoint, like)):
        kind = _class_of(*index[part])
        own = {name: tensors[name] for name in tensors_of(part, kind.__name__, tensors)}
        options = {
            "config": str(like),
            "subfolder": part,
            "local_files_only": True,
            "torch_dtype": dtypes.get(part, dtypes["default"]),
        }
        if kind.__name__.startswith("CLIP"):
            loaded[part] = create_diffusers_clip_model_from_ldm(kind, checkpoint=own, **options)
        elif kind.__name__.startswith("T5"):
            loaded[part] = create_diffusers_t5_model_from_checkpoint(kind, checkpoint=own, **options)
            loaded[part].tie_weights()  # files have its embedding once
            loaded[part].eval()  # diffusers leaves its dropout on
        else:
            loaded[part] = kind.from_single_file(own, **options)
    if like.parent == CONFIGS:
        loaded |= {part: make_clip_tokenizer(part) for part in index if part.startswith("tokenizer")}
    return loaded


def check_parts(checkpoint: Path, like: Path) -> None:
    """Build every module that the file holds on the meta device, and look for tensors that are missing or of another
    shape. Reads no tensor. Raises: ModelMissing, ModelCorrupt, ModelUnsupported.
    """
    import torch

    header = read_header(checkpoint)
    meta = {name: torch.empty(one["shape"], device="meta") for name, one in header.items()}
    index = read_json(like / "model_index.json", like)
    family = find_family(header)
    what = "" if family is None else f", which holds {family.title},"
    for part in sorted(held_parts(checkpoint, like)):
        kind = _class_of(*index[part])
        own = {name: meta[name] for name in tensors_of(part, kind.__name__, meta)}
        try:
            wanted, found = convert_tensors(kind, like, part, own)
        except ModelUnsupported:
            raise
        except Exception as error:  # conversions index, split and count by the names that they expect
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise ModelCorrupt(
                f"{checkpoint}{what} is not a {kind.__name__} as {like} has it: {type(error).__name__}: {reason}"
            ) from error
        missing = sorted(wanted.keys() - found.keys())
        if missing:
            names = ", ".join(missing[:NAMED]) + (" ..." if len(missing) > NAMED else "")
            raise ModelCorrupt(f"{checkpoint}{what} lacks {len(missing)} tensors of {kind.__name__} in {like}: {names}")
        for name, shape in wanted.items():
            if found[name].shape != shape:
                raise ModelCorrupt(
                    f"{checkpoint}{what} does not fit {kind.__name__} in {like}: {name} is {list(found[name].shape)}, "
                    f"not {list(shape)}"
                )


def make_clip_tokenizer(part: str) -> Any:
    """CLIP's tokenizer from the package's merges; its second one in XL pads with `!`."""
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    merges = gzip.decompress((CONFIGS / "clip_merges.txt.gz").read_bytes()).decode().splitlines()
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters), *(merge.replace(" ", "") for merge in merges)]
    vocabulary = {word: number for number, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    pad = "!" if part == "tokenizer_2" else "<|endoftext|>"
    pairs = [tuple(merge.split(" ")) for merge in merges]
    return CLIPTokenizer(vocab=vocabulary, merges=pairs, pad_token=pad, model_max_length=77)


def _class_of(library: str, name: str) -> Any:
    """Raises: ModelUnsupported: diffusers has no conversion of single files for this class."""
    import diffusers
    import transformers
    from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES

    kind = getattr(diffusers if library == "diffusers" else transformers, name, None)
    if kind is None or (library == "diffusers" and name not in SINGLE_FILE_LOADABLE_CLASSES):
        raise ModelUnsupported(f"models of {name} cannot be read from a single file: serve a diffusers folder")
    return kind


def convert_tensors(
    kind: Any, like: Path, part: str, tensors: "dict[str, torch.Tensor]"
) -> "tuple[dict[str, torch.Size], dict[str, torch.Tensor]]":
    """The shapes of a module's tensors, and those of the file under the module's names. Raises what a conversion raises
    at tensors of another model."""
    from accelerate import init_empty_weights
    from diffusers.loaders import single_file_utils
    from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES

    with init_empty_weights():
        if kind.__name__ in SINGLE_FILE_LOADABLE_CLASSES:
            config = kind.load_config(str(like), subfolder=part, local_files_only=True)
            module = kind.from_config(config)
        else:
            module = kind(kind.config_class.from_pretrained(str(like), subfolder=part, local_files_only=True))
    wanted = {name: tensor.shape for name, tensor in module.state_dict().items()}
    if kind.__name__ in SINGLE_FILE_LOADABLE_CLASSES:
        if wanted.keys() <= tensors.keys():  # in diffusers' own names already
            return wanted, tensors
        convert = SINGLE_FILE_LOADABLE_CLASSES[kind.__name__]["checkpoint_mapping_fn"]
        return wanted, convert(config=config, checkpoint=tensors)
    if kind.__name__.startswith("T5"):
        found = single_file_utils.convert_sd3_t5_checkpoint_to_diffusers(tensors)
        return {name: shape for name, shape in wanted.items() if name != "encoder.embed_tokens.weight"}, found
    if layer := next((name for name in tensors if ".model.transformer.resblocks." in name), None):
        prefix = layer.partition("transformer.resblocks.")[0]
        found = single_file_utils.convert_open_clip_checkpoint(module, tensors, prefix=prefix)
    else:
        prefix = next(name for name in tensors if "text_model." in name).partition("text_model.")[0]
        found = single_file_utils.convert_ldm_clip_checkpoint(tensors, prefix)
        if "clip_l" in prefix:  # diffusers puts the identity there
            wanted.pop("text_projection.weight", None)
    if not hasattr(module, "text_model"):
        found = {name.removeprefix("text_model."): tensor for name, tensor in found.items()}
    return wanted, found
