"""Compiled denoisers: two graphs for all widths, the pictures of the plain ones, and a failure that costs nothing."""

import copy
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from structlog.testing import capture_logs

from mezzotint.engine import Hub, Run
from mezzotint.engine.device.faults import is_out_of_memory
from mezzotint.engine.models.compiled import compile_denoiser, warm_up
from tests.conformance.engine.driving import finish, pictures
from tests.conformance.engine.zoo import flux, flux_request

NUM_STEPS = 2


class Backend:
    """Runs the graphs as they were traced: torch's whole front end without a C compiler's minutes."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.num_graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        self.num_graphs += 1
        if self.error is not None:
            raise self.error
        return graph.forward


class Tiny(torch.nn.Module):
    """torch compiles no module of its own by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.gelu(self.linear(seen))


def draw(pipeline: Any, num_runs: int) -> tuple[Hub, list[Run]]:
    hub = Hub(pipeline, exact=False)
    runs = [hub.submit(flux_request(i, NUM_STEPS)) for i in range(num_runs)]
    finish(hub, *runs)
    return hub, runs


@pytest.fixture(autouse=True)
def no_graphs() -> None:
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def plain() -> list[Run]:
    return draw(flux(), 8)[1]


def test_all_widths_take_two_graphs_and_give_the_pictures_of_the_plain_denoiser(plain: list[Run]) -> None:
    pipeline, backend = flux(), Backend()
    compile_denoiser(pipeline.transformer, backend)
    warm_up(Hub(pipeline, exact=False), lambda seed: flux_request(seed, NUM_STEPS))
    assert backend.num_graphs == 2
    for num_runs in (8, 3, 1):
        hub, runs = draw(pipeline, num_runs)
        assert hub.num_merged == (NUM_STEPS if num_runs > 1 else 0)
        for one, other in zip(plain, runs, strict=False):
            assert np.allclose(pictures(one.output), pictures(other.output), atol=1e-5)
    assert backend.num_graphs == 2, "nothing was compiled after the warm-up"


def test_a_compilation_that_fails_leaves_the_module_as_it_is_and_is_said_once() -> None:
    module, backend, seen = Tiny(), Backend(RuntimeError("no C compiler was found")), torch.ones(3, 2)
    expected = module(seen)
    compile_denoiser(module, backend)
    with capture_logs() as logged:
        assert all(torch.equal(module(seen), expected) for _ in range(3))
    (said,) = logged
    assert (said["event"], said["module"]) == ("not compiled: the model runs as it is", "Tiny")
    assert "RuntimeError: no C compiler was found" in said["reason"]
    assert backend.num_graphs == 1
    assert module._compiled_call_impl is None


def test_a_lack_of_memory_while_compiling_is_not_the_compilers_fault() -> None:
    module = Tiny()
    compile_denoiser(module, Backend(torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(Exception, match="out of memory") as caught:
        module(torch.ones(3, 2))
    assert is_out_of_memory(caught.value)
    assert module._compiled_call_impl is not None


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_a_real_compiler_makes_two_kernels_for_all_widths() -> None:
    module = Tiny()
    plain = copy.deepcopy(module)
    compile_denoiser(module)
    torch._dynamo.utils.counters.clear()
    with torch.no_grad(), capture_logs() as logged:
        for rows in (1, 2, 16, 7):
            seen = torch.randn(rows, 2)
            assert torch.allclose(module(seen), plain(seen), atol=1e-6)
    assert logged == []
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2


def test_a_call_that_fails_either_way_is_the_calls_own_failure() -> None:
    unet = Tiny()
    compile_denoiser(unet, Backend())
    with pytest.raises(Exception, match="shapes"):
        unet(torch.zeros(1, 3))
    assert unet._compiled_call_impl is not None
    assert torch.isfinite(unet(torch.zeros(1, 2))).all()


def test_the_fingerprint_tells_compiled_kernels_from_plain_ones() -> None:
    pipeline = flux()
    before = Hub(pipeline).fingerprint
    compile_denoiser(pipeline.transformer, Backend())
    after = Hub(pipeline).fingerprint
    assert {key for key in before if before[key] != after[key]} == {"kernels"}
    assert after.keys() == before.keys(), "checkpoints of earlier times have these"
