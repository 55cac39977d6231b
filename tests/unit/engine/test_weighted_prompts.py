"""Words with weight and long prompts: what is read, that other prompts keep every bit, and that runs stay exact."""

import copy
import json
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from mezzotint.engine import EmbeddingCache, Hub
from mezzotint.engine.models import files, load
from mezzotint.engine.models.describe import describe_model
from mezzotint.engine.models.read_texts import find_cut_texts
from mezzotint.engine.models.weighted_prompts import MAX_CHUNKS, is_weighing, weigh_words
from mezzotint.engine.request import call_kwargs
from tests.conformance.engine.driving import finish, run_alone, same_pictures
from tests.conformance.engine.zoo.classic import BETAS, parts
from tests.conformance.engine.zoo.parts import common, seeded
from tests.making import make_parameters

SIZE = 14
"""Words of a chunk of the toy's encoder: each letter is one."""


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokenizer")
    words = ["<|startoftext|>", "<|endoftext|>", *(f"{letter}</w>" for letter in "abcdefgh,"), *"abcdefgh,"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=SIZE + 2)
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=SIZE + 2,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    made = seeded(
        lambda: StableDiffusionPipeline(
            **parts(EulerDiscreteScheduler(**BETAS), text_encoder=CLIPTextModel(config), tokenizer=tokenizer)
        )
    )()
    EmbeddingCache().attach(made)
    return made


@pytest.fixture(scope="module")
def weighing(stock: Any) -> Any:
    return weigh_words(copy.copy(stock))


@torch.no_grad()
def encode(pipeline: Any, prompt: str, negative: str | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    found: tuple[torch.Tensor, torch.Tensor] = pipeline.encode_prompt(prompt, "cpu", 1, True, negative)
    return found


def test_prompts_without_weights_go_the_stock_way(stock: Any, weighing: Any) -> None:
    assert is_weighing(weighing)
    assert not is_weighing(stock)
    assert type(weighing).__qualname__ == type(stock).__qualname__
    for one, other in zip(encode(weighing, "a b", "c"), encode(stock, "a b", "c"), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(encode(weighing, "(a b:1.0)")[0], encode(stock, "a b")[0])
    assert torch.equal(encode(weighing, "a b", "(c:1.0)")[1], encode(stock, "a b", "c")[1])


def test_a_words_vector_is_as_many_times_as_long_and_the_mean_stays(stock: Any, weighing: Any) -> None:
    plain, weighted = encode(stock, "a b c")[0], encode(weighing, "a (b:1.5) c")[0]
    ratio = weighted / plain
    assert torch.allclose(ratio[0, 2] / ratio[0, 1], torch.tensor(1.5), rtol=1e-3)  # behind the begin's token
    assert torch.allclose(ratio[0, 3], ratio[0, 1], rtol=1e-3)
    assert torch.allclose(weighted.mean(), plain.mean(), rtol=1e-3)


def test_a_long_prompt_is_read_chunk_by_chunk_and_what_is_beyond_the_last_is_told(stock: Any, weighing: Any) -> None:
    long = " ".join("abcdefgh"[i % 8] for i in range(SIZE + 5))
    prompt, negative = encode(weighing, long, "c")
    assert prompt.shape == negative.shape == (1, 2 * (SIZE + 2), 32)
    assert torch.equal(prompt[:, : SIZE + 2], encode(stock, long)[0])
    assert torch.equal(negative[:, : SIZE + 2], encode(stock, "a", "c")[1])
    assert torch.equal(negative[:, SIZE + 2 :], encode(stock, "")[0])
    assert encode(weighing, "a BREAK b")[0].shape[1] == 2 * (SIZE + 2)
    torn = " ".join(["a"] * 10 + [","] + ["b"] * 6)  # the words behind the comma stay together
    assert torch.equal(encode(weighing, torn)[0][:, SIZE + 2 :], encode(stock, "b b b b b b")[0])
    longer = " ".join(["a"] * (SIZE * MAX_CHUNKS + 1))
    assert find_cut_texts(weighing, {"prompt": long, "negative_prompt": None}) == {}
    assert find_cut_texts(weighing, {"prompt": longer}) == {"prompt": longer[:-2]}
    assert encode(weighing, longer)[0].shape[1] == MAX_CHUNKS * (SIZE + 2)


def test_weighted_runs_are_exact_in_company_and_resumed_at_every_step(weighing: Any) -> None:
    def request(i: int) -> dict[str, Any]:
        prompt = ["a (b:1.4) c", "a b c", "[a] ((b)) BREAK c"][i]
        return common(i, 3) | {"prompt": prompt, "negative_prompt": "(d:1.2)", "guidance_scale": 4.0}

    alone = [run_alone(weighing, request(i)) for i in range(3)]
    assert not same_pictures(run_alone(weighing, request(0) | {"prompt": "a b c"}), alone[0])
    hub = Hub(weighing)
    together = [hub.submit(request(i), checkpoint_at=1 + i % 2) for i in range(3)]
    finish(hub, *together)
    for i, run in enumerate(together):
        assert same_pictures(run, alone[i])
        resumed = Hub(weighing)
        again = resumed.submit(request(i), resume=run.checkpoint)
        finish(resumed, again)
        assert same_pictures(again, alone[i])
        assert again.num_replayed > 0


def test_the_starter_weighs_words_and_cuts_long_prompts() -> None:
    folder = files.locate("starter")
    assert describe_model(folder).weighs_words
    pipeline = load.load_pipeline(folder, "cpu")

    def draw(prompt: str) -> np.ndarray:
        kwargs = call_kwargs(pipeline, make_parameters(num_steps=4)) | {"prompt": prompt}
        return np.asarray(run_alone(pipeline, kwargs).output.images[0], float)

    plain = draw("a red apple")
    assert np.array_equal(draw("(a red apple:1.0)"), plain)
    assert np.abs(draw("a (red:1.4) apple") - plain).mean() > 0.5
    assert "prompt" in find_cut_texts(pipeline, {"prompt": "(a red apple:1.2) " * 40})
