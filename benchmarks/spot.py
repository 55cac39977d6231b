"""Workers whose machines are taken away: how many steps are drawn twice?

    python benchmarks/spot.py [--workers 2] [--every-s 60] [--rounds 10] [--notice-s 5] [--steps 40] [--jobs 400]
        [--ways notice,none,every 10,auto] [--out benchmarks/results/spot.json]

Half of the workers go every minute and are started again; the minute runs from when all draw again. `notice`: by
SIGTERM, and SIGKILL `--notice-s` later, with checkpoints every 10 steps. The other ways have no notice (SIGKILL
alone): without checkpoints, with one every 10 steps, and with the interval that the workers choose. Each worker notes
every step that it ends in a file, at once; a step of a job that stands there twice was drawn twice, and is lost. With
PostgreSQL and a folder of objects, from the starter.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.servers import free_port, running_postgres

MEZZOTINT = str(Path(sys.executable).with_name("mezzotint"))
NOTE_STEPS = """
import os

from mezzotint.worker import device

given = device.DeviceThread._report_step


def note(thread, loaded, job, run):
    file = os.open(os.environ["STEPS_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{job.id} {run.steps}\\n".encode())
    os.close(file)
    given(thread, loaded, job, run)


device.DeviceThread._report_step = note
"""
RUN = f"{NOTE_STEPS}\nfrom mezzotint.main.commands import app\napp()\n"
CHECKPOINTS = {"notice": "10", "none": "1000", "every 10": "10", "auto": "auto"}
READY_S = 300.0


@dataclass
class SpotWorker:
    """A worker process that notes its steps."""

    environment: dict[str, str]
    log: Path
    child: subprocess.Popen[bytes] | None = None
    num_starts: int = 0

    def start(self) -> None:
        self.num_starts = self.num_ready + 1
        with self.log.open("ab") as output:
            command = [sys.executable, "-c", RUN, "worker"]
            self.child = subprocess.Popen(command, stdout=output, stderr=output, env=self.environment)

    def take_away(self, notice_s: float | None) -> bool:
        """End it as a cloud does. notice_s: None: without notice. Returns whether it ended by itself."""
        assert self.child is not None
        if notice_s is not None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(notice_s)
            except subprocess.TimeoutExpired:
                pass
            else:
                return True
        self.child.kill()
        self.child.wait()
        return False

    @property
    def num_ready(self) -> int:
        return self.log.read_text(errors="replace").count("model ready") if self.log.exists() else 0


@dataclass
class SpotSite:
    folder: Path
    url: str
    environment: dict[str, str]
    workers: list[SpotWorker] = field(default_factory=list)

    @property
    def steps_file(self) -> Path:
        return self.folder / "steps.txt"


def run_way(way: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one way of losing workers; the figures."""
    with tempfile.TemporaryDirectory(prefix="mezzotint-spot-") as name, ExitStack() as stack:
        folder, port = Path(name), free_port()
        postgres = stack.enter_context(running_postgres(()))
        environment = os.environ | {
            "MEZZOTINT_DATA": str(folder / "data"),
            "MEZZOTINT_DATABASE": postgres.database(),
            "MEZZOTINT_OBJECTS": str(folder / "objects"),
            "MEZZOTINT_DEVICE": "cpu",
            "MEZZOTINT_LEASE_S": "4",
            "MEZZOTINT_MAX_RUNS": "4",
            "MEZZOTINT_MAX_ATTEMPTS": "50",
            "MEZZOTINT_REUSE": "false",
            "MEZZOTINT_PROVENANCE": "false",
            "MEZZOTINT_CHECKPOINT_EVERY": CHECKPOINTS[way],
            "MEZZOTINT_SHUTDOWN_S": str(max(arguments.notice_s - 1, 1)),
            "OMP_NUM_THREADS": "1",
            "STEPS_FILE": str(folder / "steps.txt"),
        }
        site = SpotSite(folder, f"http://127.0.0.1:{port}", environment)
        gateway = subprocess.Popen(
            [MEZZOTINT, "serve", "--no-worker", "--port", str(port)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(gateway.wait)
        stack.callback(gateway.kill)
        wait_for_gateway(site)
        for n in range(arguments.workers):
            worker = SpotWorker(environment | {"MEZZOTINT_DATA": str(folder / f"worker-{n}")}, folder / f"{n}.log")
            site.workers.append(worker)
            worker.start()
            stack.callback(worker.take_away, None)
        jobs = submit_jobs(site, arguments.jobs, arguments.steps)
        wait_until_ready(site.workers)
        taken = take_workers_away(site, arguments, arguments.notice_s if way == "notice" else None)
        given = {name: getattr(arguments, name) for name in ("every_s", "rounds", "steps")}
        return {"way": way, **given, **taken, **count_steps(site, jobs, taken["ends"])}


def wait_for_gateway(site: SpotSite) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        try:
            if httpx.get(f"{site.url}/healthz", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise SystemExit("the gateway does not answer")


def wait_until_ready(workers: list[SpotWorker]) -> None:
    until = time.monotonic() + READY_S
    while any(worker.num_ready < worker.num_starts for worker in workers):
        if time.monotonic() > until:
            raise SystemExit("\n".join(worker.log.read_text()[-1000:] for worker in workers))
        time.sleep(0.2)


def submit_jobs(site: SpotSite, num_jobs: int, steps: int) -> set[str]:
    command = [MEZZOTINT, "token", "--tenant", "spot", "--tier", "pro"]
    token = subprocess.run(command, check=True, capture_output=True, text=True, env=site.environment).stdout.strip()
    made: set[str] = set()
    with httpx.Client(base_url=site.url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        for n in range(num_jobs):
            body = {"prompt": f"a red apple --seed {n} --steps {steps}", "new": True}
            while (answer := client.post("/v1/jobs", json=body)).status_code == 429:
                if answer.json()["error"]["code"] == "too_many_jobs":
                    return made
                time.sleep(1)
            answer.raise_for_status()
            made.add(answer.json()["id"])
    return made


def take_workers_away(site: SpotSite, arguments: argparse.Namespace, notice_s: float | None) -> dict[str, Any]:
    """Take half of the workers away by turns, each `every_s` seconds after all draw, and start them again."""
    begun, in_time, turn = time.monotonic(), 0, 0
    half = max(arguments.workers // 2, 1)
    for _ in range(arguments.rounds):
        wait_until_ready(site.workers)
        time.sleep(arguments.every_s)
        for _ in range(half):
            victim = site.workers[turn % len(site.workers)]
            in_time += victim.take_away(notice_s)
            victim.start()
            turn += 1
    wait_until_ready(site.workers)
    time.sleep(arguments.every_s)  # what was lost last is drawn again
    for worker in site.workers:
        worker.take_away(60.0)  # in order: what is under way is not counted as lost
    return {"ends": turn, "ended_within_notice": in_time, "seconds": round(time.monotonic() - begun, 1)}


def count_steps(site: SpotSite, jobs: set[str], ends: int) -> dict[str, Any]:
    """A step that stands in the file twice was drawn twice."""
    drawn = Counter(site.steps_file.read_text().split("\n")[:-1])
    lost = sum(number - 1 for number in drawn.values())
    return {
        "jobs": len(jobs),
        "steps_drawn": sum(drawn.values()),
        "steps_lost": lost,
        "mean_steps_lost_an_end": round(lost / ends, 2) if ends else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every-s", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--notice-s", type=float, default=5.0)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--ways", default=",".join(CHECKPOINTS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "spot.json")
    arguments = parser.parse_args()
    from serve import hardware

    said = {name: getattr(arguments, name) for name in ("workers", "notice_s")}
    found: list[dict[str, Any]] = []
    start = hardware()
    for way in arguments.ways.split(","):
        found.append(run_way(way.strip(), arguments))
        print(json.dumps(found[-1]), flush=True)
        arguments.out.write_text(json.dumps({"hardware": start, **said, "ways": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
