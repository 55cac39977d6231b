"""The autoencoder of a file in Stable Diffusion's own names takes the place of a model's own, tensor by tensor."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mezzotint.domain.errors import ModelCorrupt
from mezzotint.engine.models.added_parts import AddedParts
from mezzotint.engine.models.load import load_pipeline
from mezzotint.engine.models.replaced_vae import check_vae, locate_vae


def test_a_file_alone_or_within_a_model_gives_its_autoencoder(sd1_model: tuple[Path, Path], tmp_path: Path) -> None:
    folder, whole = sd1_model
    own = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    prefix = "first_stage_model."
    alone = {
        name.removeprefix(prefix): tensor + 1 for name, tensor in load_file(whole).items() if name.startswith(prefix)
    }
    save_file(alone, tmp_path / "alone.safetensors")
    for path, added in ((whole, 0.0), (tmp_path / "alone.safetensors", 1.0), (folder, 0.0)):
        vae = locate_vae(str(path))
        check_vae(vae, folder, with_torch=True)
        pipeline = load_pipeline(folder, "cpu", added=AddedParts(vae=vae))
        found = pipeline.vae.state_dict()
        assert found.keys() == own.keys()
        assert all(torch.equal(found[name].flatten(), (own[name] + added).flatten()) for name in own)


def test_an_autoencoder_of_other_latents_is_refused(sd1_model: tuple[Path, Path], tmp_path: Path) -> None:
    folder, _ = sd1_model
    config = (folder / "vae" / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"latent_channels": 4', '"latent_channels": 16'))
    with pytest.raises(ModelCorrupt, match="latent_channels is 16, not 4"):
        check_vae(tmp_path, folder, with_torch=False)
