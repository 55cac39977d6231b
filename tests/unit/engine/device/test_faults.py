"""The device's errors are known by type and text; those of a call are not taken for them."""

import gc
import traceback
import weakref

import pytest
import torch

from mezzotint.engine.device.faults import free_frames, is_device_error, is_out_of_memory, is_shape_error

SHORTAGES = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 10.00 GiB."),
    torch.AcceleratorError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA` to enable assertions."),
    MemoryError(),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 68719476736 bytes."),
)
BROKEN = (
    torch.AcceleratorError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"),
)
UNFIT = (
    TypeError("forward() got an unexpected keyword argument 'guidance'"),
    ValueError("not enough values to unpack (expected 2, got 1)"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (16x32 and 64x8)"),
    RuntimeError("The size of tensor a (4) must match the size of tensor b (8) at non-singleton dimension 0"),
    RuntimeError("Sizes of tensors must match except in dimension 1. Expected size 2 but got size 4"),
    IndexError("Dimension out of range (expected to be in range of [-1, 0], but got 1)"),
)
OTHERS = (
    RuntimeError("Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"),
    KeyError("cache"),
    AttributeError("'NoneType' object has no attribute 'float'"),
)


@pytest.mark.parametrize("error", SHORTAGES, ids=str)
def test_every_kind_and_text_of_a_shortage_is_known(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert is_device_error(error)
    assert not is_shape_error(error)


@pytest.mark.parametrize("error", SHORTAGES, ids=str)
def test_a_shortage_is_known_behind_the_error_of_a_library(error: Exception) -> None:
    wrapped = RuntimeError("backend='inductor' raised")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped)


@pytest.mark.parametrize("error", BROKEN, ids=str)
def test_a_device_that_fails_is_no_shortage_and_no_fault_of_the_call(error: Exception) -> None:
    assert is_device_error(error)
    assert not is_out_of_memory(error)
    assert not is_shape_error(error)


@pytest.mark.parametrize("error", UNFIT, ids=str)
def test_arguments_that_do_not_fit_are_a_fault_of_the_call(error: Exception) -> None:
    assert is_shape_error(error)
    assert not is_device_error(error)


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_other_errors_are_neither(error: Exception) -> None:
    assert not is_shape_error(error)
    assert not is_device_error(error)


def test_the_frames_of_an_error_and_of_its_causes_let_go_of_their_tensors() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def allocate() -> None:
        activation = torch.ones(3)
        held.append(weakref.ref(activation))
        raise torch.OutOfMemoryError("CUDA out of memory")

    def wrap() -> None:
        activation = torch.ones(3)
        held.append(weakref.ref(activation))
        try:
            allocate()
        except RuntimeError as error:
            raise RuntimeError("wrapped") from error

    kept: Exception | None = None
    try:
        wrap()
    except RuntimeError as error:
        kept = error
    assert kept is not None
    gc.collect()
    assert all(trace() is not None for trace in held)
    free_frames(kept)
    gc.collect()
    assert [trace() for trace in held] == [None, None]
    assert "allocate()" in "".join(traceback.format_exception(kept))
