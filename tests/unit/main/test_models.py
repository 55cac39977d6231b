"""`mezzotint models`: what the engine can do with a model is found out once, and kept."""

import json
import shutil
from pathlib import Path

from typer.testing import CliRunner, Result

from mezzotint.engine.models import files
from mezzotint.main import app


def mezzotint(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["models", *arguments])


def test_a_check_is_kept_until_the_weights_change(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(files.locate("starter"), tmp_path / "copy"))
    (folder / "SHA256SUMS").unlink()
    toml = tmp_path / "models.toml"
    toml.write_text(f'[[models]]\nname = "ink"\nsource = "{folder}"\n')
    flags = ("--data", str(tmp_path / "data"), "--models", str(toml))

    before = mezzotint("list", *flags).stdout.splitlines()[1]
    assert before.split()[0] == "ink"
    assert before.split()[-3:] == ["?", "?", "?"]
    done = mezzotint("check", *flags, "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "batches     yes" in done.stdout
    assert "resumes     step" in done.stdout
    assert json.loads((tmp_path / "data" / "verdicts.json").read_text())
    assert mezzotint("list", *flags).stdout.splitlines()[1].split()[-3:] == ["yes", "step", "False"]

    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes())
    assert mezzotint("list", *flags).stdout.splitlines()[1].split()[-3:] == ["?", "?", "?"]


def test_an_unknown_name_is_told_with_those_there_are(tmp_path: Path) -> None:
    done = mezzotint("check", "oil", "--data", str(tmp_path))
    assert done.exit_code == 1
    assert "served: mezzotint-starter" in done.output
