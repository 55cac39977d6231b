"""Jobs while workers are killed: is any lost, finished twice, charged twice, or drawn differently?

    python benchmarks/durability.py [--database postgres|sqlite] [--jobs 200] [--workers 3] [--every-s 15] [--faults]
        [--steps 12] [--out benchmarks/results/durability.json]

Three workers (with SQLite: the one server) are killed with -9 at random moments and started again. Equal prompts with
equal seeds recur among the jobs: their pictures must have equal hashes, however often their runs were interrupted.
With --faults, PostgreSQL is restarted and the object store is away for 20 s in the middle. Each of the three ways has
its place in the one file of results.
"""

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.servers import S3, Postgres, free_port, running_postgres, running_s3

MEZZOTINT = str(Path(sys.executable).with_name("mezzotint"))
LANES = ("pro", "paid", "free")
NUM_PICTURES = 12
"""Different pictures among the jobs; each is drawn many times."""
DOWN_S = 3
AWAY_S = 20
PATIENCE_S = 1800
AWAY = ("cannot claim", "heartbeat missed", "checkpoint not kept", "events wait for the database")


@dataclass
class Process:
    """A server or worker that is started again with the same arguments whenever it ends."""

    command: list[str]
    environment: dict[str, str]
    log: Path
    kills: int = 0
    child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            environment = {**os.environ, **self.environment}
            self.child = subprocess.Popen(self.command, stdout=output, stderr=output, env=environment)

    def kill(self) -> None:
        if self.child is not None:
            self.child.send_signal(signal.SIGKILL)
            self.child.wait()
            self.kills += 1

    def revive(self) -> None:
        if self.child is None or self.child.poll() is not None:
            self.start()

    def num_started(self) -> int:
        return self.log.read_text(errors="replace").count("model ready") if self.log.exists() else 0


@dataclass
class Site:
    """Everything that runs, and how to ask it."""

    folder: Path
    url: str
    processes: list[Process]
    victims: list[Process]
    environment: dict[str, str]
    postgres: Postgres | None = None
    s3: S3 | None = None
    num_jobs: int = 0
    num_ended: int = 0
    done: threading.Event = field(default_factory=threading.Event)

    def client(self, lane: str) -> httpx.Client:
        command = [MEZZOTINT, "token", "--data", str(self.folder / "data")]
        command += ["--tenant", f"{lane}-tenant", "--tier", lane]
        environment = {**os.environ, **self.environment}
        token = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def run(
    *,
    database: str,
    num_jobs: int,
    num_workers: int,
    every_s: float,
    steps: int = 12,
    faults: bool = False,
    logs: Path | None = None,
) -> dict[str, Any]:
    """The whole experiment; what it found."""
    with tempfile.TemporaryDirectory(prefix="mezzotint-durability-") as name, ExitStack() as stack:
        folder = Path(name)
        site = stack.enter_context(started(folder, database, num_workers, faults=faults))
        begun = time.monotonic()
        jobs = submitted(site, num_jobs, steps)
        trouble = [threading.Thread(target=kill_at_random, args=(site, every_s, random.Random(1)))]
        trouble += [threading.Thread(target=take_away, args=(site,))] if faults else []
        for thread in trouble:
            thread.start()
        try:
            ended = wait_for(site, jobs)
        finally:
            site.done.set()
            for thread in trouble:
                thread.join()
        found = judged(site, jobs, ended, time.monotonic() - begun)
        if logs is not None:
            for process in site.processes:
                shutil.copy(process.log, logs)
        return found


@contextmanager
def started(folder: Path, database: str, num_workers: int, *, faults: bool) -> Iterator[Site]:
    with ExitStack() as stack:
        port = free_port()
        environment = {"MEZZOTINT_LEASE_S": "4", "MEZZOTINT_MAX_RUNS": "4", "MEZZOTINT_CHECKPOINT_EVERY": "3"}
        environment |= {
            "MEZZOTINT_DATA": str(folder / "data"),
            "MEZZOTINT_DEVICE": "cpu",
            "MEZZOTINT_MAX_ATTEMPTS": "50",
        }
        environment |= {"OMP_NUM_THREADS": "1", "MEZZOTINT_PROVENANCE": "false"}  # equal pixels are equal files
        environment["MEZZOTINT_REUSE"] = "false"  # and equal requests are drawn
        site = Site(folder=folder, url=f"http://127.0.0.1:{port}", processes=[], victims=[], environment=environment)
        serve = [MEZZOTINT, "serve", "--port", str(port)]
        if database == "postgres":
            site.postgres = stack.enter_context(running_postgres(()))
            environment["MEZZOTINT_DATABASE"] = site.postgres.database()
            if faults:
                site.s3 = stack.enter_context(running_s3())
                environment |= {"MEZZOTINT_OBJECTS": "s3://media/durability", **site.s3.environment_of_clients}
            site.processes.append(Process([*serve, "--no-worker"], environment, folder / "gateway.log"))
            site.victims = [
                Process([MEZZOTINT, "worker"], environment, folder / f"worker-{n}.log") for n in range(num_workers)
            ]
        else:
            site.victims = [Process(serve, environment, folder / "server.log")]
        site.processes += site.victims
        try:
            for process in site.processes:
                process.start()
            wait_until_up(site)
            yield site
        finally:
            for process in site.processes:
                process.kill()


def wait_until_up(site: Site) -> None:
    until = time.monotonic() + 300
    while time.monotonic() < until:
        with suppress(httpx.HTTPError):
            is_up = httpx.get(f"{site.url}/healthz", timeout=5).json()["status"] == "ok"
            if is_up and all(victim.num_started() for victim in site.victims):
                return
        time.sleep(0.2)
    raise SystemExit("nothing answers:\n" + "\n".join(p.log.read_text()[-1500:] for p in site.processes))


def submitted(site: Site, num_jobs: int, steps: int) -> dict[str, tuple[str, int]]:
    """Accepted jobs -> their lane and picture."""
    jobs: dict[str, tuple[str, int]] = {}
    clients = {lane: site.client(lane) for lane in LANES}
    for n in range(num_jobs):
        lane = LANES[n % 7 % 3 if n % 7 else 0]
        lane = lane if lane != "free" or n % 20 == 2 else "pro"  # Free may have 20 open jobs
        picture = n % NUM_PICTURES
        body = {"prompt": f"a red apple --seed {picture} --steps {steps}"}
        key = {"Idempotency-Key": f"job {n}"}  # equal prompts are meant here
        while (answer := clients[lane].post("/v1/jobs", json=body, headers=key)).status_code == 429:
            time.sleep(1)
        answer.raise_for_status()
        jobs[answer.json()["id"]] = (lane, picture)
    for client in clients.values():
        client.close()
    return jobs


def kill_at_random(site: Site, every_s: float, dice: random.Random) -> None:
    """Each victim dies once it has drawn for a random while; it is started again at once."""
    due = {id(victim): time.monotonic() + dice.uniform(0.2, 2.0) * every_s for victim in site.victims}
    seen = {id(victim): 0 for victim in site.victims}
    while not site.done.wait(0.1):
        for victim in site.victims:
            victim.revive()
            started = victim.num_started()
            if started > seen[id(victim)]:  # its clock runs from the moment when it draws
                seen[id(victim)] = started
                due[id(victim)] = time.monotonic() + dice.uniform(0.2, 2.0) * every_s
            elif started and started == victim.kills + 1 and time.monotonic() > due[id(victim)]:
                victim.kill()
                victim.start()


def take_away(site: Site) -> None:
    """In the middle PostgreSQL is restarted, and then the object store is away for a while."""
    assert site.postgres is not None, "there is no more to take away than what was started"
    assert site.s3 is not None
    while site.num_ended < site.num_jobs // 4 and not site.done.wait(0.5):
        pass
    site.postgres.stop()
    site.done.wait(DOWN_S)
    site.postgres.start()
    while site.num_ended < site.num_jobs // 2 and not site.done.wait(0.5):
        pass
    site.s3.stop()
    site.done.wait(AWAY_S)
    site.s3.start()


def wait_for(site: Site, jobs: dict[str, tuple[str, int]]) -> dict[str, dict[str, Any]]:
    """The jobs after their ends, as their owners see them."""
    clients = {lane: site.client(lane) for lane in LANES}
    ended: dict[str, dict[str, Any]] = {}
    site.num_jobs = len(jobs)
    until = time.monotonic() + PATIENCE_S
    while len(ended) < len(jobs) and time.monotonic() < until:
        for job, (lane, _) in jobs.items():
            if job in ended:
                continue
            with suppress(httpx.HTTPError):
                answer = clients[lane].get(f"/v1/jobs/{job}", params={"wait": 2})
                if answer.status_code == 200 and answer.json()["finished_at"] is not None:
                    ended[job] = answer.json()
                    site.num_ended = len(ended)
                    continue
            time.sleep(0.2)  # the server may be on its way back
    return ended


def judged(
    site: Site, jobs: dict[str, tuple[str, int]], ended: dict[str, dict[str, Any]], seconds: float
) -> dict[str, Any]:
    logs = "\n".join(process.log.read_text(errors="replace") for process in site.victims)
    finishes = Counter(re.findall(r"job ended\s+.*?job=(job_[0-9a-f]+)", logs))
    pictures: dict[int, set[str]] = defaultdict(set)
    for job, row in ended.items():
        if row["state"] == "succeeded":
            pictures[jobs[job][1]].add(row["images"][0]["png_url"])
    lines, images = asyncio.run(written_down(site))
    return {
        "jobs": len(jobs),
        "seconds": round(seconds, 1),
        "kills": [victim.kills for victim in site.victims],
        "states": dict(Counter(row["state"] for row in ended.values())),
        "lost": len(jobs) - sum(row["state"] == "succeeded" for row in ended.values()),
        "finished_twice": sum(number > 1 for number in finishes.values()),
        "pictures_twice": sum(number > 1 for number in images.values()),
        "charged_twice": sum(number > 1 for number in lines.values()),
        "charged_not": len(jobs) - len(lines),
        "resumed_from_a_checkpoint": logs.count("job goes on from its checkpoint"),
        "begun_again_in_spite_of_one": logs.count("job begins again in spite of its checkpoints"),
        "pictures": len(pictures),
        "pictures_drawn_differently": sum(len(hashes) > 1 for hashes in pictures.values()),
        "told_that_storage_is_away": {words: logs.count(words) for words in AWAY},
    }


async def written_down(site: Site) -> tuple[Counter[str], Counter[str]]:
    """By job: lines of the ledger, and pictures, as the database has them."""
    queries = ("SELECT job FROM ledger WHERE kind = 'charged'", "SELECT job FROM images")
    if site.postgres is None:
        with sqlite3.connect(site.folder / "data" / "mezzotint.db") as connection:
            first, second = (Counter(row[0] for row in connection.execute(query)) for query in queries)
        connection.close()
        return first, second
    import asyncpg

    connection = await asyncpg.connect(site.environment["MEZZOTINT_DATABASE"])
    first, second = [Counter(row[0] for row in await connection.fetch(query)) for query in queries]
    await connection.close()
    return first, second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("postgres", "sqlite"), default="postgres")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--every-s", type=float, default=15.0, help="mean seconds of drawing before a kill")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--logs", type=Path, help="a folder for the processes' logs")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "durability.json")
    arguments = parser.parse_args()
    from serve import hardware

    start = hardware()
    found = run(
        database=arguments.database,
        num_jobs=arguments.jobs,
        num_workers=arguments.workers,
        every_s=arguments.every_s,
        steps=arguments.steps,
        faults=arguments.faults,
        logs=arguments.logs,
    )
    result = {"hardware": start, "steps": arguments.steps, "mean_s_before_a_kill": arguments.every_s, **found}
    print(json.dumps(result, indent=1))
    whole = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    whole[f"{arguments.database}{'_with_faults' if arguments.faults else ''}"] = result
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
