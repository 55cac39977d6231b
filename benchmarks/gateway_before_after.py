"""The gateway of this checkout beside the gateway of another one, in turns.

    python benchmarks/gateway_before_after.py --before ../older-checkout [--rounds 6] [--pictures 10000] [--seconds 6]

Both gateways run at once, each as a process of its own over a database of its own that its own code filled; they take
turns, and the order of the two changes every round. A ratio over 1 says that this checkout is the better one. The load
and its kinds are those of `gateway.py`. CPU time is that of the server's process, and noise of the machine moves it
least.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from gateway import free_port, hardware, until_ready
from gateway_load import RATE, Endpoint, flood, quantile, steady

HERE = Path(__file__).parents[1]
sys.path.insert(0, str(HERE))
KINDS = ("submit", "status", "list")
Sample = dict[str, float]
"""Milliseconds by kind and quantile, submits a second, milliseconds of CPU a request."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "benchmarks" / "results" / "gateway_before_after.json")
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=6)
    arguments = parser.parse_args()
    from tests.servers import running_postgres

    roots = {"before": arguments.before.resolve(), "after": HERE}
    result: dict[str, Any] = {"hardware": hardware(), "rounds": arguments.rounds, "pictures": arguments.pictures}
    result["commits"] = {name: commit_of(root) for name, root in roots.items()}
    with tempfile.TemporaryDirectory() as folder:
        databases = {name: f"sqlite:///{Path(folder) / name}.db" for name in roots}
        result["sqlite"] = asyncio.run(compare(roots, databases, arguments))
    with running_postgres(settings=()) as postgres:
        databases = {name: postgres.database() for name in roots}
        result["postgresql"] = asyncio.run(compare(roots, databases, arguments))
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


async def compare(roots: dict[str, Path], databases: dict[str, str], arguments: argparse.Namespace) -> dict[str, Any]:
    samples: dict[str, list[Sample]] = {name: [] for name in roots}
    ids = {name: fill(root, databases[name], arguments.pictures) for name, root in roots.items()}
    with gateway(roots["before"], databases["before"]) as before, gateway(roots["after"], databases["after"]) as after:
        servers = {"before": before, "after": after}
        endpoints = {name: Endpoint(port=port, jobs=ids[name]) for name, (_, port) in servers.items()}
        for endpoint in endpoints.values():
            await until_ready(endpoint)
            await steady(endpoint, 3)  # the first requests compile statements and open connections
        for number in range(arguments.rounds):
            for name in sorted(roots, reverse=bool(number % 2)):
                samples[name].append(await measure(endpoints[name], servers[name][0], arguments.seconds))
            print(json.dumps({name: some[-1] for name, some in samples.items()}), file=sys.stderr, flush=True)
    return {"medians": {name: medians(some) for name, some in samples.items()}, "ratios": ratios(**samples)}


async def measure(endpoint: Endpoint, process: psutil.Process, seconds: float) -> Sample:
    begun = cpu_ms(process)
    took = await steady(endpoint, seconds)
    sample = {f"{kind}_p{at}": quantile(took[kind], at / 100) for kind in KINDS for at in (50, 99)}
    sample["cpu_ms_of_steady"] = (cpu_ms(process) - begun) / (RATE * seconds)
    begun = cpu_ms(process)
    sample["submits_per_s"] = await flood(endpoint, seconds / 2)
    sample["cpu_ms_of_submit"] = (cpu_ms(process) - begun) / (sample["submits_per_s"] * seconds / 2)
    return sample


def cpu_ms(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:2])) * 1000


def medians(samples: list[Sample]) -> Sample:
    return {name: round(statistics.median(one[name] for one in samples), 3) for name in samples[0]}


def ratios(before: list[Sample], after: list[Sample]) -> dict[str, dict[str, float]]:
    """By figure: the median and the range of the rounds' ratios, over 1 where this checkout is better."""
    found = {}
    for name in before[0]:
        pairs = [(old[name], new[name]) for old, new in zip(before, after, strict=True)]
        rates = sorted(new / old if name == "submits_per_s" else old / new for old, new in pairs)
        spread = {"median": statistics.median(rates), "lowest": rates[0], "highest": rates[-1]}
        found[name] = {key: round(value, 3) for key, value in spread.items()}
    return found


@contextmanager
def gateway(root: Path, database: str) -> Iterator[tuple[psutil.Process, int]]:
    """The gateway of a checkout as a process without a worker, and its port."""
    port = free_port()
    command = [sys.executable, str(root / "benchmarks" / "gateway.py"), "--serve", database, str(port)]
    with subprocess.Popen(command, env=environment(root), stdout=subprocess.DEVNULL) as process:
        try:
            yield psutil.Process(process.pid), port
        finally:
            process.terminate()


def fill(root: Path, database: str, num_pictures: int) -> list[str]:
    code = "import sys, json, asyncio, gateway; sys.path.insert(0, '..')\n"
    code += "print(json.dumps(asyncio.run(gateway.fill(sys.argv[1], int(sys.argv[2])))))"
    command = [sys.executable, "-c", code, database, str(num_pictures)]
    folder = root / "benchmarks"
    said = subprocess.run(command, env=environment(root), cwd=folder, check=True, capture_output=True, text=True)
    return list(json.loads(said.stdout.splitlines()[-1]))


def environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}


def commit_of(root: Path) -> str:
    said = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, check=True, capture_output=True, text=True)
    return said.stdout.strip()


if __name__ == "__main__":
    main()
