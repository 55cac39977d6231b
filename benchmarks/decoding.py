"""Uploads that are long work: what they cost another tenant, and what damaged ones cost their decoder.

    python benchmarks/decoding.py [--out benchmarks/results/decoding.json] [--fuzzed 5000] [--before FILE]

One tenant sends its pictures at once while another uploads a small one again and again. --before: the result of the
same script against an older server (PYTHONPATH names its source; --fuzzed 0), which is kept beside this one's.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.serve import MEZZOTINT, Server, hardware
from tests.making_pictures import encode, many_scans, mutations, noise, photograph

SMALL = encode(noise(64, 64), "PNG")
SAMPLE_S = 0.05
MAX_TRIES = 400
"""Of one picture, refused with 429 until its turn comes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "decoding.json")
    parser.add_argument("--fuzzed", type=int, default=5000)
    parser.add_argument("--before", type=Path)
    arguments = parser.parse_args()
    photo = photograph(quality=98)
    result = {
        "hardware": hardware(),
        "two_jpegs_of_many_scans": {"kib_each": 128, **beside([many_scans(4096, 128 * 1024)] * 2)},
        "twenty_photographs": {"mb_each": round(len(photo) / 1e6, 1), **beside([photo] * 20)},
    }
    if arguments.fuzzed:
        result["fuzzed"] = fuzz(arguments.fuzzed)
    if arguments.before:
        result["before"] = json.loads(arguments.before.read_text())
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def beside(pictures: list[bytes]) -> dict[str, Any]:
    """One tenant's pictures and, until the last is answered, small ones of another tenant, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        mallory, ada = (client_of(server, Path(folder), name) for name in ("mallory", "ada"))
        quiet_s = [send(ada, SMALL)[1] for _ in range(10)]
        with PeakMemory(server.process.pid) as peak, ThreadPoolExecutor(len(pictures)) as threads:
            begun = time.monotonic()
            answers = [threads.submit(send, mallory, picture) for picture in pictures]
            time.sleep(0.3)  # so that they are there first
            delays_s = [send(ada, SMALL)[1]]
            while not all(answer.done() for answer in answers):
                delays_s.append(send(ada, SMALL)[1])
            all_s = time.monotonic() - begun
        statuses = Counter(str(answer.result()[0]) for answer in answers)
        server.process.terminate()
        server.process.wait()
    return {
        "statuses": dict(statuses),
        "until_the_last_answer_s": round(all_s, 1),
        "small_upload_quiet_s": round(sorted(quiet_s)[len(quiet_s) // 2], 3),
        "small_upload_worst_s": round(max(delays_s), 2),
        "small_uploads": len(delays_s),
        "peak_mib": round(peak.mib),
    }


def client_of(server: Server, data: Path, tenant: str) -> httpx.Client:
    command = [MEZZOTINT, "token", "--data", str(data), "--tenant", tenant, "--tier", "free"]
    token = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=server.client.base_url, headers=headers, timeout=600)


def send(client: httpx.Client, picture: bytes) -> tuple[int, float]:
    """The last status and the seconds until it came. A refusal for now is asked again when it says."""
    begun = time.monotonic()
    for _ in range(MAX_TRIES):
        answer = client.post("/v1/uploads", content=picture)
        if answer.status_code != 429:
            break
        time.sleep(float(answer.headers["Retry-After"]))
    return answer.status_code, time.monotonic() - begun


class PeakMemory:
    """The most that a process and its children had resident together, MiB."""

    def __init__(self, pid: int) -> None:
        self.mib = 0.0
        self._process, self._is_over = psutil.Process(pid), threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(SAMPLE_S):
            total = 0
            for process in (self._process, *self._process.children()):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.mib = max(self.mib, total / 2**20)


def fuzz(count: int) -> dict[str, Any]:
    """Damaged pictures through one decoder process."""
    from mezzotint.media.uploads import Undecodable
    from mezzotint.media.uploads.decoder_pool import DecoderPool

    lost: list[None] = []
    outcomes: Counter[str] = Counter()
    worst_s, worst = 0.0, ""
    with closing(DecoderPool(on_lost=lambda: lost.append(None))) as pool:
        pool.decode(SMALL)
        with PeakMemory(psutil.Process().pid) as peak:
            for name, data in mutations(count, seed=4):
                begun = time.monotonic()
                try:
                    pool.decode(data)
                    outcomes["taken"] += 1
                except Undecodable:
                    outcomes["refused"] += 1
                spent_s = time.monotonic() - begun
                if spent_s > worst_s:
                    worst_s, worst = spent_s, name
    return {
        "pictures": count,
        **outcomes,
        "processes_lost": len(lost),
        "worst_s": round(worst_s, 3),
        "worst_was": worst,
        "peak_mib_with_this_script": round(peak.mib),
    }


if __name__ == "__main__":
    main()
