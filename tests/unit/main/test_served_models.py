"""From a list of models to models in memory."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderTiny

from mezzotint.config import read_settings
from mezzotint.domain.errors import ModelMissing, SettingInvalid
from mezzotint.domain.tier import Tier
from mezzotint.engine.models import files
from mezzotint.main import served_models
from mezzotint.main.served_models import Findings, build_catalog, find_models, is_exact
from mezzotint.policy.admission.admit import Admit, Terms, admit
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.request import JobRequest

CHANNELS = json.loads((files.locate("starter") / "vae" / "config.json").read_text())["latent_channels"]


def listed(folder: Path, *entries: str) -> Path:
    path = folder / "models.toml"
    path.write_text("\n".join(f"[[models]]\n{entry}" for entry in entries))
    return path


def test_a_listed_model_comes_with_its_name_and_its_own_previews(tmp_path: Path) -> None:
    AutoencoderTiny(
        latent_channels=CHANNELS, encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1),
    ).save_pretrained(tmp_path / "tiny")  # fmt: skip
    entry = f'name = "ink"\nsource = "starter"\npreview = "{tmp_path / "tiny"}"'
    settings = read_settings(models=listed(tmp_path, entry), device="cpu", data=tmp_path)
    (offer,) = find_models(settings)
    assert offer.info.name == "ink"
    catalog = build_catalog(settings, [offer], Findings.of(tmp_path))
    assert (list(catalog.num_bytes), list(catalog.warm)) == (["ink"], [])
    catalog.prepare()
    told: list[float] = []
    loaded = catalog.load("ink", told.append)
    assert told[-1] == 1.0
    assert loaded.num_bytes > 0
    assert loaded.previews is not None
    assert loaded.previews.is_tiny
    picture = loaded.previews.image(torch.zeros(1, CHANNELS, 8, 8))
    assert picture is not None
    assert picture.shape == (16, 16, 3), "the tiny one has half as many stages"
    assert len(json.loads((tmp_path / "previews.json").read_text())) == 1


def test_what_the_machine_cannot_do_stops_the_start_and_not_the_first_job(tmp_path: Path) -> None:
    toml = listed(tmp_path, 'name = "a"\nsource = "starter"', 'name = "b"\nsource = "starter"\noffload = "model"')
    settings = read_settings(models=toml, device="cpu")
    catalog = build_catalog(settings, find_models(settings))
    with pytest.raises(SettingInvalid, match="b: offload"):
        catalog.prepare()


def test_a_model_that_is_compiled_has_drawn_before_it_is_ready_at_no_jobs_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths: list[int] = []

    def compile_denoiser(module: Any) -> None:
        def compiled(*args: Any, **kwargs: Any) -> Any:
            widths.append(len(args[0]))
            return module._call_impl(*args, **kwargs)

        module._compiled_call_impl = compiled

    monkeypatch.setattr("mezzotint.engine.models.compiled.compile_denoiser", compile_denoiser)
    settings = read_settings(device="cpu", exact=False, compile=True, data=tmp_path)
    catalog = build_catalog(settings, find_models(settings))
    catalog.prepare()
    hub = catalog.load("mezzotint-starter", lambda share: None).hub
    assert {2, 4} <= set(widths), "one picture with guidance, and two"
    assert (hub.num_passes, hub.pass_s) == (0, 0.0)
    assert hub.fingerprint["kernels"].endswith("compiled")


def test_compiling_is_refused_in_exact_mode_and_an_entry_may_say_no(tmp_path: Path) -> None:
    toml = listed(tmp_path, 'name = "a"\nsource = "starter"\ncompile = false')
    own = read_settings(models=toml, device="cpu", exact=True, compile=True)
    build_catalog(own, find_models(own)).prepare()
    settings = read_settings(device="cpu", exact=True, compile=True)
    with pytest.raises(SettingInvalid, match="needs fast mode"):
        build_catalog(settings, find_models(settings)).prepare()


@pytest.mark.parametrize(
    ("device", "exact", "card", "listed", "ordered"),
    [
        ("cuda:0", False, None, None, True),
        ("cuda:0", True, None, None, False),
        ("cpu", False, None, None, False),
        ("cuda:0", False, False, None, False),
        ("cpu", True, True, None, True),
        ("cuda:0", False, None, False, False),
        ("cpu", True, False, True, True),
    ],
)
def test_convolutions_of_a_unet_are_channels_last_on_a_gpu_in_fast_mode(
    tmp_path: Path, device: str, exact: bool, card: bool | None, listed: bool | None, ordered: bool
) -> None:
    (offer,) = find_models(read_settings(device="cpu"))
    for name in ("model_index.json", "mezzotint.json"):
        (tmp_path / name).write_text((offer.folder / name).read_text())
    written = json.loads((tmp_path / "mezzotint.json").read_text())
    written = {key: value for key, value in written.items() if key != "channels_last"}
    said = {} if card is None else {"channels_last": card}
    (tmp_path / "mezzotint.json").write_text(json.dumps(written | said))
    entry = offer.entry.model_copy(update={"channels_last": listed})
    found = served_models._resolve(replace(offer, entry=entry, folder=tmp_path), read_settings(exact=exact), device)
    assert found.channels_last is ordered


def test_one_model_or_a_list_but_not_both(tmp_path: Path) -> None:
    toml = listed(tmp_path, 'name = "a"\nsource = "starter"')
    with pytest.raises(SettingInvalid, match="both set"):
        find_models(read_settings(models=toml, model="owner/name"))
    (offer,) = find_models(read_settings(model="starter"))
    assert (offer.info.name, offer.entry.warm) == ("mezzotint-starter", True)


def test_a_path_that_the_system_does_not_look_at_is_named(tmp_path: Path) -> None:
    for more in ("", "x.safetensors"):
        with pytest.raises(ModelMissing, match="cannot be read: File name too long"):
            find_models(read_settings(model="x" * 5000 + more))


def test_exact_mode_is_the_default_on_a_processor_and_a_choice_on_a_gpu() -> None:
    by_default, chosen, fast = (read_settings(exact=exact) for exact in (None, True, False))
    assert [is_exact(by_default, device) for device in ("cpu", "cuda", "cuda:1")] == [True, False, False]
    assert [is_exact(chosen, device) for device in ("cpu", "cuda:1")] == [True, True]
    assert [is_exact(fast, device) for device in ("cpu", "cuda:1")] == [False, False]


def test_further_names_stand_in_the_file_or_in_the_setting(tmp_path: Path) -> None:
    entry = 'name = "ink"\nsource = "starter"\naliases = ["gpt-image-1", "dall-e-3"]'
    (listed_model,) = find_models(read_settings(models=listed(tmp_path, entry)))
    (only,) = find_models(read_settings(model_aliases=" gpt-image-1, dall-e-3"))
    assert listed_model.info.aliases == only.info.aliases == ("gpt-image-1", "dall-e-3")
    with pytest.raises(SettingInvalid, match="model_aliases"):
        find_models(read_settings(model_aliases="a b"))
    with pytest.raises(SettingInvalid, match="2 times"):
        find_models(read_settings(models=listed(tmp_path, entry, 'name = "dall-e-3"\nsource = "starter"')))
    with pytest.raises(SettingInvalid, match="aliases"):
        find_models(read_settings(models=listed(tmp_path, entry), model_aliases="x"))


def test_a_listed_model_draws_with_the_sampler_that_its_entry_names(tmp_path: Path) -> None:
    entry = 'name = "ink"\nsource = "starter"\nsampler = "euler karras"'
    (offer,) = find_models(read_settings(models=listed(tmp_path, entry), device="cpu", data=tmp_path))
    terms = Terms(tier=Tier.FREE, models=[offer.info], num_open_jobs=0, fresh_seed=1)
    for sampler, drawn in ((None, "Euler Karras"), ("DDIM", "DDIM")):
        admitted = admit(parse_request(JobRequest(prompt="a cat", sampler=sampler)), terms)
        assert isinstance(admitted, Admit)
        assert admitted.plans[0].parameters.sampler == drawn


def test_a_listed_models_options_hold_for_requests_that_name_none(tmp_path: Path) -> None:
    entry = 'name = "ink"\nsource = "starter"\neta = 0.5\nguidance_rescale = 0.7\nclip_skip = 2'
    (offer,) = find_models(read_settings(models=listed(tmp_path, entry)))
    admitted = admit(
        parse_request(JobRequest(prompt="a cat")),
        Terms(tier=Tier.FREE, models=[offer.info], num_open_jobs=0, fresh_seed=7),
    )
    assert isinstance(admitted, Admit)
    drawn = admitted.plans[0].parameters
    assert (drawn.eta, drawn.guidance_rescale, drawn.clip_skip) == (0.5, 0.7, 2)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('eta = 0.5\nsampler = "Euler a"', "Euler a passes over eta; samplers that heed it: DDIM"),
        ("eta = 1.5", "less than or equal to 1"),
        ("clip_skip = 9", "clip_skip = 9; the model takes 1 to 6"),
    ],
)
def test_an_option_that_the_model_passes_over_stops_the_start(tmp_path: Path, more: str, told: str) -> None:
    with pytest.raises(SettingInvalid, match=told):
        find_models(read_settings(models=listed(tmp_path, f'name = "ink"\nsource = "starter"\n{more}')))


@pytest.mark.parametrize("sampler", ["Heun 9", "DPM++ 2M Karras"])
def test_a_sampler_that_the_model_does_not_take_stops_the_start(tmp_path: Path, sampler: str) -> None:
    entry = f'name = "ink"\nsource = "starter"\nsampler = "{sampler}"'
    settings = read_settings(models=listed(tmp_path, entry), device="cpu", data=tmp_path)
    with pytest.raises(SettingInvalid, match=r"ink has no sampler .* it takes DDIM"):
        find_models(settings)
