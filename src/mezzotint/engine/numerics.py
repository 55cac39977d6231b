"""Everything that depends on the device, the dtype or the kernels, in one place.

Exact mode promises: what else runs in a pass never changes a bit of a run's output. Kernels break that promise when
they choose another order of summation for another number of rows. What is done about it:

CPU    oneDNN and NNPACK convolutions are off (both choose by batch size; the native one works image by image), but
       for oneDNN's on two samples and more inside a pass, which are stable and faster; a linear layer sees at least
       `MIN_GEMM_ROWS` rows a sample, and 2-D inputs in blocks of exactly that many (matrix times vector and short
       products take other kernels); activations see whole vector blocks (the rest of a loop takes scalar code that
       rounds otherwise); convolutions and group norms see the usual memory order (one sample may come in another
       than several); and the verifier compares every new width bit by bit.
CUDA   every pass of a model has one fixed width (short ones are filled with copies), cuDNN is deterministic and does
       not tune, TF32, reduced-precision reductions and split-K are off, attention takes the first fused backend that
       can do a form of call. CUBLAS_WORKSPACE_CONFIG=:4096:8 must be set before the process starts. The verifier
       compares every slot of a pass bit by bit with the first slot of a pass of one run. No GPU was at hand to measure
       it. Fast mode lets cuDNN tune, and float32 be TF32.

On CUDA it lasts while a `Numerics.kernels()` block is open, on the CPU only for the passes in it: what a run computes
between its passes (texts, its picture's decoding) it computes alone, in shapes that never depend on company.
"""

import functools
import hashlib
import platform
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from torch.nn import functional
from torch.nn.attention import SDPBackend

from mezzotint.engine.tree import leaves

VECTOR_BLOCK = 64  # elements that the widest unrolled vector loop takes at once (AVX-512, 16-bit)
PARALLEL_GRAIN = 32_768  # elements from which torch shares an elementwise loop among threads
CURVES = {functional: ("silu", "gelu", "mish", "softplus"), torch: ("sigmoid", "tanh", "exp", "sin", "cos")}
LAYOUT_BOUND = ("conv1d", "conv3d", "conv_transpose2d", "group_norm")  # their kernels depend on memory order
MIN_GEMM_ROWS = 16  # measured: from 12 rows on, MKL sums in one order at 1 and 2 threads; 16 leaves a margin
GUIDED_ROWS = 2
"""Rows of a run with guidance: the width of filled passes where no other was found to fit."""
ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""In this order. At one width the first that can do a form of call is the same in every company. MATH holds all scores
in float32: 10 GB for 16 rows of a megapixel of SDXL's."""
DRIVER_VERSION = Path("/proc/driver/nvidia/version")
SAMPLED_BYTES = 4096  # of each block of a big weight that enters the weights hash
SAMPLED_BLOCKS = 16
TF32_EPS = 2.0**-10
WEIGHTS_HASH = "_mezzotint_weights_hash"
"""Attribute of a pipeline whose weights cannot be read any more, since they are moved about."""

_plain_linear = functional.linear
_plain_conv2d = functional.conv2d


@dataclass(frozen=True, slots=True, kw_only=True)
class Numerics:
    """The numerics of a pipeline: device, dtype, mode.

    fixed_rows: the width every pass is filled to, None where widths may vary. channels_last: whether weights of its
    convolutions are in that memory order. is_compiled: whether `torch.compile` made its denoisers' kernels.
    """

    device: torch.device
    dtype: torch.dtype
    exact: bool
    fixed_rows: int | None = None
    channels_last: bool = False
    is_compiled: bool = False

    @contextmanager
    def kernels(self) -> Iterator[None]:
        """Choose the device's kernels for the time of the block; process-wide flags are put back at its end."""
        with ExitStack() as stack:
            if self.device.type == "cuda":
                (_enter_exact_cuda if self.exact else _enter_fast_cuda)(stack)
            yield

    @contextmanager
    def pass_kernels(self) -> Iterator[None]:
        """Inside `kernels()`, for the time of a pass: choose kernels whose bits do not depend on the number of rows."""
        with ExitStack() as stack:
            if self.exact and self.device.type == "cpu":
                _enter_exact_cpu(stack)
            yield

    def tolerance(self) -> float:
        """Largest relative difference between a merged and a separate call that still counts as rounding."""
        if not self.dtype.is_floating_point:
            return 2e-4
        eps = torch.finfo(self.dtype).eps
        if self.device.type == "cuda" and not self.exact:
            eps = max(eps, TF32_EPS)
        return min(max(2e-4, 20 * eps), 5e-2)

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def relieve(self) -> None:
        """Give cached device memory back after an allocation failed."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def device_rng(self) -> torch.Tensor | None:
        """State of the device's own global generator; None on the CPU, whose generator is the host's."""
        return torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None

    def set_device_rng(self, state: torch.Tensor | None) -> None:
        if state is not None:
            torch.cuda.set_rng_state(state, self.device)


def numerics_of(
    pipeline: Any, denoisers: list[torch.nn.Module], *, exact: bool, fixed_rows: int = GUIDED_ROWS
) -> Numerics:
    """Read device and dtype off the denoisers (off the pipeline where they have no parameters, or are moved about).

    fixed_rows: width of every pass, where exact mode needs one.
    """
    parameter = next((p for module in denoisers for p in module.parameters() if p.is_floating_point()), None)
    device = torch.device(parameter.device if parameter is not None else getattr(pipeline, "device", "cpu"))
    if any(hasattr(module, "_hf_hook") for module in denoisers):
        device = torch.device(pipeline._execution_device)
    dtype = parameter.dtype if parameter is not None else torch.float32
    fixed = fixed_rows if exact and device.type == "cuda" else None
    channels_last = any(_is_channels_last(p) for module in denoisers for p in module.parameters())
    return Numerics(
        device=device,
        dtype=dtype,
        exact=exact,
        fixed_rows=fixed,
        channels_last=channels_last,
        is_compiled=any(module._compiled_call_impl is not None for module in denoisers),
    )


def order_channels_last(module: torch.nn.Module) -> None:
    """Put the weights of its 2-D convolutions in channels-last order; those of one pixel have no order."""
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.kernel_size != (1, 1):
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)


def _is_channels_last(weight: torch.Tensor) -> bool:
    return weight.ndim == 4 and not weight.is_contiguous() and weight.is_contiguous(memory_format=torch.channels_last)


def _enter_exact_cpu(stack: ExitStack) -> None:
    stack.enter_context(_onednn(enabled=False))
    stack.enter_context(torch.backends.nnpack.flags(enabled=False))
    _replace(stack, functional, "linear", row_stable_linear)
    _replace(stack, functional, "conv2d", _paired_conv2d)
    for name in LAYOUT_BOUND:
        _replace(stack, functional, name, _on_contiguous(getattr(functional, name)))
    for module, names in CURVES.items():
        for name in names:
            _replace(stack, module, name, _stable_curve(getattr(module, name)))


@contextmanager
def _onednn(*, enabled: bool) -> Iterator[None]:
    """Not `torch.backends.mkldnn.flags`, which also sets what concerns Intel's GPUs and warns where there are none."""
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(enabled)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


def _replace(stack: ExitStack, module: Any, name: str, function: Any) -> None:
    stack.callback(setattr, module, name, getattr(module, name))
    setattr(module, name, function)


def _enter_exact_cuda(stack: ExitStack) -> None:
    matmul: Any = torch.backends.cuda.matmul
    stack.callback(_set_matmul_precision, matmul.fp32_precision)
    _set_matmul_precision("ieee")
    for dtype in ("fp16", "bf16"):
        name = f"allow_{dtype}_reduced_precision_reduction"
        stack.callback(setattr, matmul, name, (getattr(matmul, name), getattr(matmul, f"{name}_split_k")))
        setattr(matmul, name, (False, False))  # the second: no split-K, which sums by the number of rows
    stack.enter_context(torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False))
    stack.enter_context(torch.nn.attention.sdpa_kernel(ATTENTION, set_priority=True))


def _enter_fast_cuda(stack: ExitStack) -> None:
    """TF32 where float32 is computed in (a VAE that overflows in float16), and the convolutions that cuDNN measures as
    fastest for each form of call."""
    stack.callback(_set_matmul_precision, torch.backends.cuda.matmul.fp32_precision)
    _set_matmul_precision("tf32")
    stack.enter_context(torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=True))


def _set_matmul_precision(wanted: str) -> None:
    """Through both of torch's interfaces: reading the older one raises where a library has used the newer alone."""
    matmul: Any = torch.backends.cuda.matmul
    matmul.allow_tf32 = wanted == "tf32"
    matmul.fp32_precision = wanted


@functools.cache
def _on_contiguous(layer: Any) -> Any:
    """The layer, given its input in the usual memory order: the order of one sample may differ from that of several."""

    @functools.wraps(layer)
    def stable(input: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return layer(input.contiguous() if input.device.type == "cpu" else input, *args, **kwargs)

    return stable


def _paired_conv2d(input: torch.Tensor, weight: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """`F.conv2d` by oneDNN for two samples and more, whose bits then do not depend on how many; one sample is doubled.

    It computes in the memory order of its weight and answers in the usual one. oneDNN's 1 x 1 convolutions depend on
    the number of samples even so (measured at 16): those stay native.
    """
    if weight.shape[-1] == 1 and weight.shape[-2] == 1:
        return _plain_conv2d(input.contiguous(), weight, *args, **kwargs)
    is_single = input.shape[0] == 1
    order = torch.channels_last if _is_channels_last(weight) else torch.contiguous_format
    samples = (input.repeat(2, 1, 1, 1) if is_single else input).contiguous(memory_format=order)
    with _onednn(enabled=True):
        output = _plain_conv2d(samples, weight, *args, **kwargs).contiguous()
    return output[:1] if is_single else output


@functools.cache
def _stable_curve(curve: Any) -> Any:
    """An elementwise function whose result does not depend on the element's place in the tensor.

    Vector loops leave what does not fill a block, at the end of each thread's share, to scalar code that rounds
    otherwise.
    """

    @functools.wraps(curve)
    def stable(input: Any, *args: Any, **kwargs: Any) -> Any:
        plain = not isinstance(input, torch.Tensor) or input.device.type != "cpu" or not input.is_floating_point()
        if plain or "out" in kwargs:
            return curve(input, *args, **kwargs)
        # the next number of elements whose equal shares for all threads at work are whole vector blocks
        unit = VECTOR_BLOCK * (min(torch.get_num_threads(), -(-input.numel() // PARALLEL_GRAIN)) or 1)
        filled = -(-input.numel() // unit) * unit
        if filled == input.numel():
            return curve(input, *args, **kwargs)
        in_place = kwargs.pop("inplace", False)
        flat = functional.pad(input.reshape(-1), (0, filled - input.numel()))
        result = curve(flat, *args, **kwargs)[: input.numel()].view(input.shape)
        return input.copy_(result) if in_place else result

    return stable


def row_stable_linear(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`F.linear` whose result for one sample does not depend on how many samples there are (float32, CPU).

    input: [n, features], or [n, ..., rows, features] whose last two dimensions belong to one sample.
    """
    if input.ndim < 2 or input.device.type != "cpu":
        return _plain_linear(input, weight, bias)
    input = input.contiguous()  # one sample may come transposed where several are copied
    if input.ndim > 2 and input.shape[-2] >= MIN_GEMM_ROWS:
        return _plain_linear(input, weight, bias)
    if input.ndim > 2:
        rows = input.shape[-2]
        padded = functional.pad(input, (0, 0, 0, MIN_GEMM_ROWS - rows))
        return _plain_linear(padded, weight, bias)[..., :rows, :].contiguous()
    rows = input.shape[0]
    blocks = torch.split(functional.pad(input, (0, 0, 0, -rows % MIN_GEMM_ROWS)), MIN_GEMM_ROWS)
    answers = [_plain_linear(block, weight, bias) for block in blocks]
    return (answers[0] if len(answers) == 1 else torch.cat(answers))[:rows]


def is_finite(value: Any) -> bool:
    """Say whether every floating-point tensor and array in the tree is free of NaN and infinity."""
    for leaf in leaves(value):
        if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() and not torch.isfinite(leaf).all():
            return False
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
            return False
    return True


def weights_hash(pipeline: Any) -> str:
    """SHA-256 over names, shapes and values of all weights but those of adapters, which belong to runs.

    Of a big tensor 16 blocks of 4 KiB, evenly spread: any training or fused adapter changes nearly every weight, so
    the sample tells models apart at a cost of milliseconds.
    """
    known: str | None = getattr(pipeline, WEIGHTS_HASH, None)
    if known is not None:
        return known
    digest = hashlib.sha256()
    for name, module in sorted(modules_of(pipeline).items()):
        for key, tensor in module.state_dict().items():
            if ".lora_" not in key:
                hash_tensor(digest, f"{name}.{key}".replace(".base_layer", ""), tensor)
    return digest.hexdigest()


def hash_tensor(digest: Any, name: str, tensor: torch.Tensor) -> None:
    digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype};".encode())
    if hasattr(tensor, "__tensor_flatten__"):  # a quantised tensor is made of plain ones and has no bytes of its own
        for part in tensor.__tensor_flatten__()[0]:
            hash_tensor(digest, f"{name}.{part}", getattr(tensor, part))
        return
    for block in _blocks(tensor.detach()):
        digest.update(block.cpu().contiguous().view(torch.uint8).numpy().tobytes())


def modules_of(pipeline: Any, path: str = "") -> dict[str, torch.nn.Module]:
    """Path -> module for all components, nested pipelines included."""
    found: dict[str, torch.nn.Module] = {}
    for name, value in vars(pipeline).items():
        if isinstance(value, torch.nn.Module):
            found[path + name] = value
        elif isinstance(value, diffusers.DiffusionPipeline):
            found |= modules_of(value, f"{path}{name}.")
    return found


def _blocks(tensor: torch.Tensor) -> list[torch.Tensor]:
    if tensor.device.type == "meta" or tensor.is_quantized:
        return []
    flat = tensor.reshape(-1)
    width = max(1, SAMPLED_BYTES // tensor.element_size())
    if flat.numel() <= width * SAMPLED_BLOCKS:
        return [flat]
    stride = (flat.numel() - width) // (SAMPLED_BLOCKS - 1)
    return [flat[i * stride : i * stride + width] for i in range(SAMPLED_BLOCKS)]


def fingerprint(numerics: Numerics, weights: str, workspace: str = "") -> dict[str, str]:
    """The facts that must be equal for two processes to compute the same bits.

    A GPU's kernels depend on nothing of its host: neither on the CPU nor on the number of its threads. workspace:
    CUBLAS_WORKSPACE_CONFIG, by which cuBLAS chooses how products are summed; it counts where exact mode fixes all else.
    """
    on_gpu = numerics.device.type == "cuda"
    kernels = _describe_gpu_kernels(numerics, workspace) if on_gpu else torch.backends.cpu.get_cpu_capability()
    return {
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "device": torch.cuda.get_device_name(numerics.device) if on_gpu else f"cpu {platform.machine()}",
        "kernels": f"{kernels}, compiled" if numerics.is_compiled else kernels,
        "dtype": str(numerics.dtype).removeprefix("torch."),
        "threads": "any" if on_gpu else str(torch.get_num_threads()),
        "exact": str(numerics.exact),
        "rows": str(numerics.fixed_rows),
        "channels_last": str(numerics.channels_last),
        "weights": weights,
    }


def _describe_gpu_kernels(numerics: Numerics, workspace: str) -> str:
    """The libraries that hold a GPU's kernels, and the code that they choose for it."""
    major, minor = torch.cuda.get_device_capability(numerics.device)
    runtime, cudnn = torch.version.cuda or torch.version.hip, torch.backends.cudnn
    kernels = f"sm_{major}{minor}, runtime {runtime}, cuDNN {cudnn.version()}"  # type: ignore[no-untyped-call]
    if torch.version.hip is None:
        built = [re.fullmatch(r"sm_(\d+)(\d)[af]?", name) for name in torch.cuda.get_arch_list()]
        if not any(found and int(found[1]) == major and int(found[2]) <= minor for found in built):
            kernels += f", driver {driver_version()}"  # it compiles torch's code, each version in its own way
    return f"{kernels}, workspace {workspace or 'default'}" if numerics.exact else kernels


def driver_version() -> str:
    """Version of NVIDIA's kernel module; `unknown` where there is none."""
    found = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", DRIVER_VERSION.read_text()) if DRIVER_VERSION.exists() else None
    return found[0] if found is not None else "unknown"
