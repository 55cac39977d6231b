"""A fleet under faults beside a quiet one: is a job lost, finished twice, charged twice, drawn differently?

    python benchmarks/fleet.py [--jobs 2000] [--seconds 1200] [--steps 20] [--out benchmarks/results/fleet.json]

Ray of four nodes, two gateways, PostgreSQL, SeaweedFS and Valkey on this machine, all on 127.0.0.1. Jobs of three tiers
come at an even pace through both gateways, each with an idempotency key; the client tries the other gateway where one
does not answer. The same jobs run twice: quietly, and under the schedule below, which is a share of --seconds and is
printed before the run starts; a worker that is killed or frozen is the one that holds most jobs. Pictures are not
signed, so that equal pictures have equal hashes. The picture of the timeline is docs/images/fleet-faults.svg.
"""

import argparse
import json
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
from fleet_plot import draw_timeline
from fleet_scene import NODES, ROOT, START_S, Scene, find_busiest_worker, make_headers, running_fleet, wait_until
from serve import hardware

PICTURE = ROOT / "docs" / "images" / "fleet-faults.svg"
TIERS = ("free", "paid", "pro")
SCHEDULE: tuple[tuple[float, str], ...] = (
    (0.08, "kill a worker"),
    (0.16, "kill the controller"),
    (0.24, "freeze a worker for 20 s"),
    (0.32, "kill a gateway, start it after 3 s"),
    (0.40, "kill Valkey, start it after 5 s"),
    (0.48, "freeze the database for 8 s"),
    (0.56, "kill a node"),
    (0.64, "kill the controller"),
    (0.68, "kill a worker"),
    (0.76, "freeze Valkey for 5 s"),
    (0.84, "kill the database, start it after 3 s"),
    (0.92, "freeze a gateway for 5 s"),
)
"""Share of the run's seconds -> fault."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=1200.0, help="over which the jobs come")
    parser.add_argument("--steps", type=int, default=20, help="of each job")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "fleet.json")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"hardware": hardware()}
    result |= {name: getattr(arguments, name) for name in ("jobs", "seconds", "steps")}
    result["schedule"] = [{"at_s": round(at * arguments.seconds, 1), "fault": fault} for at, fault in SCHEDULE]
    print(json.dumps(result), flush=True)
    quiet = run(arguments, with_faults=False)
    faulty = run(arguments, with_faults=True)
    pictures = quiet.pop("pictures"), faulty.pop("pictures")
    both = pictures[0].keys() & pictures[1].keys()
    result |= {"quiet": quiet, "faults": faulty}
    result["pictures"] = {"compared": len(both), "different": sum(pictures[0][one] != pictures[1][one] for one in both)}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result) + "\n")
    draw_timeline(result, NODES, PICTURE)
    shown = {
        name: {key: value for key, value in result[name].items() if key != "timeline"} for name in ("quiet", "faults")
    }
    print(json.dumps({**shown, "pictures": result["pictures"]}, indent=1))


def run(arguments: argparse.Namespace, *, with_faults: bool) -> dict[str, Any]:
    with running_fleet(NODES) as (scene, ports):
        return measure(scene, ports, arguments, with_faults=with_faults)


def measure(scene: Scene, ports: list[int], arguments: argparse.Namespace, *, with_faults: bool) -> dict[str, Any]:
    begun, seconds = time.monotonic(), arguments.seconds
    timeline: list[dict[str, Any]] = []
    done: list[dict[str, Any]] = []
    over = threading.Event()
    watcher = threading.Thread(target=watch, args=(scene, begun, timeline, over))
    faults = threading.Thread(target=break_things, args=(scene, begun, seconds, done, over))
    watcher.start()
    if with_faults:
        faults.start()
    accepted = submit_all(scene, ports, arguments, begun)
    wait_until(lambda: count_open(scene) == 0, "jobs do not end", START_S + 10 * seconds)
    over.set()
    watcher.join()
    if with_faults:
        faults.join()
    outcome = count_outcome(scene, accepted)
    return {**outcome, "took_s": round(time.monotonic() - begun, 1), "came": done, "timeline": timeline}


def submit_all(scene: Scene, ports: list[int], arguments: argparse.Namespace, begun: float) -> dict[int, str]:
    """Number of the job -> its id, as a gateway answered."""
    accepted = {}
    with httpx.Client(timeout=15) as client:
        for number in range(arguments.jobs):
            time.sleep(max(0.0, begun + arguments.seconds * number / arguments.jobs - time.monotonic()))
            tier = TIERS[number % 3]
            headers = make_headers(tier, f"{tier}-{number // 3 % 100}") | {"Idempotency-Key": f"job-{number}"}
            body = {"prompt": f"a red apple --seed {number} --steps {arguments.steps}"}
            accepted[number] = submit(client, [ports[(number + turn) % 2] for turn in range(2)], headers, body)
    return accepted


def submit(client: httpx.Client, ports: list[int], headers: dict[str, str], body: dict[str, str]) -> str:
    until = time.monotonic() + 300
    why = ""
    while time.monotonic() < until:
        for port in ports:
            try:
                answer = client.post(f"http://127.0.0.1:{port}/v1/jobs", json=body, headers=headers)
            except httpx.HTTPError as error:
                why = repr(error)
                continue
            if answer.is_success:
                return str(answer.json()["id"])
            why = answer.text[:300]
        time.sleep(0.5)
    raise SystemExit(f"a job was not accepted for five minutes: {why}")


def break_things(scene: Scene, begun: float, seconds: float, done: list[dict[str, Any]], over: threading.Event) -> None:
    for at, fault in SCHEDULE:
        if over.wait(max(0.0, begun + at * seconds - time.monotonic())):
            return
        done.append({"at_s": round(time.monotonic() - begun, 1), "fault": fault})
        print(f"{done[-1]['at_s']:7.1f} s  {fault}", flush=True)
        cause(scene, fault)


def cause(scene: Scene, fault: str) -> None:  # noqa: C901 - one case a fault
    port = next(iter(scene.gateways))
    database = scene.postgres.process
    assert database is not None
    assert scene.valkey is not None
    match fault:
        case "kill a worker":
            find_busiest_worker(scene).kill()
        case "kill the controller":
            scene.actors("ControllerActor")[0].kill()
        case "kill a node":
            assert scene.cluster.stdin is not None
            scene.cluster.stdin.write(f"remove {scene.removed}\n")
            scene.cluster.stdin.flush()
            scene.removed += 1
        case "freeze a worker for 20 s":
            freeze([find_busiest_worker(scene)], 20)
        case "freeze the database for 8 s":
            freeze([psutil.Process(database.pid), *psutil.Process(database.pid).children()], 8)
        case "freeze Valkey for 5 s":
            freeze([psutil.Process(scene.valkey.pid)], 5)
        case "freeze a gateway for 5 s":
            freeze([psutil.Process(scene.gateways[port].pid)], 5)
        case "kill a gateway, start it after 3 s":
            restart(scene.gateways[port], lambda: scene.start_gateway(port), 3)
        case "kill Valkey, start it after 5 s":
            restart(scene.valkey, scene.start_valkey, 5)
        case "kill the database, start it after 3 s":
            database.send_signal(signal.SIGQUIT)  # as after a power cut: it recovers from its log
            database.wait()
            time.sleep(3)
            scene.postgres.start()
        case other:
            raise AssertionError(other)


def restart(process: "subprocess.Popen[bytes]", start: Callable[[], None], after_s: float) -> None:
    process.kill()
    process.wait()
    time.sleep(after_s)
    start()


def freeze(processes: list[psutil.Process], for_s: float) -> None:
    for process in processes:
        process.suspend()
    time.sleep(for_s)
    for process in processes:
        if process.is_running():
            process.resume()


def watch(scene: Scene, begun: float, timeline: list[dict[str, Any]], over: threading.Event) -> None:
    """The numbers of jobs and workers, every five seconds while the database answers."""
    counts = [f"(SELECT count(*) FROM jobs WHERE state = '{state}')" for state in ("queued", "running", "succeeded")]
    sql = f"SELECT {', '.join(counts)}, (SELECT count(*) FROM fleet_workers WHERE state = 'ready')"
    while not over.wait(5.0):
        try:
            queued, running, succeeded, ready = scene.query(sql)[0]
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            continue
        at_s = round(time.monotonic() - begun, 1)
        timeline.append({"at_s": at_s, "queued": queued, "running": running, "succeeded": succeeded, "workers": ready})


def count_outcome(scene: Scene, accepted: dict[int, str]) -> dict[str, Any]:
    rows = scene.query("SELECT id, state, lane, extract(epoch FROM started_at - created_at), num_losses FROM jobs")
    states = {row[0]: row[1] for row in rows}
    images = scene.query("SELECT job, position, seed, png FROM images")
    ledger = Counter(row[0] for row in scene.query("SELECT job FROM ledger"))
    waits = {tier: sorted(float(row[3]) for row in rows if row[2] == tier and row[3] is not None) for tier in TIERS}
    return {
        "accepted": len(accepted),
        "jobs_in_database": len(rows),
        "made_twice": len(rows) - len(set(accepted.values())),
        "states": dict(Counter(states.values())),
        "lost": sum(states.get(id) != "succeeded" for id in accepted.values()),
        "finished_twice": sum(number > 1 for number in Counter(row[:2] for row in images).values()),
        "charged_twice": sum(number > 1 for number in ledger.values()),
        "not_charged": sum(id not in ledger for id, state in states.items() if state == "succeeded"),
        "lost_workers_of_jobs": sum(row[4] for row in rows),
        "gpu_s": round(float(scene.query("SELECT coalesce(sum(gpu_s), 0) FROM ledger")[0][0]), 1),
        "wait_s": {tier: spread(found) for tier, found in waits.items()},
        "fleet": dict(scene.query("SELECT state, count(*) FROM fleet_workers GROUP BY state")),
        "pictures": {row[2]: row[3] for row in images},
    }


def spread(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    return {f"p{part}": round(values[min(len(values) * part // 100, len(values) - 1)], 2) for part in (50, 95, 99)}


def count_open(scene: Scene) -> int:
    try:
        sql = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')"
        return int(scene.query(sql)[0][0])
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return -1


if __name__ == "__main__":
    main()
