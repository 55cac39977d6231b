"""One server, three models, memory for two: drawn side by side, loaded when asked for, dropped and loaded again."""

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
from safetensors.torch import load_file, save_file

from mezzotint.engine.models import files
from tests.acceptance.conftest import Server, finished, pixels_of, served

STARTER = files.locate("starter")
APPLE = {"prompt": "a red apple --seed 7 --steps 12", "new": True}


def altered(folder: Path, factor: float) -> Path:
    """The starter model with other weights."""
    shutil.copytree(STARTER, folder)
    (folder / "SHA256SUMS").unlink()
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    save_file({name: tensor * factor for name, tensor in weights.items()}, path)
    return folder


def listed(folder: Path) -> Path:
    sources = {"plain": "starter", "ink": altered(folder / "ink", 0.98), "chalk": altered(folder / "chalk", 1.02)}
    tables = (f'[[models]]\nname = "{name}"\nsource = "{source}"\n' for name, source in sources.items())
    path = folder / "models.toml"
    path.write_text("\n".join(tables))
    return path


def asked(client: httpx.Client, model: str) -> dict[str, Any]:
    answer = client.post("/v1/jobs", json=APPLE | {"model": model})
    assert answer.status_code == 202, answer.text
    return answer.json()  # type: ignore[no-any-return]


def picture(client: httpx.Client, job: dict[str, Any]) -> bytes:
    assert job["state"] == "succeeded", job["error"]
    return pixels_of(client, job)[0]


def meter(server: Server, name: str) -> float:
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"mezzotint_{name}"))


def test_three_models_share_memory_for_two(tmp_path: Path) -> None:
    toml = listed(tmp_path)
    with (
        served(tmp_path / "data", "--models", str(toml), MEZZOTINT_MODEL_MEMORY_MB="300") as server,
        server.client() as ada,
    ):
        states = {one["id"]: one["state"] for one in ada.get("/v1/models").json()["data"]}
        assert states == {"plain": "cold", "ink": "cold", "chalk": "cold"}
        both = [asked(ada, "plain"), asked(ada, "ink")]
        plain, ink = (picture(ada, finished(ada, job)) for job in both)
        assert plain != ink
        assert meter(server, "models_loaded") == 2

        third = asked(ada, "chalk")
        with ada.stream("GET", f"/v1/jobs/{third['id']}/events") as stream:
            events = [line for line in stream.iter_lines() if line]
        told = [json.loads(line.removeprefix("data: ")) for line in events if line.startswith('data: {"model":"chalk"')]
        shares = [one["share"] for one in told if set(one) == {"model", "share"}]
        assert shares == sorted(set(shares)), "it goes on, and each share is told once"
        assert shares[-1] == 1.0
        assert len(shares) > 1
        chalk = finished(ada, third)
        assert picture(ada, chalk) not in {plain, ink}
        assert chalk["timings"]["load_s"] > 0
        assert meter(server, "model_evictions_total") == 1

        assert [picture(ada, finished(ada, asked(ada, name))) for name in ("plain", "ink")] == [plain, ink]
        assert meter(server, "model_evictions_total") >= 2
        assert meter(server, "model_loads_total") >= 4
        assert meter(server, "models_loaded") == 2
        unknown = ada.post("/v1/jobs", json=APPLE | {"model": "oil"})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
