"""Checks 7 to 9: memory that runs out in passes and in a decode, NaN, and a lost device."""

import functools
import os
import sqlite3
import subprocess
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from serve import Server

from gpu_checks.drive import digest, draw, run_out_of_memory, turn_until_idle
from gpu_checks.models import SDXL, Made, make
from gpu_checks.report import Check, Finding, Setup
from mezzotint.domain.errors import NotFinite, OutOfMemory
from mezzotint.engine import Hub
from mezzotint.main.options import ExitCode

RUNS = 4
ROWS_LEFT = 5.2  # rows that memory is left for: two runs fit into a pass, three do not
SHORTAGE = "memory ran out at this width"
DEVICE_LOST = int(ExitCode.DEVICE_LOST)
EXIT_S = 120
FAULT = """
from pathlib import Path

from mezzotint.engine.components import Components
from mezzotint.engine.device import lost

armed, broken = Path({armed!r}), []
call, probe = Components.call, lost.probe


def failing_call(self, component_call):
    import torch

    if armed.exists():
        armed.unlink()
        device = self._numerics.device
        if device.type == "cuda":  # an index beyond the end: the kernel stops, and the context is lost
            torch.zeros(4, device=device)[torch.full((1,), 10**6, device=device)]
            torch.cuda.synchronize(device)
        broken.append(True)
    if broken:
        raise RuntimeError("CUDA error: device-side assert triggered")
    return call(self, component_call)


def failing_probe(device):
    if broken:
        raise RuntimeError("CUDA error: device-side assert triggered")
    probe(device)


Components.call, lost.probe = failing_call, failing_probe
"""


def check_passes(setup: Setup) -> Finding:
    """Four runs in memory for two: fast mode narrows its passes, exact mode keeps its bits."""
    made = make(SDXL, setup.device, setup.dtype, setup.size)
    side_px = setup.side_px(1024)

    def requests() -> list[dict[str, Any]]:
        return [made.request(i, 5, side_px) for i in range(RUNS)]

    expected = [digest(run) for run in draw(_exact_hub(made), requests())]
    verdicts: dict[str, str] = {}
    hub = Hub(made.pipeline, exact=False, verdicts=verdicts)
    with _short_memory(setup, made, side_px), _watch_passes(setup, made) as kept:
        draw(hub, requests())
        exact = [digest(run) for run in draw(_exact_hub(made), requests())]
    failed = hub.unmerged_reasons[SHORTAGE]
    failures = []
    if failed > 1:
        failures.append(f"{failed} passes failed in fast mode")
    if "wrong" in verdicts.values():
        failures.append("want of memory was written down as a wrong merge")
    if exact != expected:
        failures.append("exact mode drew other bits")
    if any(kept):
        failures.append(f"{max(kept)} bytes of a failed pass were held when the next began")
    return Finding(
        found=f"{failed} failed passes, {hub.num_merged} shared ones, verdicts {sorted(set(verdicts.values()))}",
        failures=tuple(failures),
        figures={"failed": failed, "merged": hub.num_merged, "passes": hub.num_passes, "held_bytes": kept},
        stands_in="passes of more than 4 rows ask the allocator for a petabyte",
    )


def _exact_hub(made: Made) -> Hub:
    return Hub(made.pipeline, exact=True, fixed_rows=SDXL.own_rows)


@contextmanager
def _short_memory(setup: Setup, made: Made, side_px: int) -> Iterator[None]:
    """Take all of a GPU's memory but what `ROWS_LEFT` rows need. A CPU's is left alone."""
    if not setup.is_gpu:
        yield
        return
    scout = Hub(made.pipeline, exact=False)
    draw(scout, [made.request(0, 2, side_px)])
    rows, num_bytes = scout.largest_pass or (1, 0)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(setup.device)
    ballast = torch.empty(max(0, free - int(num_bytes / rows * ROWS_LEFT)), dtype=torch.uint8, device=setup.device)
    yield
    del ballast


@contextmanager
def _watch_passes(setup: Setup, made: Made) -> Iterator[list[int]]:
    """Yields, for every pass after a failed one, the bytes that the failed one still held: 0 each, where all is well.

    On a CPU passes of too many rows ask for more memory than there is.
    """
    held: list[int] = []
    failed: list[weakref.ref[torch.Tensor]] = []
    real = made.denoiser.forward

    @functools.wraps(real)
    def forward(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if failed:
            found = failed.pop()()
            held.append(0 if found is None else found.numel() * found.element_size())
            del found
        activations = torch.ones(1024, device=setup.device)
        try:
            if not setup.is_gpu and sample.shape[0] > ROWS_LEFT:
                run_out_of_memory(setup.device)
            return real(sample, *args, **kwargs)
        except RuntimeError:
            failed.append(weakref.ref(activations))
            raise

    made.denoiser.forward = forward  # type: ignore[method-assign]
    try:
        yield held
    finally:
        made.denoiser.forward = real  # type: ignore[method-assign]


def check_decode(setup: Setup) -> Finding:
    """A VAE that must be upcast runs out of memory, then gives NaN; the runs after it draw."""
    made = make(SDXL, setup.device, torch.float16, setup.size, vae="real")
    vae = made.pipeline.vae
    real, side_px = vae.decode, setup.side_px(512)
    hub = Hub(made.pipeline, exact=False)

    def draw_with(decode: Callable[..., Any]) -> BaseException | None:
        vae.decode = decode
        run = hub.submit(made.request(0, 2, side_px, output_type="pil"))
        turn_until_idle(hub)
        return run.error

    def never(*args: Any, **kwargs: Any) -> Any:
        run_out_of_memory(setup.device)

    def nan(*args: Any, **kwargs: Any) -> Any:
        return (real(*args, **kwargs)[0] * float("nan"),)

    tries: list[str] = []

    def once(*args: Any, **kwargs: Any) -> Any:
        tries.append("decode")
        return never() if len(tries) == 1 else real(*args, **kwargs)

    found = {
        "memory runs out once": draw_with(once),
        "memory runs out always": draw_with(never),
        "the next run": draw_with(real),
        "NaN": draw_with(nan),
        "the run after": draw_with(real),
    }
    wanted: dict[str, type | None] = dict.fromkeys(found)
    wanted |= {"memory runs out always": OutOfMemory, "NaN": NotFinite}
    kinds = {name: None if error is None else type(error) for name, error in found.items()}
    failures = [f"{name}: {found[name]!r}" for name, kind in kinds.items() if kind is not wanted[name]]
    if vae.dtype is not torch.float16:
        failures.append(f"the VAE is left in {vae.dtype}")
    names = {name: "a picture" if kind is None else kind.__name__ for name, kind in kinds.items()}
    return Finding(
        found=", ".join(f"{name}: {kind}" for name, kind in names.items()),
        failures=tuple(failures),
        figures={"outcomes": names, "tries": len(tries)},
        stands_in="the CPU's allocator, asked for a petabyte; NaN is put in on every device",
    )


def check_lost_device(setup: Setup) -> Finding:
    """A server whose device fails ends at once and gives all its jobs back."""
    folder = setup.folder / "lost"
    folder.mkdir()
    armed, data = folder / "armed", folder / "data"
    (folder / "sitecustomize.py").write_text(FAULT.format(armed=str(armed)))
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    server = Server(
        data,
        "--device",
        str(setup.device),
        PYTHONPATH=path,
        MEZZOTINT_RATE_SCALE="0",
        MEZZOTINT_MAX_ATTEMPTS="1",
    )
    try:
        submit_jobs(server, 2 * RUNS, steps=30)
        armed.touch()
        code = server.process.wait(EXIT_S)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        with suppress(ProcessLookupError):
            server.stop()
    states = count_states(data)
    failures = []
    if code != DEVICE_LOST:
        failures.append(f"the process ended with {code}, not {DEVICE_LOST}")
    if states.get("failed"):
        failures.append(f"{states['failed']} dead letters")
    return Finding(
        found=f"exit code {code}; jobs {states}",
        failures=tuple(failures),
        figures={"code": code, "states": states},
        stands_in="the error is put in, and every probe of the device fails from then on",
    )


def submit_jobs(server: Server, count: int, *, steps: int, side_px: int = 64) -> list[str]:
    jobs = []
    for seed in range(count):
        body = {"prompt": f"a red apple --steps {steps}", "seed": seed, "width": side_px, "height": side_px}
        answer = server.client.post("/v1/jobs", json=body)
        answer.raise_for_status()
        jobs.append(answer.json()["id"])
    return jobs


def count_states(data: Path) -> dict[str, int]:
    """How many jobs are in each state, as a server left them on disk."""
    connection = sqlite3.connect(data / "mezzotint.db")
    try:
        return dict(connection.execute("SELECT state, count(*) FROM jobs GROUP BY state"))
    finally:
        connection.close()


CHECKS = (
    Check(
        number=7,
        name="memory that runs out in passes",
        expected="of 4 runs in memory for 2: at most 1 failed pass, nothing of it held, no `wrong`, exact bits kept",
        make=check_passes,
    ),
    Check(
        number=8,
        name="memory that runs out in a decode, and NaN",
        expected="a second try draws, OutOfMemory and NotFinite fail their run alone, the next runs draw",
        make=check_decode,
    ),
    Check(
        number=9,
        name="a lost device",
        expected=f"a server ends with code {DEVICE_LOST} at once; no dead letter",
        make=check_lost_device,
    ),
)
