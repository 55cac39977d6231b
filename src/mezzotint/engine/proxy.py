"""The seam: proxies for the denoisers and watched samplers on a run's own shallow copy of the pipeline.

`borrow` copies the pipeline object (not its weights), replaces every denoiser by a `DenoiserProxy` and every sampler
and guider by a deep copy of its own, recursively through nested pipelines and with one proxy per real object. The
proxy is not an nn.Module: it only says that it is one, so that assignments to it reach the real module and
`isinstance` holds. Never test a proxy for truth: that calls `__len__`, which most modules lack.

Text encoders and autoencoders are behind a `ComponentProxy`: a run calls them alone, but memory may run out in them,
and pipelines cast shared autoencoders back and forth.
"""

import copy
import functools
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from diffusers import DiffusionPipeline, SchedulerMixin
from diffusers.guiders import BaseGuidance
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from greenlet import getcurrent  # type: ignore[import-untyped]

from mezzotint.engine.tree import map_leaves

DENOISER_NAME = re.compile(r"^(unet|transformer|prior|decoder|controlnet|dit|denoiser)(_\d+)?$")
ENCODER_NAME = re.compile(r"^(text|image)_encoder(_\d+)?$")
CODEC_METHODS = ("encode", "decode")
TIME_PARAMETERS = frozenset({"timestep", "timesteps", "timestep_ratio", "sigma"})


@dataclass(slots=True, eq=False)
class Call:
    """A denoiser call of a run that waits for its answer."""

    module: torch.nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    cache_context: str | None


@dataclass(slots=True, eq=False)
class ComponentCall:
    """A run's call of a text encoder or an autoencoder.

    method: `forward`, `encode` or `decode`. is_widened: whether an autoencoder in float32 is given tensors of half
    precision, and gives such latents back.
    """

    module: torch.nn.Module
    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    is_widened: bool = False

    def make(self) -> Any:
        function: Any = self.module if self.method == "forward" else getattr(self.module, self.method)
        narrow = next((value.dtype for value in self.args if _is_narrow(value)), None) if self.is_widened else None
        if narrow is None:
            return function(*self.args, **self.kwargs)
        output = function(*(value.float() if _is_narrow(value) else value for value in self.args), **self.kwargs)
        return _narrow(output, narrow) if self.method == "encode" else output


class Seam(Protocol):
    """The part of an execution that proxies and samplers call, in its greenlet."""

    cache_context: str | None

    def ask(self, call: Call) -> Any: ...

    def call_component(self, call: ComponentCall) -> Any: ...

    def before_step(self, sampler: Any) -> None: ...

    def after_step(self, sampler: Any, output: Any, model_output: Any) -> Any: ...


def current_run() -> Seam | None:
    """The run whose greenlet is executing; None outside of all runs."""
    return getattr(getcurrent(), "seam", None)


class ModuleProxy:
    """A proxy that says that it is the real module and has its attributes."""

    def __init__(self, real: torch.nn.Module) -> None:
        object.__setattr__(self, "_seam", real)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(object.__getattribute__(self, "_seam"))

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_seam"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(object.__getattribute__(self, "_seam"), name, value)


class ComponentProxy(ModuleProxy):
    """A proxy for a text encoder or an autoencoder; outside of a run it calls straight through."""

    def __init__(self, real: torch.nn.Module) -> None:
        super().__init__(real)
        dtype = next((tensor.dtype for tensor in real.parameters() if tensor.is_floating_point()), None)
        object.__setattr__(self, "_keeps_float32", dtype is torch.float32)

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)
        return functools.partial(self._make, name) if name in CODEC_METHODS and callable(value) else value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._make("forward", *args, **kwargs)

    def to(self, *args: Any, **kwargs: Any) -> "ComponentProxy":
        """Cast or move the real module, but keep one in float32 that was loaded in it.

        Pipelines cast an autoencoder to what the denoiser computes in, which would round its weights for all runs.
        """
        real = object.__getattribute__(self, "_seam")
        if not object.__getattribute__(self, "_keeps_float32"):
            real.to(*args, **kwargs)
        elif (device := torch._C._nn._parse_to(*args, **kwargs)[0]) is not None:
            real.to(device=device)
        return self

    def _make(self, method: str, *args: Any, **kwargs: Any) -> Any:
        is_widened = method in CODEC_METHODS and object.__getattribute__(self, "_keeps_float32")
        call = ComponentCall(object.__getattribute__(self, "_seam"), method, args, kwargs, is_widened)
        run = current_run()
        return call.make() if run is None else run.call_component(call)


class DenoiserProxy(ModuleProxy):
    """A proxy for one denoiser; outside of a run it calls straight through."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        real = object.__getattribute__(self, "_seam")
        run = current_run()
        if run is None:
            return real(*args, **kwargs)
        return run.ask(Call(real, args, kwargs, run.cache_context))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self(*args, **kwargs)

    def __len__(self) -> int:
        return len(object.__getattribute__(self, "_seam"))

    def __iter__(self) -> Iterator[Any]:
        return iter(object.__getattribute__(self, "_seam"))

    def __getitem__(self, index: Any) -> Any:
        return object.__getattribute__(self, "_seam")[index]

    @contextmanager
    def cache_context(self, name: str) -> Iterator[None]:
        """Keep the context's name with the run; the hub opens the real context around the real call."""
        run = current_run()
        if run is None:
            with object.__getattribute__(self, "_seam").cache_context(name):
                yield
            return
        previous, run.cache_context = run.cache_context, name
        try:
            yield
        finally:
            run.cache_context = previous


class WatchedStep:
    """A sampler's `step` that reports to the current run; set on the instance, whose class stays what it was.

    Pipelines deep-copy samplers, or save and restore their `__dict__`, in mid-call: a copy of the sampler gets a step
    of its own, a copy of its `__dict__` keeps this one.
    """

    def __init__(self, sampler: Any) -> None:
        self._sampler = sampler
        real = type(sampler).step
        self.__doc__ = real.__doc__
        parameters = list(inspect.signature(real).parameters.values())[1:]
        self.__signature__ = inspect.Signature(parameters)  # pipelines ask it whether `generator` or `eta` is taken

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        sampler, run = self._sampler, current_run()
        if run is None:
            return type(sampler).step(sampler, *args, **kwargs)
        run.before_step(sampler)
        model_output = args[0] if args else kwargs.get("model_output")
        return run.after_step(sampler, type(sampler).step(sampler, *args, **kwargs), model_output)

    def __deepcopy__(self, memo: dict[int, Any]) -> "WatchedStep":
        return WatchedStep(memo.get(id(self._sampler), self._sampler))


def is_denoiser(name: str, value: Any) -> bool:
    """A module that pipelines call once or more a step: by its usual name, or because it takes a timestep."""
    if not isinstance(value, torch.nn.Module):
        return False
    kind: Any = type(value)
    return DENOISER_NAME.match(name) is not None or _takes_time(kind)


def is_component(name: str, value: Any) -> bool:
    """A text or image encoder, or an autoencoder."""
    is_codec = all(callable(getattr(type(value), method, None)) for method in CODEC_METHODS)
    return isinstance(value, torch.nn.Module) and (is_codec or ENCODER_NAME.match(name) is not None)


def _is_narrow(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype in {torch.float16, torch.bfloat16}


def _narrow(output: Any, dtype: torch.dtype) -> Any:
    """An autoencoder's latents, or their distribution, in the dtype that the pipeline computes in."""

    def change(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            return leaf.to(dtype)
        if isinstance(leaf, DiagonalGaussianDistribution):
            leaf = copy.copy(leaf)
            for name, value in vars(leaf).items():
                setattr(leaf, name, change(value))
        return leaf

    return map_leaves(output, change)


@functools.cache
def _takes_time(cls: Any) -> bool:
    return not TIME_PARAMETERS.isdisjoint(inspect.signature(cls.forward).parameters)


def denoisers_of(pipeline: Any) -> dict[str, torch.nn.Module]:
    """Path -> real module for all denoisers, nested pipelines included."""
    found: dict[str, torch.nn.Module] = {}
    for name, value in vars(pipeline).items():
        if isinstance(value, DiffusionPipeline):
            found |= {f"{name}.{path}": module for path, module in denoisers_of(value).items()}
        elif is_denoiser(name, value):
            found[name] = value
    return found


def borrow(pipeline: Any) -> tuple[Any, list[Any]]:
    """A copy of the pipeline for one run, and its own samplers and guiders in a fixed order."""
    stateful: list[Any] = []
    return _borrow(pipeline, {}, stateful), stateful


def _borrow(pipeline: Any, twins: dict[int, Any], stateful: list[Any]) -> Any:
    twin = copy.copy(pipeline)
    object.__setattr__(twin, "_progress_bar_config", {"disable": True})
    object.__setattr__(twin, "maybe_free_model_hooks", lambda: None)  # offloading hooks are on the shared modules
    for name, value in list(vars(twin).items()):
        if id(value) not in twins:
            made = _stand_in(name, value, twins, stateful)
            if made is None:
                continue
            twins[id(value)] = made
        object.__setattr__(twin, name, twins[id(value)])
    return twin


def _stand_in(name: str, value: Any, twins: dict[int, Any], stateful: list[Any]) -> Any:
    if isinstance(value, DiffusionPipeline):
        return _borrow(value, twins, stateful)
    if is_denoiser(name, value):
        return DenoiserProxy(value)
    if is_component(name, value):
        return ComponentProxy(value)
    is_sampler = isinstance(value, SchedulerMixin) or callable(getattr(value, "set_timesteps", None))
    if not (is_sampler or isinstance(value, BaseGuidance)) or isinstance(value, torch.nn.Module):
        return None
    made = copy.deepcopy(value)
    if is_sampler and callable(getattr(value, "step", None)):
        made.step = WatchedStep(made)
    stateful.append(made)
    return made
