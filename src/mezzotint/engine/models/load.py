"""Load a model's weights into memory: device, dtype, quantisation, offloading, compilation. Nothing else does."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mezzotint.domain.errors import ModelCorrupt
from mezzotint.engine.models.added_parts import AddedParts
from mezzotint.engine.models.catalog import ModelEntry, ModelsInvalid, Offload, Quantization
from mezzotint.engine.models.files import (
    absent_parts,
    find_variant,
    is_channels_last,
    max_prompt_tokens,
    pipeline_class_of,
    text_encoder_of,
    weights_of,
)
from mezzotint.engine.models.read_ahead import read_ahead
from mezzotint.engine.models.replaced_vae import load_vae
from mezzotint.engine.models.single_file import load_parts

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

NOTHING = AddedParts()
PACKAGES = {
    "auto-round": "auto_round",
    "bitsandbytes_4bit": "bitsandbytes",
    "bitsandbytes_8bit": "bitsandbytes",
    "gguf": "gguf",
    "modelopt": "modelopt",
    "quanto": "optimum.quanto",
    "sdnq": "sdnq",
    "torchao": "torchao",
}
"""diffusers' quantisation backends -> the Python module each needs."""


def check_entry(entry: ModelEntry, device: str, *, exact: bool) -> None:
    """Refuse what cannot be done on this machine, before anything is loaded. Raises: ModelsInvalid."""
    if entry.compile and exact:
        raise ModelsInvalid(f"models: {entry.name}: compile changes bits with the batch; it needs fast mode (--fast)")
    if entry.offload is not Offload.NONE and not device.startswith("cuda"):
        raise ModelsInvalid(
            f"models: {entry.name}: offload = {entry.offload.value!r} needs CUDA; on {device} leave it out"
        )
    if entry.quantization is not None:
        _check_quantization(entry.name, entry.quantization, device)


def load_pipeline(
    folder: Path,
    device: str,
    entry: ModelEntry | None = None,
    tell: Callable[[float], None] = lambda share: None,
    checkpoint: Path | None = None,
    *,
    added: AddedParts = NOTHING,
) -> "DiffusionPipeline":
    """The pipeline, on its device, ready to be called. Weights are read as safetensors only.

    entry: how, having passed `check_entry`; None: plainly. tell: hears the share of the weights that is read, 1.0 last.
    checkpoint: the single file that the folder gives its configuration to. added: parts that passed
    their checks.
    Raises: ModelMissing, ModelCorrupt.
    """
    import diffusers
    import transformers
    from diffusers import DiffusionPipeline
    from safetensors import SafetensorError

    from mezzotint.engine.device.choice import has_bfloat16
    from mezzotint.engine.models.compiled import compile_denoiser
    from mezzotint.engine.models.dtypes import choose_dtype, choose_dtypes
    from mezzotint.engine.models.textual_inversion import load_embeddings
    from mezzotint.engine.models.weighted_prompts import weigh_words
    from mezzotint.engine.numerics import order_channels_last
    from mezzotint.engine.proxy import denoisers_of

    entry = entry or ModelEntry(name="model", source=str(folder))
    for library in (diffusers.utils, transformers.utils):  # their remarks on components are for model authors
        library.logging.set_verbosity_error()
        library.logging.disable_progress_bar()
    dtype = choose_dtype(folder, entry.dtype, device, has_bfloat16=has_bfloat16(device), checkpoint=checkpoint)
    dtypes = choose_dtypes(folder, dtype)
    variant = find_variant(folder, str(dtype).removeprefix("torch."))
    more: dict[str, Any] = dict.fromkeys(absent_parts(folder))  # diffusers misses some that it saved as absent
    if entry.quantization is not None:
        more["quantization_config"] = _quantization(entry.quantization)
    try:
        read_ahead(weights_of(folder, variant, checkpoint), tell)
        more |= {} if checkpoint is None else load_parts(checkpoint, folder, dtypes)
        more |= {} if added.vae is None else {"vae": load_vae(added.vae, folder, dtypes.get("vae", dtypes["default"]))}
        with warnings.catch_warnings(category=FutureWarning, action="ignore"):
            pipeline = DiffusionPipeline.from_pretrained(
                str(folder),
                dtype=dtypes,
                use_safetensors=True,
                local_files_only=True,
                variant=variant,
                device_map=None if checkpoint else _find_device_map(folder, device, entry.offload),
                **(_load_packaged_parts(folder, dtype) | more),
            )
    except (SafetensorError, OSError, ValueError, LookupError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        reason = str(error).strip().splitlines()[0]
        raise ModelCorrupt(f"{checkpoint or folder} could not be loaded: {reason}") from error
    pipeline.set_progress_bar_config(disable=True)
    load_embeddings(pipeline, added.embeddings)
    denoisers = denoisers_of(pipeline).values()
    if is_channels_last(folder) if entry.channels_last is None else entry.channels_last:
        for module in denoisers:
            order_channels_last(module)
    pipeline = _place(pipeline, device, entry.offload)
    if entry.compile:
        for module in denoisers:
            compile_denoiser(module)
    return weigh_words(pipeline)


def load_tiny(folder: Path, device: str) -> Any:
    """A tiny autoencoder, that has passed `files.check_tiny`. Raises: ModelCorrupt."""
    import torch
    from diffusers import AutoencoderTiny
    from safetensors import SafetensorError

    try:
        tiny = AutoencoderTiny.from_pretrained(str(folder), use_safetensors=True, local_files_only=True)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelCorrupt(f"{folder} could not be loaded: {str(error).strip().splitlines()[0]}") from error
    return tiny.eval().to(device, torch.float32 if device == "cpu" else torch.float16)


def num_bytes(pipeline: Any) -> int:
    """Bytes of all weights and buffers in memory, each counted once."""
    from mezzotint.engine.numerics import modules_of

    tensors = {
        tensor.data_ptr(): tensor.numel() * tensor.element_size()
        for module in modules_of(pipeline).values()
        for tensor in (*module.parameters(), *module.buffers())
        if tensor.device.type != "meta"
    }
    return sum(tensors.values())


def release() -> None:
    """Give the memory of a dropped model back now, cycles and the device's own cache included."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether a load failed because memory ran out."""
    from mezzotint.engine.device import faults

    return faults.is_out_of_memory(error)


def _check_quantization(name: str, wanted: Quantization, device: str) -> None:
    module = PACKAGES.get(wanted.backend)
    if module is None:
        known = ", ".join(PACKAGES)
        raise ModelsInvalid(f"models: {name}: unknown quantization backend {wanted.backend!r}; known: {known}")
    if not device.startswith("cuda"):
        raise ModelsInvalid(f"models: {name}: quantization needs CUDA; on {device} leave it out")
    found = None
    with suppress(ModuleNotFoundError):  # of the package around it
        found = find_spec(module)
    if found is None:
        raise ModelsInvalid(f"models: {name}: quantization by {wanted.backend} needs the Python package {module}")


def _quantization(wanted: Quantization) -> Any:
    from diffusers import PipelineQuantizationConfig

    return PipelineQuantizationConfig(
        quant_backend=wanted.backend,
        quant_kwargs=wanted.options,
        components_to_quantize=list(wanted.components) or None,
    )


def _find_device_map(folder: Path, device: str, offload: Offload) -> str | None:
    """The device that weights are read to straight from their files; None: to host memory first.

    diffusers takes the kind of a device alone, so that the process's own one must be the current one of its kind.
    """
    import diffusers

    pipeline = getattr(diffusers, pipeline_class_of(folder), None)
    if device == "cpu" or offload is not Offload.NONE or getattr(pipeline, "_load_connected_pipes", False):
        return None
    return device.partition(":")[0]


def _place(pipeline: Any, device: str, offload: Offload) -> "DiffusionPipeline":
    from mezzotint.engine.numerics import WEIGHTS_HASH, weights_hash

    if offload is not Offload.NONE:
        object.__setattr__(pipeline, WEIGHTS_HASH, weights_hash(pipeline))
    match offload:
        case Offload.NONE:
            pipeline = pipeline.to(device)
        case Offload.MODEL:
            pipeline.enable_model_cpu_offload(device=device)
        case Offload.SEQUENTIAL:
            pipeline.enable_sequential_cpu_offload(device=device)
    return pipeline


def _load_packaged_parts(folder: Path, dtype: "torch.dtype") -> dict[str, Any]:
    """Components that lie in a Python package instead of the folder."""
    weights = text_encoder_of(folder)
    if weights is None:
        return {}
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights, local_files_only=True)
    tokenizer.model_max_length = max_prompt_tokens(folder)
    encoder = AutoModel.from_pretrained(weights, dtype=dtype, attn_implementation="sdpa", local_files_only=True)
    text_encoder = encoder.eval()
    text_encoder.config.use_attention_mask = True  # the stock pipeline passes the mask only when asked
    return {"tokenizer": tokenizer, "text_encoder": text_encoder, "safety_checker": None, "feature_extractor": None}
