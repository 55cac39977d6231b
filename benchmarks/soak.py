"""Mixed traffic with attackers among the tenants: do honest tenants notice?

    python benchmarks/soak.py [--minutes 30] [--rounds 6] [--out benchmarks/results/soak.json]

One `mezzotint serve` (SQLite, starter model, one process) answers three honest tenants throughout: they submit, read
status, list pictures and fetch them at fixed times, and latency counts from the time at which a request was due. In
each round they are first alone (quiet), then hostile tenants and strangers do all that `soak_attacks.py` knows
(attacked). `--minutes` is the attacked time of all rounds together; a quiet part lasts a fifth of an attacked one. With
the start and the last jobs, 30 minutes of attacks take at most 38.

Two things make the parts comparable. A fourth honest tenant keeps as many jobs open as a free tenant may, in both parts
alike: drawing shares the process with requests, and a worker that draws would otherwise be compared with one that
rests. And the hostile clients run at nice 19, since attackers do not run on the server's cores; what the server does
for them is not slowed.

Reported: p50, p99 and worst of both parts and their ratios by round, answers by status, the server's memory at the end
of each part, and how often the server had to be started (once).
"""

import argparse
import asyncio
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psutil
from gateway_load import SECRET, Endpoint, Times, Wire, latency, quantile

HERE = Path(__file__).parent
MEZZOTINT = str(Path(sys.executable).with_name("mezzotint"))
NICENESS = 19
"""Of the hostile clients."""
HONEST = ("pro", "paid", "free")
REQUESTS_PER_S = 12
SECONDS_PER_JOB = 1.0
NUM_STEPS = 20
BUSY = "busy"
BUSY_EVERY_S = 3.0
"""How often the fourth tenant asks for three pictures; 429 says that it has as many open jobs as it may."""
QUIET_SHARE = 5
WAIT_FOR_JOBS_S = 45


@dataclass
class Honest:
    """Three tenants who do what the page does, at fixed times, and one that keeps the worker busy (`free_endpoint`)."""

    port: int
    endpoint: Endpoint
    free_endpoint: Endpoint
    wires: list[Wire] = field(default_factory=list)
    jobs: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    pictures: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    submitted: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    seeds: Iterator[int] = field(default_factory=count)

    async def act(self, seconds: float) -> Times:
        """Milliseconds by kind of request. Requests that come late are sent all the same."""
        took: Times = defaultdict(list)
        begun = time.monotonic()
        every = int(SECONDS_PER_JOB * REQUESTS_PER_S)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.keep_worker_busy(begun + seconds))
            for number in range(int(seconds * REQUESTS_PER_S)):
                due = begun + number / REQUESTS_PER_S
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                kind = "submit" if number % every == 0 else ("status", "list", "picture")[number % 3]
                group.create_task(self.ask(kind, HONEST[(number // 3) % 3], due, took))
        return took

    async def keep_worker_busy(self, until: float) -> None:
        """Submit as many jobs as a free tenant may have open, until this time; they are not among the figures."""
        while time.monotonic() < until:
            order = {"prompt": "{red, green, blue} apple --steps 30", "new": True}
            request = self.free_endpoint.request("POST", "/v1/jobs", BUSY, json.dumps(order).encode())
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                status, _ = await self.send(request)
                self.statuses[f"busy {status}"] += 1
            await asyncio.sleep(min(BUSY_EVERY_S, max(0.0, until - time.monotonic())))

    async def ask(self, kind: str, tenant: str, due: float, took: Times) -> None:
        jobs, pictures = self.jobs[tenant], self.pictures[tenant]
        if kind == "submit":
            body = json.dumps({"prompt": "a red apple", "seed": next(self.seeds), "num_steps": NUM_STEPS}).encode()
            request = self.endpoint.request("POST", "/v1/jobs", tenant, body)
        elif kind == "status" and jobs:
            request = self.endpoint.request("GET", f"/v1/jobs/{jobs[-1]}", tenant)
        elif kind == "picture" and pictures:
            request = self.endpoint.request("GET", pictures[-1], tenant)
        else:
            kind, request = "list", self.endpoint.request("GET", "/v1/images?limit=24", tenant)
        try:
            status, body = await self.send(request)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            status, body = 0, type(error).__name__.encode()
        took[kind].append((time.monotonic() - due) * 1000)
        self.statuses[f"{kind} {status or body.decode()}"] += 1
        if status == 202:
            jobs.append(json.loads(body)["id"])
            self.submitted[tenant] += 1
        elif status == 200 and kind == "list":
            pictures[:] = [one["url"] for one in json.loads(body)["images"]][:1]

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """One request on a kept connection; a connection that the server has closed is opened anew once."""
        for is_last in (False, True):
            wire = self.wires.pop() if self.wires and not is_last else await Wire.open(self.port)
            try:
                async with asyncio.timeout(30):
                    answer = await wire.ask(request)
            except (OSError, asyncio.IncompleteReadError):
                wire.writer.close()
                if is_last:
                    raise
                continue
            self.wires.append(wire)
            return answer
        raise AssertionError

    async def unfinished(self) -> dict[str, int]:
        """States of all accepted jobs, once each has ended or `WAIT_FOR_JOBS_S` have passed."""
        states: Counter[str] = Counter()
        until = time.monotonic() + WAIT_FOR_JOBS_S
        for tenant, jobs in self.jobs.items():
            for job in jobs:
                while True:
                    _, body = await self.send(self.endpoint.request("GET", f"/v1/jobs/{job}", tenant))
                    state = json.loads(body).get("state", "?")
                    if state not in {"queued", "running"} or time.monotonic() > until:
                        break
                    await asyncio.sleep(0.5)
                states[state] += 1
        return dict(states)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "soak.json")
    arguments = parser.parse_args()
    attacked_s = arguments.minutes * 60 / arguments.rounds
    with tempfile.TemporaryDirectory(prefix="mezzotint-soak-") as folder, serving(Path(folder)) as (process, port):
        try:
            result = asyncio.run(soak(process, port, attacked_s, arguments.rounds))
        except OSError as error:
            raise SystemExit(f"the server no longer answers ({error}); its exit code: {process.poll()}") from error
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


async def soak(process: subprocess.Popen[bytes], port: int, attacked_s: float, rounds: int) -> dict[str, Any]:
    machine = hardware()
    honest = Honest(port, Endpoint(port=port, jobs=[]), Endpoint(port=port, jobs=[], tier="free"))
    await until_ready(honest)
    await honest.act(20)  # the first requests compile statements and open connections
    server = psutil.Process(process.pid)
    parts: dict[str, list[Times]] = {"quiet": [], "attacked": []}
    memory: list[dict[str, float]] = []
    attacks: Counter[str] = Counter()
    for number in range(rounds):
        parts["quiet"].append(await honest.act(attacked_s / QUIET_SHARE))
        quiet_mib = resident_mib(server)
        with attacking(port, attacked_s) as attacker:
            parts["attacked"].append(await honest.act(attacked_s))
            attacks.update(await asyncio.to_thread(told_by, attacker))
        memory.append({"after_quiet_mib": quiet_mib, "after_attack_mib": resident_mib(server)})
        print(f"round {number + 1}: {summary(parts, number)} {memory[-1]}", file=sys.stderr, flush=True)
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}")
    return {
        "hardware": machine,
        "attacked_minutes": attacked_s * rounds / 60,
        "is_worker_busy_throughout": True,
        "hostile_niceness": NICENESS,
        "rounds": [summary(parts, number) for number in range(rounds)],
        "latency_ms": {name: latency(merged(some)) for name, some in parts.items()},
        "worst_ms": {name: max(max(times) for one in some for times in one.values()) for name, some in parts.items()},
        "p99_ratio": ratios(parts, 0.99),
        "memory": memory,
        "restarts": 0,
        "honest_answers": dict(honest.statuses),
        "honest_jobs": await honest.unfinished(),
        "hostile_answers": dict(sorted(attacks.items())),
    }


def all_times(times: Times) -> list[float]:
    return [one for some in times.values() for one in some]


def summary(parts: dict[str, list[Times]], number: int) -> dict[str, float]:
    quiet, attacked = (all_times(parts[name][number]) for name in ("quiet", "attacked"))
    return {
        "quiet_p99_ms": quantile(quiet, 0.99),
        "attacked_p99_ms": quantile(attacked, 0.99),
        "ratio": round(quantile(attacked, 0.99) / quantile(quiet, 0.99), 2),
    }


def ratios(parts: dict[str, list[Times]], at: float) -> dict[str, float]:
    found = sorted(
        quantile(all_times(attacked), at) / quantile(all_times(quiet), at)
        for quiet, attacked in zip(parts["quiet"], parts["attacked"], strict=True)
    )
    return {
        "median": round(found[len(found) // 2], 2),
        "min": round(found[0], 2),
        "max": round(found[-1], 2),
    }


def merged(some: list[Times]) -> Times:
    whole: Times = defaultdict(list)
    for one in some:
        for kind, times in one.items():
            whole[kind] += times
    return whole


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`mezzotint serve` as one starts it on one machine."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    command = [MEZZOTINT, "serve", "--port", str(port), "--data", str(folder / "data"), "--device", "cpu"]
    environment = {**os.environ, "MEZZOTINT_TOKEN_SECRET": SECRET.decode(), "OMP_NUM_THREADS": "1"}
    environment["MEZZOTINT_REUSE"] = "false"  # equal requests are drawn
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield process, port
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
            tail = (folder / "log").read_text(errors="replace")
            print(tail[-3000:] if "Traceback" in tail or "error" in tail else "", file=sys.stderr)


@contextmanager
def attacking(port: int, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """The hostile clients, in a process of their own."""
    command = [sys.executable, str(HERE / "soak_attacks.py"), str(port), str(seconds), str(NICENESS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def told_by(attacker: subprocess.Popen[str]) -> dict[str, int]:
    """Answers that the hostile clients got, by attack and status."""
    assert attacker.stdout is not None
    output = attacker.stdout.read()
    if attacker.wait(60) != 0:
        raise SystemExit("the hostile clients failed")
    answers: dict[str, int] = json.loads(output)
    return answers


async def until_ready(honest: Honest) -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until:
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            _, body = await honest.send(honest.endpoint.request("GET", "/healthz", "free"))
            if json.loads(body)["status"] == "ok":
                return
        await asyncio.sleep(0.3)
    raise SystemExit("the server did not become ready")


def resident_mib(server: psutil.Process) -> float:
    """Of the server and the processes that it has started."""
    some = [server, *server.children(recursive=True)]
    return round(sum(one.memory_info().rss for one in some) / 2**20, 1)


def hardware() -> dict[str, Any]:
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_average_at_start": round(os.getloadavg()[0], 2),
    }


if __name__ == "__main__":
    main()
