"""Tell the errors of a device from the errors of a call, by their types and their texts.

torch raises few types: a lack of memory may be an `OutOfMemoryError`, but also a plain RuntimeError of cuBLAS or cuDNN
or an `AcceleratorError`, which are told apart by their texts alone.
"""

import re
import traceback
from collections.abc import Iterator

import torch

MEMORY_TEXT = re.compile(
    r"out of memory"  # CUDA, HIP, MPS and the driver
    r"|alloc(ation)?_failed"  # CUBLAS_STATUS_ALLOC_FAILED, CUDNN_STATUS_..._ALLOCATION_FAILED, CUFFT_ALLOC_FAILED
    r"|can't allocate memory|not enough memory",  # the CPU's allocator, on Linux and on Windows
    re.IGNORECASE,
)
DEVICE_TEXT = re.compile(
    r"\b(CUDA|HIP|cuDNN|MIOpen)( driver| runtime)? error|\bCU(BLAS|DNN|SOLVER|SPARSE|FFT|RAND)_|device-side assert",
    re.IGNORECASE,
)
SHAPE_TEXT = re.compile(r"shape|\bsizes?\b|dimension|\bdims?\b|broadcast|must match", re.IGNORECASE)
MAX_CAUSES = 8


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether memory ran out, on the host or on the device, according to the error or one of its causes."""
    return any(
        isinstance(cause, (torch.OutOfMemoryError, MemoryError))
        or (isinstance(cause, RuntimeError) and MEMORY_TEXT.search(str(cause)) is not None)
        for cause in _causes(error)
    )


def is_device_error(error: BaseException) -> bool:
    """Say whether the device failed rather than the call: memory, kernels, libraries or a lost context."""
    return is_out_of_memory(error) or any(
        isinstance(cause, torch.AcceleratorError)
        or (isinstance(cause, RuntimeError) and DEVICE_TEXT.search(str(cause)) is not None)
        for cause in _causes(error)
    )


def is_shape_error(error: BaseException) -> bool:
    """Say whether the error says that arguments do not fit: it would come again with every call of this form."""
    if is_device_error(error):
        return False
    if isinstance(error, (TypeError, ValueError)):
        return True
    return isinstance(error, (RuntimeError, IndexError)) and SHAPE_TEXT.search(str(error)) is not None


def free_frames(error: BaseException) -> None:
    """Let go of the local variables of all frames that the error and its causes keep: a failed pass's activations.

    The traceback itself stays readable. Frames that still run keep theirs.
    """
    for cause in _causes(error, with_context=True):
        traceback.clear_frames(cause.__traceback__)


def _causes(error: BaseException, *, with_context: bool = False) -> Iterator[BaseException]:
    """The error, then what it was raised from. with_context: or raised while handling."""
    cause: BaseException | None = error
    for _ in range(MAX_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or (cause.__context__ if with_context else None)
