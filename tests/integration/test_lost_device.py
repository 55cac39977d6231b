"""A device that fails ends the process and none of the jobs; started again, it draws them all."""

import os
import subprocess
from pathlib import Path

from tests.acceptance.conftest import MEZZOTINT, finished, served

NUM_JOBS = 50
DEVICE_LOST = 75
LOSS = """
import os
from pathlib import Path

from mezzotint.engine.batching.passes import Passes
from mezzotint.engine.device import lost

folder, calls = Path({folder!r}), []
call, probe = Passes._call, lost.probe


def failing_call(self, *args, **kwargs):
    if (folder / "armed").exists():
        (folder / "armed").unlink()
        calls.append("lost")
    if "lost" in calls:
        raise RuntimeError("CUDA error: device-side assert triggered")
    return call(self, *args, **kwargs)


def failing_probe(device):
    if "lost" in calls:
        raise RuntimeError("CUDA error: device-side assert triggered")
    probe(device)


Passes._call, lost.probe = failing_call, failing_probe
"""


def losing(folder: Path) -> dict[str, str]:
    """The environment of processes of which one loses its device at a pass, once `armed` is there."""
    (folder / "sitecustomize.py").write_text(LOSS.format(folder=str(folder)))
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    return {"PYTHONPATH": path, "MEZZOTINT_RATE_SCALE": "0", "MEZZOTINT_MAX_ATTEMPTS": "1"}


def test_a_lost_device_with_fifty_jobs_in_the_queue_makes_no_dead_letter(tmp_path: Path) -> None:
    data, environment = tmp_path / "data", losing(tmp_path)
    with served(data, **environment) as server, server.client() as ada:
        jobs = []
        for number in range(NUM_JOBS):
            body = {"prompt": f"a rocket --seed {number} --steps 3", "width": 64, "height": 64}
            answer = ada.post("/v1/jobs", json=body)
            assert answer.status_code == 202, answer.text
            jobs.append(answer.json())
        (tmp_path / "armed").touch()
        assert server.process.wait(120) == DEVICE_LOST
        assert "cpu computes no more: CUDA error: device-side assert triggered" in server.log.read_text()
    command = [MEZZOTINT, "jobs", "dead", "--data", str(data)]
    dead = subprocess.run(command, capture_output=True, check=True, timeout=120, text=True)
    assert len(dead.stdout.splitlines()) == 1, dead.stdout  # the head of the table
    with served(data, **environment) as server, server.client() as ada:
        assert [finished(ada, job)["state"] for job in jobs] == ["succeeded"] * NUM_JOBS
        assert server.stop() == 0
