"""A trace with repeats: the passes that are not made, and that a takedown in between ends the reuse.

    python benchmarks/reuse.py [--out benchmarks/results/reuse.json] [--jobs 40] [--repeats 0.15]

The same trace runs on a server that reuses pictures and on one that does not. Repeats come after their picture is
there, at places that a fixed seed chooses. Then every picture is taken down, and the repeats are asked once more. It
counts, and measures no time: passes of the engine, GPU-seconds of the ledger, files that are equal byte by byte.
"""

import argparse
import json
import os
import random
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import httpx
from serve import MEZZOTINT, Server, hardware

STEPS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "reuse.json")
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--repeats", type=float, default=0.15, help="share of the trace")
    arguments = parser.parse_args()
    trace = make_trace(arguments.jobs, arguments.repeats)
    result: dict[str, Any] = {"hardware": hardware(), "steps": STEPS, "jobs": len(trace)}
    result["repeats"] = len(trace) - len(set(trace))
    for name, reuse in (("drawn", "false"), ("reused", "true")):
        with tempfile.TemporaryDirectory() as folder:
            result[name] = play(Path(folder) / "data", trace, reuse)
    result["passes_saved"] = 1 - result["reused"]["passes"] / result["drawn"]["passes"]
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def make_trace(num_jobs: int, share: float) -> list[int]:
    """Seeds of the requests, in order; a seed that comes again is a repeat."""
    dice = random.Random(7)
    again = set(dice.sample(range(num_jobs // 4, num_jobs), round(share * num_jobs)))
    trace: list[int] = []
    for place in range(num_jobs):
        trace.append(dice.choice(trace) if place in again else place)
    return trace


def play(data: Path, trace: list[int], reuse: str) -> dict[str, Any]:
    server = Server(data, MEZZOTINT_REUSE=reuse)
    try:
        files: dict[int, set[bytes]] = {}
        for seed in trace:
            job = draw(server.client, seed)
            files.setdefault(seed, set()).add(server.client.get(job["images"][0]["png_url"]).content)
        counted = {
            "passes": count(server.client, "engine_passes_total"),
            "hits": count(server.client, 'reuses_total{result="hit"}'),
            "saved_gpu_s": count(server.client, "reuse_saved_gpu_seconds_total"),
            "charged_gpu_s": server.client.get("/v1/usage").json()["months"][0]["gpu_s"],
            "files_a_seed": max(map(len, files.values())),
        }
        take_down_all(server, data)
        jobs = [draw(server.client, seed) for seed in sorted({seed for seed in trace if trace.count(seed) > 1})]
        after = {"asked": len(jobs), "reused": sum(job["reused"] for job in jobs)}
        return {**counted, "after_takedown": after}
    finally:
        server.stop()


def draw(client: httpx.Client, seed: int) -> dict[str, Any]:
    """The job once it succeeded, or was held back."""
    job = client.post("/v1/jobs", json={"prompt": f"a red apple --steps {STEPS}", "seed": seed}).json()
    ended: dict[str, Any] = client.get(f"/v1/jobs/{job['id']}", params={"wait": 60}).json()
    if ended["state"] not in {"succeeded", "blocked"}:
        raise SystemExit(f"job {job['id']} is {ended['state']}: {ended['error']}")
    return ended


def take_down_all(server: Server, data: Path) -> None:
    command = [MEZZOTINT, "token", "--data", str(data), "--tenant", "ops", "--tier", "pro", "--admin"]
    token = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout.strip()
    tenant = server.client.get("/v1/me").json()["tenant"]
    body = {"tenant": tenant, "reason": "benchmark"}
    answer = server.client.post("/v1/admin/takedowns", json=body, headers={"Authorization": f"Bearer {token}"})
    answer.raise_for_status()


def count(client: httpx.Client, name: str) -> float:
    found = re.search(rf"^mezzotint_{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


if __name__ == "__main__":
    main()
