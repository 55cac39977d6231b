"""Weights beside a model's own that decide a picture: a replaced autoencoder, and embeddings."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from mezzotint.domain.ids import Sha256

EMBEDDING_TOKEN = "[A-Za-z0-9<][A-Za-z0-9_.<>*-]{1,63}"
"""Words that call an embedding; they cannot hold what weighs words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedWeights:
    """name: of an embedding, the word in a prompt that calls it. sha256: of the file, or of a folder's files."""

    name: str
    sha256: Sha256


def find_tokens(text: str, tokens: Iterable[str]) -> frozenset[str]:
    """The words of `tokens` that the text holds, in any case, as whole words; as they are written in `tokens`."""
    by_lower = {token.lower(): token for token in tokens}
    if not by_lower:
        return frozenset()
    return frozenset(by_lower[found.lower()] for found in match_tokens(frozenset(by_lower)).findall(text))


@lru_cache(maxsize=64)
def match_tokens(tokens: frozenset[str]) -> re.Pattern[str]:
    """A pattern of one group, any of the words as a whole word, in any case; time is linear in the text."""
    longest_first = sorted(tokens, key=lambda token: (-len(token), token))
    return re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, longest_first))})(?![\w-])", re.IGNORECASE)
