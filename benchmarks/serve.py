"""What a user of one server feels: cold start, memory, seconds a picture alone and eight at once.

    python benchmarks/serve.py [--out benchmarks/results/serve.json] [--repeats 5]

Each repeat interleaves its measurements, so that a busy machine slows them alike. Results carry the hardware.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

MEZZOTINT = str(Path(sys.executable).with_name("mezzotint"))
STEPS = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "serve.json")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    starts = [start_up() for _ in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        rows = pictures(Path(folder), arguments.repeats)
    result = {
        "hardware": hardware(),
        "steps": STEPS,
        "seconds_to_open_port": spread([start["port_s"] for start in starts]),
        "seconds_to_model_ready": spread([start["ready_s"] for start in starts]),
        "resident_mib_ready": spread([start["rss_mib"] for start in starts]),
        **{name: spread([row[name] for row in rows]) for name in rows[0]},
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


class Server:
    """`mezzotint serve` on a free port. Times are seconds since its start."""

    def __init__(self, data: Path, *flags: str, **environment: str) -> None:
        begun = time.monotonic()
        command = [MEZZOTINT, "serve", "--dev", "--port", "0", "--data", str(data), *flags]
        environment = {**os.environ, "MEZZOTINT_REUSE": "false", **environment}  # equal requests are drawn
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+", line)
        if found is None:
            raise SystemExit(f"the server did not start: {line}")
        self.client = httpx.Client(base_url=found[0], timeout=120)
        self.port_s = self.wait_for("starting", begun)
        self.ready_s = self.wait_for("ok", begun)
        self.client.headers["Authorization"] = f"Bearer {self.client.post('/v1/session').json()['token']}"

    def wait_for(self, status: str, begun: float) -> float:
        while True:
            try:
                if self.client.get("/healthz").json()["status"] in {status, "ok"}:
                    return time.monotonic() - begun
            except httpx.HTTPError:
                pass
            time.sleep(0.01)

    def rss_mib(self) -> float:
        return float(psutil.Process(self.process.pid).memory_info().rss / 2**20)

    def draw(self, count: int) -> float:
        """Seconds until `count` jobs, submitted together, have all succeeded."""
        begun = time.monotonic()
        bodies = [{"prompt": f"a red apple --steps {STEPS}", "seed": seed} for seed in range(count)]
        jobs = [self.client.post("/v1/jobs", json=body).json()["id"] for body in bodies]
        for job in jobs:
            state = self.client.get(f"/v1/jobs/{job}", params={"wait": 60}).json()["state"]
            if state != "succeeded":
                raise SystemExit(f"job {job} is {state}")
        return time.monotonic() - begun

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(60)


def start_up() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data")
        try:
            return {"port_s": server.port_s, "ready_s": server.ready_s, "rss_mib": server.rss_mib()}
        finally:
            server.stop()


def pictures(folder: Path, repeats: int) -> list[dict[str, float]]:
    server = Server(folder / "data")
    try:
        server.draw(8)  # the first passes of each width are verified once
        rows = []
        for _ in range(repeats):
            alone, eight = server.draw(1), server.draw(8)
            rows.append({"seconds_alone": alone, "seconds_each_of_eight": eight / 8, "speed_up": 8 * alone / eight})
        rows[-1]["resident_mib_after"] = server.rss_mib()
        return [{**row, "resident_mib_after": rows[-1]["resident_mib_after"]} for row in rows]
    finally:
        server.stop()


def spread(values: list[float]) -> dict[str, float]:
    return {
        "min": round(min(values), 3),
        "median": round(statistics.median(values), 3),
        "max": round(max(values), 3),
    }


def hardware() -> dict[str, Any]:
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_average_at_start": os.getloadavg()[0],
    }


if __name__ == "__main__":
    main()
