"""Check 12: half precision, texts of unequal length, snapshots, and a stop in the middle of a pass."""

import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import torch
from serve import Server

from gpu_checks.drive import draw, turn_until_idle
from gpu_checks.exactness import first_call
from gpu_checks.faults import count_states, submit_jobs
from gpu_checks.models import FLUX, QWEN, SD3, Family, Made, Size, make
from gpu_checks.report import Check, Finding, Setup
from mezzotint.config import Settings
from mezzotint.engine import Hub
from mezzotint.engine.batching.merge import Layout, merge, split

TOLERANCE_SHARE = 0.5
SNAPSHOT_S = 0.002
STOP_S: float = Settings.model_fields["shutdown_s"].default
BEGIN_S = 180.0
JOBS = {Size.FULL: 24, Size.TOY: 4}
DTYPES = (torch.float16, torch.bfloat16)


def check_dtypes(setup: Setup) -> Finding:
    failures, errors = [], {}
    for family in (SD3, FLUX, QWEN):
        for dtype in DTYPES:
            name = f"{family.name} {str(dtype).removeprefix('torch.')}"
            made = make(family, setup.device, dtype, Size.TOY)
            errors[name] = error = measure_merge(made)
            tolerance = setup.numerics(exact=False, dtype=dtype).tolerance()
            if not error < tolerance * TOLERANCE_SHARE:
                failures.append(f"{name}: merged and separate calls are {error:.2e} apart; tolerance {tolerance:.2e}")
    padded = _draw_unequal_texts(setup)
    if not padded:
        failures.append("Qwen-Image: texts of unequal length shared no pass")
    snapshot_s = _time_snapshot(setup, SD3)
    if setup.is_gpu and snapshot_s > SNAPSHOT_S:
        failures.append(f"a snapshot takes {1e3 * snapshot_s:.1f} ms of the device's thread")
    stop = _stop_mid_pass(setup)
    failures += stop["failures"]
    worst = max(errors.values())
    return Finding(
        found=f"worst error {worst:.1e}; {padded} padded passes; snapshot {1e3 * snapshot_s:.2f} ms; "
        f"stopped in {stop['seconds']:.1f} s, jobs {stop['states']}",
        failures=tuple(failures),
        figures={"errors": errors, "padded": padded, "snapshot_s": snapshot_s, "stop": stop},
        stands_in="the CPU's half precision; the snapshot's time is not judged",
    )


def measure_merge(made: Made) -> float:
    """Largest difference of a merged pass from separate ones, over the largest value; infinite if any is not finite."""
    calls = [first_call(made, 64, number) for number in range(4)]
    with torch.no_grad():
        separate = [call.module(*call.args, **call.kwargs)[0] for call in calls]
        merged = merge(calls, Layout())
        output = calls[0].module(*merged.args, **merged.kwargs)
    rows = [part.shape[0] for part in separate]
    parts = [part[0] for part in split(output, rows, Layout(), lists=False)]
    worst = 0.0
    for mine, theirs in zip(parts, separate, strict=True):
        if not (torch.isfinite(mine).all() and torch.isfinite(theirs).all()):
            return float("inf")
        worst = max(worst, float((mine.float() - theirs.float()).abs().max() / theirs.float().abs().max()))
    return worst


def _draw_unequal_texts(setup: Setup) -> int:
    made = make(QWEN, setup.device, setup.dtype, Size.TOY)
    hub = Hub(made.pipeline, exact=False)
    draw(hub, [made.request(i, 3, 64, tokens=9 + 4 * i) for i in range(3)])
    return hub.num_merged


def _time_snapshot(setup: Setup, family: Family) -> float:
    made = make(family, setup.device, setup.dtype, Size.TOY)
    hub = Hub(made.pipeline, exact=False)
    run = hub.submit(made.request(0, 12, setup.side_px(1024)))
    seconds = []
    for _ in range(6):
        hub.turn()
        setup.numerics(exact=False).synchronize()
        begun = time.perf_counter()
        if run.snapshot() is not None:
            seconds.append(time.perf_counter() - begun)
    turn_until_idle(hub)
    return min(seconds)


def _stop_mid_pass(setup: Setup) -> dict[str, Any]:
    """SIGTERM to a server that draws: it puts its runs aside with checkpoints and ends with 0."""
    data = setup.folder / "stopped"
    server = Server(data, "--device", str(setup.device), MEZZOTINT_RATE_SCALE="0")
    try:
        jobs = submit_jobs(server, JOBS[setup.size], steps=80, side_px=128)
        _wait_for_step(server.client, jobs[0])
        begun = time.monotonic()
        server.client.close()
        server.process.terminate()
        code = server.process.wait(3 * STOP_S)
    except subprocess.TimeoutExpired:
        server.process.kill()
        code = None
    finally:
        server.stop()
    seconds, states = time.monotonic() - begun, count_states(data)
    checkpoints = _count_checkpoints(data)
    failures = []
    if code != 0:
        failures.append(f"the stopped server ended with {code}")
    if seconds > STOP_S:
        failures.append(f"the server took {seconds:.1f} s to stop")
    if not set(states) <= {"queued", "succeeded"} or not checkpoints:
        failures.append(f"jobs are {states} with {checkpoints} checkpoints")
    return {"seconds": seconds, "code": code, "states": states, "checkpoints": checkpoints, "failures": failures}


def _wait_for_step(client: httpx.Client, job: str) -> None:
    until = time.monotonic() + BEGIN_S
    while time.monotonic() < until:
        if client.get(f"/v1/jobs/{job}").json()["step"] > 0:
            return
        time.sleep(0.02)
    raise RuntimeError(f"no step in {BEGIN_S:.0f} s")


def _count_checkpoints(data: Path) -> int:
    connection = sqlite3.connect(data / "mezzotint.db")
    try:
        return int(connection.execute("SELECT count(*) FROM checkpoints").fetchone()[0])
    finally:
        connection.close()


CHECKS = (
    Check(
        number=12,
        name="half precision, and a stop",
        expected="finite in float16 and bfloat16, merged calls within half the tolerance, unequal texts merged, "
        f"a snapshot in 2 ms; SIGTERM ends a server with 0 in {STOP_S:.0f} s, its jobs queued with checkpoints",
        make=check_dtypes,
    ),
)
