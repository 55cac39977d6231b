"""What text encoders read of a prompt, by real tokenizers of a few words."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from mezzotint.engine.models.read_texts import find_cut_texts

LONG = "a red apple on a blue table"


def tokenizer(most: int) -> PreTrainedTokenizerFast:
    """Each word is a token, and it reads `most`."""
    words = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", model_max_length=most)


@dataclass
class Pipeline:
    components: dict[str, Any] = field(default_factory=dict)

    def __call__(self, prompt: str) -> None: ...


class BoundPipeline(Pipeline):
    def __call__(self, prompt: str, max_sequence_length: int = 100) -> None: ...


def test_a_text_that_fits_is_not_cut() -> None:
    pipeline = Pipeline({"tokenizer": tokenizer(7), "vae": None})
    assert find_cut_texts(pipeline, {"prompt": LONG, "negative_prompt": None}) == {}


def test_of_a_longer_one_the_words_that_fit_are_told() -> None:
    pipeline = Pipeline({"tokenizer": tokenizer(4)})
    cut = find_cut_texts(pipeline, {"prompt": LONG, "negative_prompt": "x y z t u"})
    assert cut == {"prompt": "a red apple on", "negative_prompt": "x y z t"}


def test_of_several_encoders_the_one_counts_that_reads_most() -> None:
    both = Pipeline({"tokenizer": tokenizer(2), "tokenizer_2": tokenizer(5)})
    assert find_cut_texts(both, {"prompt": LONG}) == {"prompt": "a red apple on a"}
    whole = Pipeline({"tokenizer": tokenizer(2), "tokenizer_2": tokenizer(50)})
    assert find_cut_texts(whole, {"prompt": LONG}) == {}


@pytest.mark.parametrize(("num_words", "is_cut"), [(99, False), (100, False), (101, True)])
def test_a_long_encoder_reads_as_much_as_the_call_lets_it(num_words: int, is_cut: bool) -> None:
    pipeline = BoundPipeline({"tokenizer": tokenizer(77), "tokenizer_2": tokenizer(512)})
    cut = find_cut_texts(pipeline, {"prompt": " ".join(["word"] * num_words)})
    assert cut == ({"prompt": " ".join(["word"] * 100)} if is_cut else {})


def test_a_pipeline_without_words_has_nothing_to_cut() -> None:
    assert find_cut_texts(Pipeline(), {"prompt": LONG}) == {}
