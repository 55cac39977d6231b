"""An autoencoder and embeddings from the list of models: served, in the fingerprint and the recipe, or refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mezzotint.config import Settings, read_settings
from mezzotint.domain.drawing.named_weights import NamedWeights, find_tokens
from mezzotint.domain.drawing.recipe import Recipe
from mezzotint.domain.errors import MezzotintError
from mezzotint.domain.ids import Sha256
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.domain.tier import Tier
from mezzotint.engine.models import files
from mezzotint.main.served_models import ServedModel, build_catalog, find_models
from mezzotint.media.metadata.infotext import format_infotext, parse_infotext, to_recipe
from mezzotint.media.metadata.recipe_json import format_recipe, parse_recipe
from mezzotint.policy.admission.admit import Admit, Terms, admit
from mezzotint.policy.admission.draw_again import plan_again
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.request import JobRequest
from mezzotint.store.rows import document_of_parameters, parameters_of
from tests.conformance.engine.driving import finish

STARTER = files.locate("starter")
VAE = STARTER / "vae" / "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts for the starter: an autoencoder that paints everything darker, as a file and a folder, and an embedding."""
    folder = tmp_path_factory.mktemp("parts")
    tensors = load_file(VAE)
    last = max(int(name.split(".")[2]) for name in tensors if name.startswith("decoder.layers."))
    tensors[f"decoder.layers.{last}.bias"] -= 0.5
    save_file(tensors, folder / "dark.safetensors")
    (folder / "dark").mkdir()
    save_file(tensors, folder / "dark" / VAE.name)
    (folder / "dark" / "config.json").write_bytes((STARTER / "vae" / "config.json").read_bytes())
    save_file(
        {"emb_params": torch.randn(2, 384, generator=torch.Generator().manual_seed(3))}, folder / "ink.safetensors"
    )
    save_file({"emb_params": torch.ones(2, 768)}, folder / "wide.safetensors")
    save_file(
        {name: tensors[name] for name in tensors if name != f"decoder.layers.{last}.bias"}, folder / "part.safetensors"
    )
    tensors[f"decoder.layers.{last}.bias"] = torch.zeros(1)
    save_file(tensors, folder / "narrow.safetensors")
    return folder


def listed(folder: Path, target: Path, *, vae: str = "", embedding: str = "") -> Settings:
    text = '[[models]]\nname = "star"\nsource = "starter"\n' + (f'vae = "{folder / vae}"\n' if vae else "")
    text += '[[models]]\nname = "plain"\nsource = "starter"\n'
    if embedding:
        text += f'[[embeddings]]\ntoken = "Inky"\nsource = "{folder / embedding}"\nmodels = ["star"]\n'
    (target / "models.toml").write_text(text)
    return read_settings(models=target / "models.toml", data=target, device="cpu")


def ask(offers: tuple[ServedModel, ...], prompt: str, model: str = "star") -> Admit | Refusal:
    terms = Terms(tier=Tier.FREE, models=[offer.info for offer in offers], num_open_jobs=0, fresh_seed=7)
    return admit(parse_request(JobRequest(prompt=prompt, model=model, num_steps=3)), terms)


def draw(settings: Settings, offer: ServedModel, admitted: Admit | Refusal) -> tuple[np.ndarray, str]:
    assert isinstance(admitted, Admit), admitted
    loaded = build_catalog(settings, [offer]).load(offer.info.name, lambda share: None)
    assigned = loaded.tasks.assign(admitted.plans[0].parameters, None, None)
    run = loaded.hub.submit(assigned.kwargs, pipeline=assigned.pipeline)
    finish(loaded.hub, run)
    return np.asarray(run.output.images[0], float), loaded.hub.fingerprint["weights"]


def test_both_reach_the_picture_the_fingerprint_the_row_and_the_recipe(folder: Path, tmp_path: Path) -> None:
    settings = listed(folder, tmp_path, vae="dark.safetensors", embedding="ink.safetensors")
    offers = find_models(settings)
    admitted = ask(offers, "a red apple, (inky:1.2)")
    assert isinstance(admitted, Admit)
    parameters = admitted.plans[0].parameters
    assert parameters.vae is not None
    assert parameters.vae.name == "dark"
    assert [one.name for one in parameters.embeddings] == ["Inky"]
    assert parameters_of(document_of_parameters(parameters)) == parameters
    dark, changed = draw(settings, offers[0], ask(offers, "a red apple"))
    plain, usual = draw(settings, offers[1], ask(offers, "a red apple", "plain"))
    called, _ = draw(settings, offers[0], admitted)
    assert dark.mean() < plain.mean() - 20
    assert np.abs(called - dark).mean() > 1
    assert changed != usual

    recipe = Recipe.of(parameters, "star", "Mezzotint 1")
    assert parse_recipe(format_recipe(recipe)) == replace(recipe, styles=())
    read = to_recipe(parse_infotext(format_infotext(recipe)))
    assert read is not None
    assert (read.vae, read.embeddings[0].name) == (
        NamedWeights(name="dark", sha256=Sha256(parameters.vae.sha256[:10])), "Inky",
    )  # fmt: skip
    models = [offer.info for offer in offers]
    assert plan_again(recipe, models).notes == plan_again(read, models).notes == ()
    told = " ".join(plan_again(recipe, [replace(models[1], name="star")]).notes)
    assert "autoencoder" in told
    assert "Inky" in told
    other = replace(recipe, embeddings=(NamedWeights(name="Inky", sha256=Sha256("0" * 64)),))
    assert "another file" in " ".join(plan_again(other, models).notes)


def test_a_word_of_another_models_embedding_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    offers = find_models(listed(folder, tmp_path, embedding="ink.safetensors"))
    refusal = ask(offers, "an inky apple", "plain")
    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.EMBEDDING_UNSUPPORTED
    assert '"Inky" does not fit plain; it is one of star' in refusal.message
    assert isinstance(ask(offers, "a pinky apple", "plain"), Admit)


def test_an_autoencoder_in_a_folder_is_the_one_of_the_file(folder: Path, tmp_path: Path) -> None:
    drawn = []
    for vae in ("dark", "dark.safetensors"):
        settings = listed(folder, tmp_path, vae=vae)
        offers = find_models(settings)
        drawn.append(draw(settings, offers[0], ask(offers, "a red apple")))
    assert np.array_equal(drawn[0][0], drawn[1][0])
    assert drawn[0][1] == drawn[1][1]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"vae": "ink.safetensors"}, "holds no autoencoder"),
        ({"vae": "part.safetensors"}, "is missing, not"),
        ({"vae": "narrow.safetensors"}, r"does not fit AutoencoderTiny .* is \[1\], not \[3\]"),
        ({"vae": "nowhere"}, "there is no autoencoder"),
        ({"embedding": "wide.safetensors"}, "the embedding 'Inky': .*whose words have 384 numbers"),
        ({"embedding": "nowhere.safetensors"}, "the embedding 'Inky': .*missing"),
    ],
)
def test_what_does_not_fit_stops_the_start_by_name(
    folder: Path, tmp_path: Path, more: dict[str, str], told: str
) -> None:
    with pytest.raises(MezzotintError, match=told):
        find_models(listed(folder, tmp_path, **more))


def test_words_are_found_whole_in_any_case_in_linear_time() -> None:
    assert find_tokens("An INKY, (paper-cut:1.2) apple", ["inky", "paper-cut", "cut"]) == {"inky", "paper-cut"}
    assert find_tokens("inkyinky" * 100_000, ["inky"]) == frozenset()
    assert find_tokens("a <lol> b", ["<lol>"]) == {"<lol>"}
