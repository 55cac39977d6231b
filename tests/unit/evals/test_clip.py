"""CLIP, SigLIP and linear heads by path, with tiny random weights: the arithmetic and the errors, not the quality."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

from mezzotint.domain.errors import ModelMissing, ModelUnsupported
from mezzotint.evals.pictures.clip import ClipScorer, load_linear_head
from mezzotint.evals.pictures.drawn import DrawnPicture

TOWER = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
APPLE = DrawnPicture(id="1", prompt="abc", picture=Image.new("RGB", (40, 30), "red"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("clip")
    words = ["<|startoftext|>", "<|endoftext|>", *(f"{letter}</w>" for letter in "abcdefgh"), *"abcdefgh"]
    (path / "vocab.json").write_text(json.dumps({word: at for at, word in enumerate(words)}))
    (path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(path / "vocab.json"), str(path / "merges.txt"), model_max_length=8)
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    text = {**TOWER, **ids, "vocab_size": len(words), "max_position_embeddings": 8}
    vision = {**TOWER, "image_size": 32, "patch_size": 16}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).save_pretrained(path)
    size = {"height": 32, "width": 32}
    CLIPProcessor(CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size), tokenizer).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def clip(folder: Path) -> ClipScorer:
    return ClipScorer(str(folder))


def test_the_score_is_the_cosine_of_picture_and_prompt(folder: Path, clip: ClipScorer) -> None:
    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPProcessor.from_pretrained(folder)
    inputs = processor(text=["abc"], images=APPLE.picture, return_tensors="pt", padding=True)
    with torch.inference_mode():
        expected = model(**inputs).logits_per_image.item() / model.logit_scale.exp().item()
    assert clip.score(APPLE) == pytest.approx(expected, abs=1e-5)


def test_a_long_prompt_is_cut(clip: ClipScorer) -> None:
    assert -1 <= clip.score(DrawnPicture(id="2", prompt="abc " * 500, picture=APPLE.picture)) <= 1


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_linear_head_weighs_the_features(tmp_path: Path, clip: ClipScorer, suffix: str) -> None:
    state = {"weight": torch.arange(16.0)[None], "bias": torch.tensor([2.0])}
    path = tmp_path / f"head.{suffix}"
    if suffix == "pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    expected = float(clip.embed_picture(APPLE) @ torch.arange(16.0) + 2)
    assert load_linear_head(path, clip)(APPLE) == pytest.approx(expected)


def test_a_head_of_another_clip_is_refused(tmp_path: Path, clip: ClipScorer) -> None:
    save_file({"weight": torch.zeros(1, 768), "bias": torch.zeros(1)}, tmp_path / "head.safetensors")
    with pytest.raises(ModelUnsupported, match="768 features; this CLIP gives 16"):
        load_linear_head(tmp_path / "head.safetensors", clip)(APPLE)


@pytest.mark.parametrize("content", [b"no weights", b""])
def test_a_file_that_holds_no_head_is_refused(tmp_path: Path, clip: ClipScorer, content: bytes) -> None:
    (tmp_path / "head.pth").write_bytes(content)
    with pytest.raises(ModelUnsupported, match="holds no weights"):
        load_linear_head(tmp_path / "head.pth", clip)


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="cannot be loaded"):
        ClipScorer(str(tmp_path))
