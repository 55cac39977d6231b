"""How soon a fleet goes on: from the end of a worker to its jobs elsewhere, and from a decision to a first job.

    python benchmarks/fleet_recovery.py [--losses 5] [--starts 3] [--out benchmarks/results/fleet_recovery.json]

`losses`: the busiest worker of four is killed (and once, at the end, a node), with leases of 10 s; the time until
each of the jobs that it held is leased by another worker. `cold`: a pool of one worker is scaled to two while jobs
wait; the time from the row of the new worker, which the controller writes when it decides, to `ready` and to its
first lease: a process starts, imports torch and loads the starter, whose file the system has in memory. `warm`: a job
comes while all workers are idle; the time from its row to its lease. Times are wall clock, so they hold the load of
the machine.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from fleet import submit
from fleet_scene import NODES, Scene, count_ready, find_busiest_worker, make_headers, running_fleet, wait_until
from serve import hardware

LONG, SHORT = 80, 8
"""Steps of jobs that outlive a fault, and of those that are only to be claimed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--losses", type=int, default=5)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "fleet_recovery.json")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"hardware": hardware(), "lease_s": 10.0}
    with running_fleet(NODES) as (scene, ports):
        result["warm"] = tell(measure_claims(scene, ports))
        result["losses"] = [tell(lose_worker(scene, ports, is_node=False)) for _ in range(arguments.losses)]
        result["node"] = tell(lose_worker(scene, ports, is_node=True))
    with running_fleet(1) as (scene, ports):
        result["cold"] = [tell(start_worker(scene, ports)) for _ in range(arguments.starts)]
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def tell(figures: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps(figures), flush=True)
    return figures


def submit_jobs(scene: Scene, ports: list[int], number: int, steps: int) -> list[str]:
    body = {"prompt": f"a red apple --steps {steps}", "new": True}
    with httpx.Client(timeout=15) as client:
        return [submit(client, ports, make_headers("pro", f"pro-{n}"), body) for n in range(number)]


def measure_claims(scene: Scene, ports: list[int]) -> dict[str, float]:
    """Seconds from a job's row to its lease while all workers are idle, of 20 jobs one after another."""
    waits = []
    for _ in range(20):
        (id,) = submit_jobs(scene, ports, 1, SHORT)
        sql = f"SELECT extract(epoch FROM started_at - created_at) FROM jobs WHERE id = '{id}' AND state = 'succeeded'"
        waits.append(float(read_first(scene, sql)))
    return {"median_s": round(median(waits), 3), "worst_s": round(max(waits), 3)}


def lose_worker(scene: Scene, ports: list[int], *, is_node: bool) -> dict[str, Any]:
    """Kill the worker that holds most of eight long jobs, or a node with its worker; then end these jobs."""
    wait_until(lambda: count_ready(scene) == NODES, "the workers are not ready")
    ids = submit_jobs(scene, ports, 8, LONG)
    wait_until(lambda: count_leased(scene, ids) >= len(ids) // 2, "the jobs are not claimed")
    holders = dict(scene.query("SELECT id, lease_worker FROM jobs WHERE lease_worker IS NOT NULL"))
    before = {process.pid for process in scene.actors("WorkerActor")}
    if is_node:
        assert scene.cluster.stdin is not None
        scene.cluster.stdin.write("remove 0\n")
        scene.cluster.stdin.flush()
    else:
        find_busiest_worker(scene).kill()
    killed_at = time.monotonic()
    ended = first(lambda: before - {process.pid for process in scene.actors("WorkerActor")} or None)
    held = [id for id, worker in holders.items() if id in ids and int(worker.split("-")[-2]) in ended]
    took: dict[str, float] = {}
    while len(took) < len(held):
        now = dict(scene.query("SELECT id, lease_worker FROM jobs WHERE lease_worker IS NOT NULL"))
        for id in held:
            if id not in took and now.get(id, holders[id]) != holders[id]:
                took[id] = round(time.monotonic() - killed_at, 2)
        time.sleep(0.05)
    with httpx.Client(timeout=15) as client:
        for n, id in enumerate(ids):
            client.delete(f"http://127.0.0.1:{ports[0]}/v1/jobs/{id}", headers=make_headers("pro", f"pro-{n}"))
    return {"jobs": len(held), "elsewhere_after_s": sorted(took.values())}


def start_worker(scene: Scene, ports: list[int]) -> dict[str, float]:
    """Scale from one to two workers while jobs wait, and back."""
    waiting = submit_jobs(scene, ports, 40, LONG)
    before = {row[0] for row in scene.query("SELECT id FROM fleet_workers")}
    scene.fleet("scale", "desk", "2")
    sql = "SELECT id, worker FROM fleet_workers WHERE worker IS NOT NULL"
    new, name = first(lambda: next((row for row in scene.query(sql) if row[0] not in before), None))
    ready = (
        f"SELECT extract(epoch FROM changed_at - created_at) FROM fleet_workers WHERE id = '{new}' AND state = 'ready'"
    )
    ready_s = float(read_first(scene, ready))
    lease = (
        f"SELECT extract(epoch FROM now() - created_at) FROM fleet_workers WHERE id = '{new}'"
        f" AND EXISTS (SELECT 1 FROM jobs WHERE lease_worker = '{name}')"
    )
    first_lease_s = float(read_first(scene, lease))
    with httpx.Client(timeout=15) as client:
        for n, id in enumerate(waiting):
            client.delete(f"http://127.0.0.1:{ports[0]}/v1/jobs/{id}", headers=make_headers("pro", f"pro-{n}"))
    scene.fleet("scale", "desk", "1")
    wait_until(lambda: count_ready(scene) == 1, "the second worker does not end")
    return {"ready_s": round(ready_s, 2), "first_lease_s": round(first_lease_s, 2)}


def count_leased(scene: Scene, ids: list[str]) -> int:
    leased = {row[0] for row in scene.query("SELECT id FROM jobs WHERE lease_worker IS NOT NULL")}
    return len(leased.intersection(ids))


def read_first(scene: Scene, sql: str) -> Any:
    return first(lambda: next((row[0] for row in scene.query(sql)), None))


def first(read: Callable[[], Any], for_s: float = 300.0) -> Any:
    """The first answer that is not None."""
    until = time.monotonic() + for_s
    while time.monotonic() < until:
        if (found := read()) is not None:
            return found
        time.sleep(0.05)
    raise SystemExit("it did not come to that")


if __name__ == "__main__":
    main()
