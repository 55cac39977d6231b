"""`mezzotint models`: what the engine can do with a model is found out once, and kept."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from mezzotint.engine.forecasting.calibration import Calibration
from mezzotint.engine.models import files
from mezzotint.main import app


def mezzotint(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["models", *arguments])


def test_a_check_is_kept_until_the_weights_change(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(files.locate("starter"), tmp_path / "copy"))
    (folder / "SHA256SUMS").unlink()
    card = json.loads((folder / "mezzotint.json").read_text())
    (folder / "mezzotint.json").write_text(json.dumps(card | {"default_steps": 8}))  # pictures that are soon drawn
    toml = tmp_path / "models.toml"
    toml.write_text(f'[[models]]\nname = "ink"\nsource = "{folder}"\n')
    flags = ("--data", str(tmp_path / "data"), "--models", str(toml))

    before = mezzotint("list", *flags).stdout.splitlines()[1]
    assert before.split()[0] == "ink"
    assert before.split()[-3:] == ["?", "?", "?"]
    done = mezzotint("check", *flags, "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "draws       generate, variation, inpaint, outpaint at 32 x 32 px, its smallest" in done.stdout
    assert "batches     yes" in done.stdout
    assert "resumes     step" in done.stdout
    kept = json.loads(json.loads((tmp_path / "data" / "capabilities.json").read_text())["ink"])["forecast"]
    found = Calibration.from_document(kept)
    assert found.to_document() == kept
    for speed, trial in found.trials().items():
        assert f"  {speed:<11} {'makes every pass' if trial is None else 'leaves out'}" in done.stdout
    assert json.loads((tmp_path / "data" / "verdicts.json").read_text())
    assert mezzotint("list", *flags).stdout.splitlines()[1].split()[-3:] == ["yes", "step", "False"]

    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes())
    assert mezzotint("list", *flags).stdout.splitlines()[1].split()[-3:] == ["?", "?", "?"]


def test_a_task_that_fails_is_named_with_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mezzotint.engine.canvas import Canvas

    def misplace(self: Canvas, drawn: Image.Image) -> Image.Image:
        return drawn.resize((33, 32))

    monkeypatch.setattr(Canvas, "restore_unmasked", misplace)
    done = mezzotint("check", "--data", str(tmp_path), "--device", "cpu")
    assert done.exit_code == 1
    assert "variation at 32 x 32 px gives 33 x 32 px" in done.output
    assert "model_unsupported" in done.output


def test_an_unknown_name_is_told_with_those_there_are(tmp_path: Path) -> None:
    done = mezzotint("check", "oil", "--data", str(tmp_path))
    assert done.exit_code == 1
    assert "served: mezzotint-starter" in done.output
