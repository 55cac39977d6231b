"""What lives as long as the process is out of the collector's sight, and what a model is made of later is not."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import gc
from mezzotint.config import Settings
from mezzotint.main.served_models import find_models, build_catalog
settings = Settings(device="cpu")
catalog = build_catalog(settings, find_models(settings))
assert gc.get_freeze_count() == 0
catalog.prepare()
import sys
held = gc.get_freeze_count()
assert held > 100_000 and "torch" in sys.modules and "diffusers" in sys.modules, held
catalog.load(catalog.warm[0], lambda share: None)
assert gc.get_freeze_count() <= held, "a model that leaves must be found by the collector"
"""

SERVING = """
import asyncio, gc, os, signal, sys
from pathlib import Path
import httpx
from mezzotint.config import Settings
from mezzotint.main.data_folder import prepare_data_folder
from mezzotint.main.serve import ServerProcess, bind_socket
from mezzotint.main.served_models import find_models, build_catalog

async def look(url: str, task: asyncio.Task[None]) -> int:
    async with httpx.AsyncClient() as client:  # it waits until the socket, which listens already, is served
        assert (await client.get(url, timeout=60)).status_code == 200
    held = gc.get_freeze_count()
    os.kill(os.getpid(), signal.SIGTERM)
    await task
    return held

async def main() -> None:
    settings = Settings(device="cpu", data=Path(sys.argv[1]), worker=False)  # a worker would do it once more
    prepare_data_folder(settings.data)
    offers = find_models(settings)
    catalog = build_catalog(settings, offers)
    serving = ServerProcess(settings=settings, infos=[offers[0].info], catalog=catalog, upscaler=None)
    assert gc.get_freeze_count() == 0
    with bind_socket("127.0.0.1", 0) as listener:
        task = asyncio.create_task(serving.run(listener))
        held = await look(f"http://127.0.0.1:{listener.getsockname()[1]}/healthz", task)
    assert held > 50_000, held

asyncio.run(main())
"""


def test_what_every_model_needs_is_kept_from_the_collector_and_models_are_not() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_gateway_is_kept_from_the_collector_before_it_answers(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SERVING, str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
