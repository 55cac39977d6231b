"""Kill -9 at every step of a job, with whole, flipped and cut-off checkpoints: is the picture always the same?

    python benchmarks/crash.py [--steps 20] [--every 1] [--out benchmarks/results/crash.json]

Each trial: submit, kill the server when it tells step k (0: at once), damage the newest checkpoint, start it again,
wait, compare the picture's address, which is the hash of its bytes, with an undisturbed job's, and read from /metrics
what the server counted. Pictures are not signed here: a signature is each job's own. Some ten minutes.
"""

import argparse
import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from serve import Server, hardware

UNSIGNED = {"MEZZOTINT_PROVENANCE": "false"}
SOURCES = ("noise", "older", "newest")  # a refused one is followed by the next: the first of these that was counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--every", type=int, default=1, help="steps between two checkpoints")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "crash.json")
    arguments = parser.parse_args()
    body = {"prompt": f"a red apple --seed 7 --steps {arguments.steps}"}
    trials = []
    with tempfile.TemporaryDirectory() as folder:
        data, flags = Path(folder) / "data", ["--checkpoint-every", str(arguments.every)]
        server = Server(data, *flags, **UNSIGNED)
        whole = ended(server, server.client.post("/v1/jobs", json=body).json()["id"])["images"]
        for damage in ("none", "flip", "cut"):
            for step in range(arguments.steps):
                server, trial = crash(server, data, flags, body, step, damage)
                is_same = trial.pop("images") == whole
                trials.append({**trial, "is_same": is_same})
                print(json.dumps(trials[-1]), flush=True)
        server.stop()
    result = {"hardware": hardware(), "steps": arguments.steps, "checkpoint_every": arguments.every}
    for damage in ("none", "flip", "cut"):
        rows = [trial for trial in trials if trial["damage"] == damage]
        result[damage] = {
            "trials": len(rows),
            "same_bytes": sum(trial["is_same"] for trial in rows),
            "damaged": sum(trial["is_damaged"] for trial in rows),
            "counted_corrupt": sum(trial["counted_corrupt"] for trial in rows),
            "resumed_from": {source: sum(trial["resumed_from"] == source for trial in rows) for source in SOURCES},
        }
    result["trials"] = trials
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({name: value for name, value in result.items() if name != "trials"}, indent=2))


def crash(
    server: Server, data: Path, flags: list[str], body: dict[str, str], step: int, damage: str
) -> tuple[Server, dict[str, Any]]:
    job = server.client.post("/v1/jobs", json=body).json()["id"]
    killed_at = wait_for_step(server, job, step)
    server.process.kill()
    server.process.wait()
    server.client.close()
    saved = sorted((data / "objects" / "checkpoints").glob("*/*.safetensors"))
    is_damaged = bool(saved) and damage != "none"
    if is_damaged:
        content = bytearray(saved[-1].read_bytes())
        middle = (step * 7919) % len(content)
        saved[-1].write_bytes(content[:middle] if damage == "cut" else flipped(content, middle))
    begun = time.monotonic()
    server = Server(data, *flags, **UNSIGNED)
    row = ended(server, job)
    trial = {
        "damage": damage,
        "is_damaged": is_damaged,
        "counted_corrupt": counted(server, "checkpoints_unusable", 'why="corrupt"'),
        "resumed_from": next((s for s in SOURCES if counted(server, "resumes", f'source="{s}"')), "?"),
        "told_step": killed_at,
        "saved_step": int(saved[-1].stem.split("-")[1]) if saved else 0,
        "seconds_to_finish": round(time.monotonic() - begun, 2),
        "state": row["state"],
        "images": row["images"],
    }
    return server, trial


def counted(server: Server, name: str, label: str) -> int:
    """What the server, which was just started, has counted since."""
    found = re.search(rf"{name}_total\{{{label}\}} (\S+)", server.client.get("/metrics").text)
    return int(float(found[1])) if found else 0


def flipped(content: bytearray, place: int) -> bytes:
    content[place] ^= 1 << (place % 8)
    return bytes(content)


def wait_for_step(server: Server, job: str, step: int) -> int:
    with server.client.stream("GET", f"/v1/jobs/{job}/events") as stream:
        for line in stream.iter_lines():
            told = json.loads(line.removeprefix("data: "))["step"] if line.startswith("data: ") else 0
            if told >= step:
                return int(told)
    raise SystemExit(f"job {job} ended before step {step}")


def ended(server: Server, job: str) -> dict[str, Any]:
    while True:
        row: dict[str, Any] = server.client.get(f"/v1/jobs/{job}", params={"wait": 60}).json()
        if row["finished_at"] is not None:
            return row


if __name__ == "__main__":
    main()
