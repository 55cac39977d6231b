"""Rollouts on a real fleet under load: a broken version goes back by itself, a good one reaches every worker.

    python benchmarks/fleet_rollout_live.py [--every 1.5] [--out benchmarks/results/fleet_rollout_live.json]

Ray of one node, two workers, PostgreSQL and a gateway on this machine, all on 127.0.0.1; a job of 4 steps comes every
--every seconds throughout. The broken version has weights that pass every check and overflow in each run. The good one
is the same code and weights under another label. How the rule decides in large fleets: `fleet_rollout.py`.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
from safetensors.torch import load_file, save_file
from serve import hardware

sys.path.insert(0, str(Path(__file__).parents[1]))
from mezzotint.engine.models.files import STARTER, locate
from mezzotint.store import Database
from tests.acceptance.conftest import finished, served
from tests.integration.test_fleet import MODELS, RayFleet, has_ready
from tests.servers import running_postgres


def break_model(folder: Path) -> Path:
    """The starter with weights that pass every check of files and overflow in each run."""
    shutil.copytree(locate(STARTER), folder, ignore=shutil.ignore_patterns("SHA256SUMS"))
    file = folder / "unet/diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    save_file(tensors | {"conv_out.weight": tensors["conv_out.weight"].float() * 0 + 1e38}, file)
    return folder


class Traffic(threading.Thread):
    """Posts a job every so many seconds until it is stopped."""

    def __init__(self, client: httpx.Client, every_s: float) -> None:
        super().__init__(daemon=True)
        self.client, self.every_s, self.jobs, self.is_over = client, every_s, [], threading.Event()

    def run(self) -> None:
        while not self.is_over.wait(self.every_s):
            prompt = f"a red apple --seed {len(self.jobs)} --steps 4"
            self.jobs.append(self.client.post("/v1/jobs", json={"prompt": prompt}).json())


def roll_out(fleet: RayFleet, *arguments: str) -> dict[str, Any]:
    """The rollout when it is over, with the seconds of its phases."""
    code, told = fleet.run("rollout", *arguments)
    assert code == 0, told
    entered: dict[str, float] = {}

    def is_over(found: dict[str, Any]) -> bool:
        entered.setdefault(found["rollout"]["phase"], time.monotonic())
        return found["rollout"]["phase"] in ("done", "went back")

    found = fleet.wait(is_over)["rollout"]
    times = list(entered.items())
    took = {phase: round(after - at, 1) for (phase, at), (_, after) in pairwise(times)}
    kept = {name: found[name] for name in ("version", "phase", "reason", "new", "previous")}
    print(kept, took, flush=True)
    return {**kept, "seconds in phases": took}


def measure(every_s: float) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(running_postgres())
        environment = {"MEZZOTINT_DATABASE": postgres.database(), "MEZZOTINT_OBJECTS": str(folder / "objects")}
        environment |= {"MEZZOTINT_TEXT_CLASSIFIER": "false"}
        command = [sys.executable, "-m", "tests.ray_cluster", "1", "2"]
        cluster = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert cluster.stdin is not None
        assert cluster.stdout is not None
        stack.callback(cluster.wait, 60)
        stack.callback(cluster.stdin.close)
        address = next(line.split()[1] for line in cluster.stdout if line.startswith("cluster "))
        loop, database = stack.enter_context(asyncio.Runner()), Database(environment["MEZZOTINT_DATABASE"])
        stack.callback(lambda: loop.run(database.close()))
        fleet = RayFleet(folder, address, environment, cluster.pid, database, loop)
        stack.callback(fleet.run, "down", "--now")
        server = stack.enter_context(served(folder / "data", "--no-worker", **environment))
        client = stack.enter_context(server.client())
        code, told = fleet.up()
        assert code == 0, told
        fleet.scale(2)
        fleet.wait(has_ready(2))
        traffic = Traffic(client, every_s)
        traffic.start()
        (folder / "broken.toml").write_text(MODELS.format(folder=break_model(folder / "broken")))
        broken = roll_out(fleet, "--models", str(folder / "broken.toml"), "--version", "broken")
        fleet.wait(has_ready(2))
        good = roll_out(fleet, "--version", "good")
        traffic.is_over.set()
        traffic.join()
        ended = [finished(client, job) for job in traffic.jobs]
        states = Counter(job["state"] for job in ended)
        return {"broken": broken, "good": good, "jobs": dict(states), "hardware": hardware()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=float, default=1.5)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    result = measure(asked.every)
    print(json.dumps(result, indent=2))
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
