"""`mezzotint models import` writes a single file as a folder that is whole, or nothing."""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from typer.testing import CliRunner

from mezzotint.config import read_settings
from mezzotint.domain.errors import ModelCorrupt
from mezzotint.engine.models import load
from mezzotint.main.commands import app
from mezzotint.main.served_models import find_models
from tests.unit.engine.models.tiny_families import draw, edit, spoil_one


def test_a_file_becomes_a_checked_folder_once(sd1_model: tuple[Path, Path], tmp_path: Path) -> None:
    folder, file = sd1_model
    out = tmp_path / "imported"
    command = ["models", "import", str(file), "--like", str(folder), "--out", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "read 100 %" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["imported"], "nothing is left beside it"
    assert find_models(read_settings(model=str(out)))
    assert np.array_equal(draw(load.load_pipeline(out, "cpu")), draw(load.load_pipeline(folder, "cpu")))
    with safe_open(out / "unet" / "diffusion_pytorch_model.safetensors", framework="np") as opened:
        assert opened.get_slice("conv_in.weight").get_dtype() == "F32"
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 1
    assert "there already" in again.output
    (out / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    with pytest.raises(ModelCorrupt):
        find_models(read_settings(model=str(out)))


def test_nothing_is_left_of_an_import_that_fails(sd1_model: tuple[Path, Path], tmp_path: Path) -> None:
    folder, file = sd1_model
    bad = edit(file, tmp_path / "bad.safetensors", spoil_one)
    out = tmp_path / "imported"
    done = CliRunner().invoke(app, ["models", "import", str(bad), "--like", str(folder), "--out", str(out)])
    assert done.exit_code == 1
    assert "not finite" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["bad.safetensors"]
    done = CliRunner().invoke(app, ["models", "import", str(folder), "--out", str(out)])
    assert (done.exit_code, "not a single file" in done.output) == (2, True)
