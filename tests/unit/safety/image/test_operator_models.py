"""An operator's models, as tiny ones with random weights that were saved to a folder."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPTokenizer,
    CLIPVisionConfig,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

from mezzotint.domain.errors import ModelCorrupt, ModelMissing
from mezzotint.policy.safety.document import SafetyPolicy
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.safety.image.loading import load_postfilter
from mezzotint.safety.image.operator_models import ClipClassifier, TransformersClassifier

SIDE = 16
SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
LABELS = {0: "calm", 1: "gore", 2: "blood"}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(1)
    config = ViTConfig(
        **SMALL, image_size=SIDE, patch_size=8, id2label=LABELS, label2id={v: k for k, v in LABELS.items()}
    )
    model = ViTForImageClassification(config)
    model.classifier.bias.data = torch.tensor([0.0, 1.0, 2.0])
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(2)
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    text = CLIPTextConfig(**SMALL, **ends, vocab_size=len(words), max_position_embeddings=32)
    vision = CLIPVisionConfig(**SMALL, image_size=SIDE, patch_size=8)
    CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8)).save_pretrained(
        folder
    )
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=32)
    pictures = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    CLIPProcessor(pictures, tokenizer).save_pretrained(folder)
    return folder


def test_the_labels_that_count_are_summed_by_class(classifier: Path, apple: Image.Image) -> None:
    model = TransformersClassifier("gore", classifier, {"gore": "violence", "blood": "violence"})
    assert model.classes == ("violence",)
    both = model.score(apple)["violence"]
    one = TransformersClassifier("gore", classifier, {"gore": "violence"}).score(apple)["violence"]
    calm = TransformersClassifier("gore", classifier, {"calm": "any"}).score(apple)["any"]
    assert 0 < one < both < 1
    assert both + calm == pytest.approx(1, abs=1e-5)


def test_a_clip_model_tells_the_classes_by_their_descriptions(clip: Path, apple: Image.Image) -> None:
    prompts = {"violence": ["gore", "a wound"], "harmless": ["a fruit", "a house", "a dog"]}
    model = ClipClassifier("words", clip, prompts)
    assert model.classes == ("violence",)
    score = model.score(apple)["violence"]
    turned = ClipClassifier("words", clip, {"any": prompts["harmless"], "harmless": prompts["violence"]})
    assert 0 < score < 1
    assert score + turned.score(apple)["any"] == pytest.approx(1, abs=1e-5)
    assert model.version != turned.version


def test_the_policy_file_names_them_and_their_scores_decide(classifier: Path, apple: Image.Image) -> None:
    entry = {"kind": "transformers", "path": str(classifier), "labels": {"gore": "violence", "blood": "violence"}}
    policy = {
        "version": "house",
        "image": {"finished": {"violence": 0.5}},
        "classifiers": {
            "gore detector": {**entry, "uses": ["finished"]},
            "young_face": {"uses": ["finished", "preview", "upload"]},
        },
    }
    verdict = load_postfilter(SafetyPolicy.model_validate(policy)).check(apple)
    assert verdict.verdict is SafetyVerdict.BLOCK
    assert verdict.scores["gore detector"]["violence"] > 0.5


def test_a_folder_or_label_that_is_not_there_is_named(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"config\.json"):
        TransformersClassifier("x", tmp_path, {"gore": "violence"})
    with pytest.raises(ModelCorrupt, match="no label horror"):
        TransformersClassifier("x", classifier, {"horror": "violence"})
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelCorrupt):
        TransformersClassifier("x", tmp_path, {"gore": "violence"})


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"kind": "transformers", "labels": {"a": "violence"}}, "needs a path"),
        ({"kind": "transformers", "path": "x"}, "needs labels"),
        ({"kind": "transformers", "path": "x", "labels": {"a": "ugly"}}, "no class"),
        ({"kind": "clip", "path": "x", "prompts": {"violence": ["a"]}}, "harmless"),
        ({"path": "x"}, "needs a kind"),
    ],
)
def test_an_entry_that_cannot_work_is_refused(entry: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        SafetyPolicy.model_validate({"version": "x", "classifiers": {"own": {**entry, "uses": ["finished"]}}})
