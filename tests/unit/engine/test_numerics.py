"""Exact mode's kernels: the number of samples changes no bit of one sample's result."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from mezzotint.engine import numerics
from mezzotint.engine.numerics import (
    ATTENTION,
    Numerics,
    driver_version,
    fingerprint,
    hash_tensor,
    is_finite,
    numerics_of,
    order_channels_last,
    row_stable_linear,
    weights_hash,
)

CPU = torch.device("cpu")
EXACT = Numerics(device=CPU, dtype=torch.float32, exact=True)


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request: pytest.FixtureRequest, one_thread: None) -> Any:
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(1)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 9, 11, 15, 16, 20, 64, 77])
@pytest.mark.parametrize(("features", "outputs"), [(32, 32), (48, 20), (320, 64)])
def test_a_linear_layer_gives_a_sample_the_same_bits_in_every_company(rows: int, features: int, outputs: int) -> None:
    weight, bias = torch.randn(outputs, features), torch.randn(outputs)
    samples = torch.randn(12, rows, features)
    with EXACT.pass_kernels():
        alone = torch.cat([functional.linear(samples[i : i + 1], weight, bias) for i in range(12)])
        for count in (2, 3, 5, 8, 12):
            assert torch.equal(functional.linear(samples[:count], weight, bias), alone[:count])


def test_a_sample_that_comes_transposed_gives_the_same_bits() -> None:
    weight, bias = torch.randn(24, 32), torch.randn(24)
    samples = torch.randn(6, 32, 20).transpose(1, 2)
    with EXACT.pass_kernels():
        together = functional.linear(samples.contiguous(), weight, bias)
        alone = torch.cat([functional.linear(samples[i : i + 1], weight, bias) for i in range(6)])
    assert torch.equal(together, alone)


@pytest.mark.parametrize("features", [8, 32, 320])
def test_a_linear_layer_of_single_rows_gives_the_same_bits_in_every_company(features: int) -> None:
    weight, bias = torch.randn(24, features), torch.randn(24)
    rows = torch.randn(40, features)
    alone = torch.cat([row_stable_linear(rows[i : i + 1], weight, bias) for i in range(40)])
    for count in (2, 7, 16, 17, 40):
        assert torch.equal(row_stable_linear(rows[:count], weight, bias), alone[:count])
    assert torch.allclose(alone, functional.linear(rows, weight, bias), atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_gives_a_sample_the_same_bits_in_every_company(
    size: int, kernel: int, order: torch.memory_format
) -> None:
    weight, bias = torch.randn(24, 16, kernel, kernel).contiguous(memory_format=order), torch.randn(24)
    samples = torch.randn(16, 16, size, size)
    settings: Any = {"padding": kernel // 2, "stride": 1}
    expected = functional.conv2d(samples, weight, bias, **settings)
    with EXACT.pass_kernels():
        alone = torch.cat([functional.conv2d(samples[i : i + 1], weight, bias, **settings) for i in range(16)])
        for count in (2, 3, 8, 16):
            assert torch.equal(functional.conv2d(samples[:count], weight, bias, **settings), alone[:count])
        assert not torch.backends.mkldnn.enabled
    assert torch.allclose(alone, expected, atol=1e-4)


@pytest.mark.parametrize("curve", [functional.silu, functional.gelu, torch.sigmoid, torch.tanh, torch.exp, torch.sin])
@pytest.mark.parametrize("width", [1, 3, 8, 31, 64, 4099])
def test_an_activation_gives_an_element_the_same_bits_at_every_place(curve: Any, width: int) -> None:
    name = curve.__name__
    samples = torch.randn(24, width)
    with EXACT.pass_kernels():
        stable = getattr(functional if name in ("silu", "gelu") else torch, name)
        alone = torch.cat([stable(samples[i : i + 1]) for i in range(24)])
        for count in (2, 3, 7, 24):
            assert torch.equal(stable(samples[:count]), alone[:count])
        assert torch.allclose(alone, curve(samples), atol=1e-6)


def test_an_activation_in_place_writes_where_it_was_told() -> None:
    values = torch.randn(3, 5)
    expected = functional.silu(values)
    with EXACT.pass_kernels():
        result = functional.silu(values, inplace=True)
    assert result is values
    assert torch.allclose(values, expected)


def test_kernels_are_put_back_even_after_an_error() -> None:
    before = (functional.linear, functional.silu, torch.exp, torch.backends.mkldnn.enabled)

    def fail() -> None:
        with EXACT.pass_kernels():
            assert functional.linear is row_stable_linear
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert (functional.linear, functional.silu, torch.exp, torch.backends.mkldnn.enabled) == before


def test_between_passes_the_processor_computes_as_usual() -> None:
    before = (functional.linear, functional.conv2d, torch.backends.mkldnn.enabled)
    with EXACT.kernels():
        assert (functional.linear, functional.conv2d, torch.backends.mkldnn.enabled) == before


def test_fast_mode_changes_no_kernels() -> None:
    before = (functional.linear, torch.backends.mkldnn.enabled)
    with Numerics(device=CPU, dtype=torch.float32, exact=False).pass_kernels():
        assert (functional.linear, torch.backends.mkldnn.enabled) == before


@pytest.mark.parametrize("precision", ["none", "tf32"])
def test_exact_kernels_of_a_gpu_are_chosen_for_the_block_alone(precision: str) -> None:
    """The flags exist without a GPU. A library may have set the precision by torch's newer interface alone."""

    def state() -> tuple[Any, ...]:
        cuda: Any = torch.backends.cuda
        return (
            cuda.matmul.fp32_precision,
            torch._C._get_cublas_allow_fp16_reduced_precision_reduction(),
            torch._C._get_cublas_allow_bf16_reduced_precision_reduction(),
            (cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled()),
            cuda.cudnn_sdp_enabled(),
            torch._C._get_sdp_priority_order(),
            torch.backends.cudnn.deterministic,
        )

    gpu = Numerics(device=torch.device("cuda"), dtype=torch.float16, exact=True, fixed_rows=2)
    matmul: Any = torch.backends.cuda.matmul
    first = matmul.fp32_precision
    try:
        matmul.fp32_precision = precision
        before = state()
        with gpu.kernels():
            inside = state()
        assert state() == before
    finally:
        matmul.fp32_precision = first
    assert inside[:3] == ("ieee", (False, False), (False, False)), "neither TF32 nor split-K"
    assert inside[3:5] == ((True, True, True), False)
    order = [int(backend) for backend in ATTENTION]
    assert list(inside[5])[: len(order)] == order, "fused attention first"
    assert inside[6]


def test_fast_kernels_of_a_gpu_are_tuned_for_the_block_alone() -> None:
    def state() -> tuple[Any, ...]:
        cudnn: Any = torch.backends.cudnn
        matmul: Any = torch.backends.cuda.matmul
        return matmul.fp32_precision, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32

    gpu = Numerics(device=torch.device("cuda:1"), dtype=torch.float16, exact=False)
    before = state()
    with gpu.kernels():
        inside = state()
    assert state() == before
    assert inside == ("tf32", True, False, True)
    with Numerics(device=CPU, dtype=torch.float32, exact=False).kernels():
        assert state() == before, "a CPU has nothing of it"


def test_what_counts_as_rounding_is_coarser_where_float32_is_tf32() -> None:
    def tolerance(device: str, *, exact: bool, dtype: torch.dtype = torch.float32) -> float:
        return Numerics(device=torch.device(device), dtype=dtype, exact=exact).tolerance()

    assert tolerance("cuda", exact=True) == tolerance("cpu", exact=False) == 2e-4
    assert tolerance("cuda", exact=False) == tolerance("cuda", exact=False, dtype=torch.float16)
    assert tolerance("cuda", exact=False, dtype=torch.bfloat16) == tolerance("cpu", exact=True, dtype=torch.bfloat16)


def test_channels_last_is_an_affair_of_convolutions_and_of_the_fingerprint() -> None:
    layers = torch.nn.Sequential(torch.nn.Conv2d(8, 16, 3, padding=1), torch.nn.Conv2d(16, 16, 1))
    samples = torch.randn(2, 8, 8, 8)
    plain, before = layers(samples), numerics_of(None, [layers], exact=True)
    order_channels_last(layers)
    after = numerics_of(None, [layers], exact=True)
    with torch.no_grad(), after.pass_kernels():
        ordered = layers(samples)
    assert ordered.is_contiguous()
    assert torch.allclose(ordered, plain, atol=1e-5)
    assert fingerprint(before, "")["channels_last"] == "False"
    assert fingerprint(after, "")["channels_last"] == "True"


def test_not_a_number_and_infinity_are_found_wherever_they_hide() -> None:
    good = {"a": [torch.ones(3), None, 3], "b": (torch.arange(3), torch.zeros(0))}
    assert is_finite(good)
    for bad in (float("nan"), float("inf"), -float("inf")):
        spoiled = torch.ones(100)
        spoiled[77] = bad
        assert not is_finite([good, {"c": (spoiled,)}])


def test_the_tolerance_follows_the_precision() -> None:
    tolerances = [
        Numerics(device=CPU, dtype=dtype, exact=False).tolerance()
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    ]
    assert tolerances == sorted(tolerances)
    assert tolerances[1] == 2e-4


def test_the_hash_of_weights_sees_one_changed_value_of_a_small_model_and_any_training_of_a_big_one() -> None:
    class Pipe:
        def __init__(self) -> None:
            torch.manual_seed(0)
            self.unet = torch.nn.Linear(2000, 2000)

    one, other = Pipe(), Pipe()
    assert weights_hash(one) == weights_hash(other)
    with torch.no_grad():
        other.unet.bias[1999] += 1e-3
    assert weights_hash(one) != weights_hash(other)
    trained = Pipe()
    with torch.no_grad():
        trained.unet.weight.mul_(1.0001)
    assert weights_hash(one) != weights_hash(trained)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU for which torch brings machine code."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 9))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_86", "sm_90a", "compute_90"])
    monkeypatch.setattr(torch.version, "hip", None)


def gpu(*, exact: bool) -> Numerics:
    return Numerics(device=torch.device("cuda", 1), dtype=torch.float16, exact=exact)


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("exact", [True, False])
def test_on_a_gpu_the_fingerprint_names_its_kernels_and_nothing_of_the_host(
    monkeypatch: pytest.MonkeyPatch, exact: bool
) -> None:
    found = fingerprint(gpu(exact=exact), "w", ":4096:8")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 999)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another")
    monkeypatch.setattr(numerics, "driver_version", lambda: "999.99")
    assert fingerprint(gpu(exact=exact), "w", ":4096:8") == found
    assert found["kernels"].startswith("sm_89, runtime ")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 1)
    assert fingerprint(gpu(exact=exact), "w", ":4096:8") != found
    on_cpu = Numerics(device=torch.device("cpu"), dtype=torch.float32, exact=True)
    assert fingerprint(on_cpu, "w", ":4096:8") == fingerprint(on_cpu, "w")
    assert fingerprint(on_cpu, "w")["threads"] == "999"
    assert fingerprint(on_cpu, "w")["kernels"] == "another"


@pytest.mark.usefixtures("card")
def test_the_workspaces_of_cublas_count_where_bits_are_promised() -> None:
    prints = [fingerprint(gpu(exact=exact), "w", space) for exact in (True, False) for space in (":4096:8", ":16:8")]
    assert prints[0] != prints[1]
    assert prints[2] == prints[3]


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize(
    ("capability", "is_compiled"), [((8, 6), False), ((8, 9), False), ((9, 0), False), ((8, 0), True), ((12, 0), True)]
)
def test_the_driver_counts_where_it_compiles_the_kernels(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capability: tuple[int, int], is_compiled: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(numerics, "DRIVER_VERSION", tmp_path / "version")
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (root@host)  Sun Jul 27\n"
        "GCC version:  gcc version 12.3.0\n"
    )
    assert ("driver 580.65.06" in fingerprint(gpu(exact=False), "w")["kernels"]) == is_compiled


def test_a_machine_without_a_driver_has_an_unknown_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(numerics, "DRIVER_VERSION", tmp_path / "none")
    assert driver_version() == "unknown"


def test_a_weight_that_is_made_of_several_tensors_is_hashed_by_all_of_them() -> None:
    from torch.testing._internal.two_tensor import TwoTensor

    def hashed(second: float) -> str:
        digest = hashlib.sha256()
        hash_tensor(digest, "w", TwoTensor(torch.ones(4), torch.full((4,), second)))
        return digest.hexdigest()

    assert hashed(1.0) == hashed(1.0) != hashed(2.0)
