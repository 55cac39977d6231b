"""The embedding cache on real, tiny text encoders."""

from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel, CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from mezzotint.engine import embeddings as embeddings_module
from mezzotint.engine.embeddings import EmbeddingCache
from mezzotint.engine.tree import tensors_in

SIZES = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
IDS = torch.tensor([[1, 5, 7, 2]])


def encoders() -> dict[str, Any]:
    torch.manual_seed(0)
    t5 = T5Config(vocab_size=50, d_model=16, d_ff=16, d_kv=8, num_layers=2, num_heads=2)
    return {
        "bert": BertModel(BertConfig(**SIZES)).eval(),
        "clip": CLIPTextModel(CLIPTextConfig(**SIZES, eos_token_id=2)).eval(),
        "t5": T5EncoderModel(t5).eval(),
    }


def attached(module: Any, cache: EmbeddingCache) -> Any:
    cache.attach(SimpleNamespace(components={"text_encoder": module, "tokenizer": None}))
    return module


@torch.no_grad()
def test_where_host_memory_has_no_room_for_a_copy_the_prompt_is_read_and_the_cache_is_emptied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = EmbeddingCache()
    module = attached(encoders()["bert"], cache)
    module(IDS)
    assert cache.held_bytes > 0

    def run_out(output: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(embeddings_module, "_copy_to_host", run_out)
    assert torch.isfinite(module(IDS + 1)[0]).all()
    assert cache.held_bytes == 0
    monkeypatch.undo()
    module(IDS)
    assert (cache.num_hits, cache.num_misses) == (0, 3)


@pytest.mark.parametrize("kind", ["bert", "clip", "t5"])
@torch.no_grad()
def test_the_second_reading_of_a_prompt_is_the_first_to_the_bit(kind: str) -> None:
    module, cache = encoders()[kind], EmbeddingCache()
    plain = module(IDS, output_hidden_states=True)
    attached(module, cache)
    for expected_hits in (0, 1):
        output = module(IDS, output_hidden_states=True)
        assert type(output) is type(plain)
        assert output.keys() == plain.keys()
        assert torch.equal(output[0], plain[0])
        assert all(torch.equal(a, b) for a, b in zip(output.hidden_states, plain.hidden_states, strict=True))
        assert cache.num_hits == expected_hits


@torch.no_grad()
def test_anything_that_decides_the_output_makes_another_entry() -> None:
    cache = EmbeddingCache()
    module = attached(encoders()["clip"], cache)
    module(IDS)
    module(IDS + 1)
    module(IDS.int())
    module(IDS, attention_mask=torch.tensor([[1, 1, 0, 0]]))
    module(IDS, attention_mask=torch.tensor([[1, 1, 1, 0]]))
    module(IDS, output_hidden_states=True)
    assert (cache.num_hits, cache.num_misses) == (0, 6)


@torch.no_grad()
def test_writing_into_an_output_does_not_reach_the_cache() -> None:
    module = attached(encoders()["clip"], EmbeddingCache())
    first = module(IDS)[0]
    kept = first.clone()
    first.zero_()
    second = module(IDS)[0]
    second.zero_()
    assert torch.equal(module(IDS)[0], kept)


@torch.no_grad()
def test_the_least_recently_used_goes_first_and_the_bound_holds() -> None:
    cache = EmbeddingCache()
    module = attached(encoders()["clip"], cache)
    module(IDS)
    cache.max_bytes = 2 * cache.held_bytes
    for ids in (IDS + 1, IDS, IDS + 2):
        module(ids)
    assert cache.held_bytes <= cache.max_bytes
    hits = cache.num_hits
    module(IDS)
    assert cache.num_hits == hits + 1
    module(IDS + 1)
    assert cache.num_hits == hits + 1


def test_nothing_is_remembered_while_gradients_are_wanted() -> None:
    cache = EmbeddingCache()
    module = attached(encoders()["clip"], cache)
    for _ in range(2):
        assert module(IDS)[0].requires_grad
    assert (cache.num_hits, cache.num_misses) == (0, 0)


@torch.no_grad()
def test_entries_are_in_host_memory_and_come_back_where_they_were_made() -> None:
    cache = EmbeddingCache()
    module = attached(encoders()["clip"], cache)
    module(IDS, output_hidden_states=True)
    ((entry, made_on),) = cache._entries.values()
    assert {tensor.device.type for tensor in tensors_in(entry)} == {"cpu"}
    cache._entries = OrderedDict({key: (entry, [torch.device("meta")] * len(made_on)) for key in cache._entries})
    devices = [tensor.device.type for tensor in tensors_in(module(IDS, output_hidden_states=True))]
    assert devices == ["meta"] * len(made_on)


@torch.no_grad()
def test_a_tensor_that_stands_twice_in_an_output_is_kept_and_counted_once() -> None:
    cache, shared = EmbeddingCache(), torch.zeros(256)
    module = torch.nn.Identity()
    module.forward = lambda ids: {"last": shared, "all": (shared, shared)}  # type: ignore[assignment]
    attached(module, cache)(IDS)
    assert cache.held_bytes == 256 * 4
