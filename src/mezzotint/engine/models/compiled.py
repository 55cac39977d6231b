"""Compile denoisers with `torch.compile`, for passes of all widths, and go on without where that fails."""

from collections.abc import Callable
from typing import Any

import structlog
import torch

from mezzotint.engine.device.faults import free_frames, is_device_error
from mezzotint.engine.hub import Hub
from mezzotint.engine.tree import map_leaves

WARM_UP_GROUPS = (1, 2)
"""Runs drawn together: one row and more are two graphs, and each denoiser sees what it is asked for later."""
log = structlog.get_logger()


class _CompiledCall:
    """A module's compiled call. The first that fails where the plain one succeeds is the last."""

    def __init__(self, module: torch.nn.Module, compiled: Callable[..., Any]) -> None:
        self._module = module
        self._compiled = compiled

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        fresh = map_leaves((args, kwargs), lambda leaf: leaf)  # some denoisers empty the lists that they are given
        try:
            return self._compiled(*args, **kwargs)
        except Exception as error:
            if is_device_error(error):
                raise
            free_frames(error)
            reason = " ".join(str(error).split())
        output = self._module._call_impl(*fresh[0], **fresh[1])  # type: ignore[no-untyped-call]
        self._module._compiled_call_impl = None
        name = type(self._module).__name__
        log.warning("not compiled: the model runs as it is", module=name, reason=reason[:300])
        return output


def compile_denoiser(module: Any, backend: Any = "inductor") -> None:
    """Let the module be compiled when it is first called: once for one row and once for more, whatever the size.

    backend: of `torch.compile`. Where it fails, the module is called as it is from then on, which is logged.
    """
    module.compile(dynamic=True, backend=backend)
    module._compiled_call_impl = _CompiledCall(module, module._compiled_call_impl)


def warm_up(hub: Hub, request: Callable[[int], dict[str, Any]]) -> None:
    """Draw small groups, so that no job waits for what is made ready only once. request: by seed."""
    for num_runs in WARM_UP_GROUPS:
        runs = [hub.submit(request(seed)) for seed in range(num_runs)]
        while hub.turn():
            pass
        for run in runs:
            if run.error is not None:
                log.warning("a run of the warm-up failed", error=str(run.error)[:200])
