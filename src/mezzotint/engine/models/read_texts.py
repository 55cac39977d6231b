"""The part of a prompt that a pipeline's text encoders read: they cut it at their own length, without a word."""

import inspect
import re
from typing import Any

TOKENIZER = re.compile(r"tokenizer(_\d+)?")
UNBOUNDED = 100_000
"""transformers' value for no limit is far beyond it."""
CLIP_TOKENS = 77


def find_cut_texts(pipeline: Any, kwargs: dict[str, Any]) -> dict[str, str]:
    """The part that is read of each of the call's texts that no encoder reads whole, by the argument's name."""
    limits = _find_limits(pipeline)
    cut: dict[str, str] = {}
    for name in ("prompt", "negative_prompt"):
        text = kwargs.get(name)
        if isinstance(text, str) and limits and not any(_fits(text, *one) for one in limits):
            cut[name] = max((_read_part(text, *one) for one in limits), key=len)
    return cut


def _find_limits(pipeline: Any) -> list[tuple[Any, int]]:
    """The pipeline's tokenizers, each with the number of tokens that it gives to its encoder."""
    from transformers import PreTrainedTokenizerBase

    # long encoders are cut by the call; CLIP's always at its own length
    asked = inspect.signature(type(pipeline).__call__).parameters.get("max_sequence_length")
    bound = asked.default if asked is not None and isinstance(asked.default, int) else UNBOUNDED
    limits: list[tuple[Any, int]] = []
    for name, part in pipeline.components.items():
        if TOKENIZER.fullmatch(name) and isinstance(part, PreTrainedTokenizerBase):
            own = part.model_max_length
            limits.append((part, own if own <= CLIP_TOKENS else min(own, bound)))
    return limits


def _fits(text: str, tokenizer: Any, limit: int) -> bool:
    return limit >= UNBOUNDED or len(tokenizer(text, truncation=False, verbose=False).input_ids) <= limit


def _read_part(text: str, tokenizer: Any, limit: int) -> str:
    """The longest beginning of whole words that fits."""
    words = text.split(" ")
    low, high = 0, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        if _fits(" ".join(words[:middle]), tokenizer, limit):
            low = middle
        else:
            high = middle - 1
    return " ".join(words[:low])
