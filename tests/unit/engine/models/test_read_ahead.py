"""Weights are read before they are placed, and the share that is told is what was read."""

import json
import threading
from pathlib import Path

import pytest

from mezzotint.engine.models import files, load, read_ahead
from tests.conformance.engine.zoo import unprompted


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny pipeline on disk, with a variant of its autoencoder that nobody asks for."""
    unprompted.dit().save_pretrained(tmp_path)
    weights = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    (weights.parent / "diffusion_pytorch_model.fp16.safetensors").write_bytes(weights.read_bytes())
    return tmp_path


def test_the_share_grows_with_the_bytes_that_are_read_and_ends_at_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "CHUNK_BYTES", 1 << 12)
    told: list[float] = []
    pipeline = load.load_pipeline(folder, "cpu", tell=told.append)
    assert told == sorted(set(told))
    assert told[-1] == 1.0
    assert 20 < len(told) <= 100, "each percent at most once"
    assert pipeline.transformer.config.num_layers == 1


def test_a_file_that_is_not_there_is_not_told_as_read(folder: Path) -> None:
    told: list[float] = []
    weights = files.weights_of(folder)
    weights.append(folder / "none.safetensors")
    with pytest.raises(FileNotFoundError):
        read_ahead.read_ahead(weights, told.append)
    assert told == []


def test_what_is_read_are_the_weights_of_the_components_that_are_loaded(folder: Path) -> None:
    names = {str(file.relative_to(folder)) for file in files.weights_of(folder)}
    assert names == {f"{part}/diffusion_pytorch_model.safetensors" for part in ("transformer", "vae")}
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"vae": [None, None]}))
    assert {file.parent.name for file in files.weights_of(folder)} == {"transformer"}
    assert files.num_bytes(folder) == sum(
        file.stat().st_size for file in (folder / "transformer").glob("*.safetensors")
    )


def test_two_loads_at_once_tell_each_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "CHUNK_BYTES", 1 << 12)
    told: list[list[float]] = [[], []]
    threads = [
        threading.Thread(target=read_ahead.read_ahead, args=(files.weights_of(folder), mine.append)) for mine in told
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told[0] == told[1]
    assert told[0][-1] == 1.0
