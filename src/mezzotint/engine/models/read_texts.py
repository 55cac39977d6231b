"""The part of a prompt that a pipeline's text encoders read: they cut it at their own length, without a word."""

import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from mezzotint.engine.models.weighted_prompts import is_weighing, reads_whole

TOKENIZER = re.compile(r"tokenizer(_\d+)?")
UNBOUNDED = 100_000
"""transformers' value for no limit is far beyond it."""
CLIP_TOKENS = 77


def find_cut_texts(pipeline: Any, kwargs: dict[str, Any]) -> dict[str, str]:
    """The part that is read of each of the call's texts that no encoder reads whole, by the argument's name."""
    checks = [partial(reads_whole, pipeline)] if is_weighing(pipeline) else _list_checks(pipeline)
    cut: dict[str, str] = {}
    for name in ("prompt", "negative_prompt"):
        text = kwargs.get(name)
        if isinstance(text, str) and checks and not any(fits(text) for fits in checks):
            cut[name] = max((_read_part(text, fits) for fits in checks), key=len)
    return cut


def _list_checks(pipeline: Any) -> list[Callable[[str], bool]]:
    """For each of the pipeline's tokenizers, whether a text has no more tokens than it gives to its encoder."""
    from transformers import PreTrainedTokenizerBase

    # long encoders are cut by the call; CLIP's always at its own length
    asked = inspect.signature(type(pipeline).__call__).parameters.get("max_sequence_length")
    bound = asked.default if asked is not None and isinstance(asked.default, int) else UNBOUNDED
    checks: list[Callable[[str], bool]] = []
    for name, part in pipeline.components.items():
        if TOKENIZER.fullmatch(name) and isinstance(part, PreTrainedTokenizerBase):
            own = part.model_max_length
            limit = own if own <= CLIP_TOKENS else min(own, bound)
            checks.append(partial(_fits, tokenizer=part, limit=limit))
    return checks


def _fits(text: str, tokenizer: Any, limit: int) -> bool:
    return limit >= UNBOUNDED or len(tokenizer(text, truncation=False, verbose=False).input_ids) <= limit


def _read_part(text: str, fits: Callable[[str], bool]) -> str:
    """The longest beginning of whole words that fits."""
    words = text.split(" ")
    low, high = 0, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(" ".join(words[:middle])):
            low = middle
        else:
            high = middle - 1
    return " ".join(words[:low])
