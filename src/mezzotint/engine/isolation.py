"""State that torch, numpy and Python keep per thread or per process, kept per run instead.

Runs share one thread, so whatever one run's pipeline sets and has not put back when it parks (`no_grad`, autocast, the
attention processors of a guidance method, a position in a random stream) would leak into the next run to be woken.
`Isolation.exchange` installs a run's own state before it is woken and the outer state afterwards.
"""

import copy
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from mezzotint.engine.numerics import Numerics

Processors = tuple[Any, ...]

_numpy_random: Any = np.random  # the stubs lack the bit generator of the legacy functions


@dataclass(slots=True)
class ThreadState:
    """The state outside a run's own objects, as one run (or the caller of the hub) has it."""

    torch_rng: torch.Tensor
    device_rng: torch.Tensor | None
    numpy_rng: Any
    python_rng: Any
    grad: bool
    autocast: tuple[bool, torch.dtype]
    default_dtype: torch.dtype
    sdpa: tuple[bool, bool, bool]
    modes: list[TorchFunctionMode]
    processors: Processors
    seed: int = 0  # of a run's `torch_rng` at its beginning


class Isolation:
    """Captures and installs `ThreadState`s for runs over the given denoisers."""

    def __init__(self, numerics: Numerics, denoisers: list[torch.nn.Module]) -> None:
        self._numerics = numerics
        # listed once: walking all submodules at every switch costs more than the rest of the engine
        self._attention = [
            module
            for denoiser in denoisers
            for module in denoiser.modules()
            if hasattr(module, "processor") and hasattr(module, "set_processor")
        ]
        self.base_processors = self.processors()

    def processors(self) -> Processors:
        return tuple(module.processor for module in self._attention)

    def set_processors(self, wanted: Processors) -> None:
        for module, processor in zip(self._attention, wanted, strict=True):
            if module.processor is not processor:
                module.processor = processor

    def fork(self) -> ThreadState:
        """A state for a new run that begins where the caller's random streams stand.

        Moves those streams on, so that two runs without a generator of their own get different noise. Where torch's
        stream is not at its beginning, the run gets a seed drawn from it: eight bytes then describe a run's stream.
        """
        state = self.capture()
        state.seed = torch.initial_seed()
        if not torch.equal(stream_of(state.seed), state.torch_rng):
            state.seed = int(torch.randint(2**62, ()))
        state.torch_rng = stream_of(state.seed)
        state.processors = self.base_processors
        state.numpy_rng = copy.deepcopy(state.numpy_rng)
        state.modes = []
        torch.rand(1)
        np.random.random()
        random.random()
        if self._numerics.device.type == "cuda":
            torch.rand(1, device=self._numerics.device)
        return state

    def capture(self) -> ThreadState:
        kind = self._numerics.device.type
        return ThreadState(
            torch_rng=torch.get_rng_state(),
            device_rng=self._numerics.device_rng(),
            numpy_rng=_numpy_random.get_bit_generator(),
            python_rng=random.getstate(),
            grad=torch.is_grad_enabled(),
            autocast=(torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)),
            default_dtype=torch.get_default_dtype(),
            sdpa=_sdpa_flags(),
            modes=_function_modes(),
            processors=self.processors(),
        )

    def install(self, state: ThreadState) -> None:
        kind = self._numerics.device.type
        torch.set_rng_state(state.torch_rng)
        self._numerics.set_device_rng(state.device_rng)
        _numpy_random.set_bit_generator(state.numpy_rng)
        random.setstate(state.python_rng)
        torch.set_grad_enabled(state.grad)
        if (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) != state.autocast:
            torch.set_autocast_enabled(kind, state.autocast[0])
            torch.set_autocast_dtype(kind, state.autocast[1])
            torch.clear_autocast_cache()
        if torch.get_default_dtype() is not state.default_dtype:
            torch.set_default_dtype(state.default_dtype)
        if _sdpa_flags() != state.sdpa:
            torch.backends.cuda.enable_flash_sdp(state.sdpa[0])
            torch.backends.cuda.enable_mem_efficient_sdp(state.sdpa[1])
            torch.backends.cuda.enable_math_sdp(state.sdpa[2])
        if _function_modes() != state.modes:
            while torch._C._len_torch_function_stack():
                torch._C._pop_torch_function_stack()
            for mode in state.modes:
                torch._C._push_on_torch_function_stack(mode)
        self.set_processors(state.processors)

    def exchange(self, state: ThreadState) -> ThreadState:
        """Install `state`; returns what was installed before."""
        before = self.capture()
        self.install(state)
        return before

    def processor_key(self, processors: Processors) -> Any:
        """Equal where calls may share a pass: the base processors, or ones that hold no state of their own."""
        if processors == self.base_processors:
            return None
        keys: list[Any] = []
        for processor in processors:
            held = getattr(processor, "__dict__", {})
            is_plain = all(isinstance(value, (bool, int, float, str)) for value in held.values())
            if isinstance(processor, torch.nn.Module) or not is_plain:
                keys.append(id(processor))  # it may keep a store of attention maps, or weights: share it with nobody
            else:
                keys.append((type(processor), tuple(sorted(held.items()))))
        return tuple(keys)


def stream_of(seed: int) -> torch.Tensor:
    """State of the host's random stream at its beginning."""
    return torch.Generator().manual_seed(seed).get_state()


def _sdpa_flags() -> tuple[bool, bool, bool]:
    cuda: Any = torch.backends.cuda
    return cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled()


def _function_modes() -> list[TorchFunctionMode]:
    if torch._C._len_torch_function_stack() == 0:
        return []
    return [torch._C._get_function_stack_at(i) for i in range(torch._C._len_torch_function_stack())]
