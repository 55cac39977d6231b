"""Embeddings: read as diffusers reads them, refused by name where they do not fit, unseen by every other prompt."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mezzotint.domain.errors import EmbeddingInvalid
from mezzotint.engine.models.read_texts import find_cut_texts
from mezzotint.engine.models.textual_inversion import check_embedding, load_embeddings
from mezzotint.engine.models.weighted_prompts import weigh_words
from mezzotint.engine.numerics import weights_hash
from tests.conformance.engine.zoo.parts import seeded
from tests.unit.engine.models.tiny_families import sd, sdxl

STYLE = torch.linspace(-1, 1, 3 * 32).reshape(3, 32)


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str = "style", **tensors: torch.Tensor) -> Path:
        path = tmp_path / f"{name}.safetensors"
        save_file(tensors or {"emb_params": STYLE}, path)
        return path

    return write


@torch.no_grad()
def encode(pipeline: Any, prompt: str, negative: str = "") -> list[torch.Tensor]:
    return [one for one in pipeline.encode_prompt(prompt, device="cpu", num_images_per_prompt=1,
            do_classifier_free_guidance=True, negative_prompt=negative) if one is not None]  # fmt: skip


@pytest.mark.parametrize("key", ["emb_params", "<inky>"])
def test_a_word_is_read_as_diffusers_reads_it_and_others_keep_every_bit(file: Callable[..., Path], key: str) -> None:
    stock, ours = seeded(sd)(), seeded(sd)()
    plain, before = encode(stock, "a red cat", "blue"), weights_hash(ours)
    path = file(**{key: STYLE})
    stock.load_textual_inversion(str(path.parent), weight_name=path.name, token="<inky>")
    load_embeddings(ours, [("<inky>", path)])
    weigh_words(ours)
    expected = encode(stock, "a red <inky> cat", "no <inky>")
    for found, wanted in zip(encode(ours, "a red <Inky> cat", "no <inky>"), expected, strict=True):
        assert torch.equal(found, wanted)
    for found, wanted in zip(encode(ours, "a red cat", "blue"), plain, strict=True):
        assert torch.equal(found, wanted)
    assert weights_hash(ours) != before


def test_a_word_counts_whole_with_weights_and_stays_together_at_a_chunks_end(file: Callable[..., Path]) -> None:
    pipeline = seeded(sd)()
    load_embeddings(pipeline, [("inky", file())])
    weigh_words(pipeline)
    assert not torch.equal(encode(pipeline, "a (inky:1.3)")[0], encode(pipeline, "a inky")[0])
    for other in ("inkyness", "non-inky", "x_inky"):
        vocabulary = len(pipeline.tokenizer)
        assert max(pipeline.tokenizer(other).input_ids) < vocabulary
        assert encode(pipeline, other)[0].shape == (1, 77, 32)
    torn = encode(pipeline, " ".join(["a"] * 74) + " inky")[0]
    assert torn.shape == (1, 154, 32)
    assert torch.equal(torn[:, 77:], encode(pipeline, "inky")[0])
    assert find_cut_texts(pipeline, {"prompt": "inky"}) == {}


def test_xl_has_a_table_of_each_encoder_and_keeps_the_vector_of_the_texts_end(file: Callable[..., Path]) -> None:
    pipeline = seeded(sdxl)()
    for encoder in (pipeline.text_encoder, pipeline.text_encoder_2):
        for module in encoder.modules():
            if hasattr(module, "eos_token_id"):
                module.eos_token_id = 2  # as Stable Diffusion's own configurations have it
    plain = encode(pipeline, "a cat")
    load_embeddings(pipeline, [("inky", file(clip_l=torch.ones(2, 24), clip_g=torch.ones(2, 40)))])
    weigh_words(pipeline)
    assert all(torch.equal(one, other) for one, other in zip(encode(pipeline, "a cat"), plain, strict=True))
    drawn = encode(pipeline, "a inky cat")
    numbers = pipeline.tokenizer_2("a cat", padding="max_length", max_length=77).input_ids
    first = pipeline.text_encoder_2.get_input_embeddings().num_embeddings - 2
    called = torch.tensor([[*numbers[:2], first, first + 1, *numbers[2:75]]])
    with torch.no_grad():
        output = pipeline.text_encoder_2(called, output_hidden_states=True)
    end = int((called == pipeline.tokenizer_2.eos_token_id).int().argmax())
    assert end < 77 - 1
    assert any(one.shape == output[0].shape and torch.equal(one, output[0]) for one in drawn)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("families")
    for name, make in (("sd", sd), ("sdxl", sdxl)):
        seeded(make)().save_pretrained(folder / name)
    return folder / "sd", folder / "sdxl"


NAN = STYLE.clone()
NAN[1, 1] = float("nan")


@pytest.mark.parametrize(
    ("tensors", "model", "told"),
    [
        ({"emb_params": torch.ones(2, 48)}, 0, "whose words have 32 numbers"),
        ({"emb_params": torch.ones(65, 32)}, 0, "65 vectors; 64 is the most"),
        ({"emb_params": NAN}, 0, "NaN"),
        ({"clip_l": torch.ones(2, 24), "clip_g": torch.ones(2, 40)}, 0, "two text encoders"),
        ({"emb_params": STYLE}, 1, "has no clip_l"),
        ({"a": STYLE, "b": STYLE + 1}, 0, "is no embedding"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    file: Callable[..., Path], folders: tuple[Path, Path], tensors: dict[str, torch.Tensor], model: int, told: str
) -> None:
    with pytest.raises(EmbeddingInvalid, match=told):
        check_embedding(file(**tensors), folders[model], reads_values=True)


def test_a_pickle_a_truncated_and_a_large_file_are_refused(
    file: Callable[..., Path], folders: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "style.pt").write_bytes(b"\x80\x02")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(file().read_bytes()[:-4])
    large = file("large", emb_params=torch.zeros(2**17, 33))
    for path, told in ((tmp_path / "style.pt", "pickle"), (cut, "damaged"), (large, "at most 16")):
        with pytest.raises(EmbeddingInvalid, match=told):
            check_embedding(path, folders[0], reads_values=True)
    check_embedding(file(), folders[0], reads_values=True)
