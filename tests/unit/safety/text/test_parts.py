"""A text is cut into parts by its signs; where they lie is told in tokens, here its words."""

import re

import numpy as np

from mezzotint.safety.text.encoder import EncodedText
from mezzotint.safety.text.parts import MAX_CLAUSES, MAX_FRAGMENTS, list_char_spans, list_parts

SANDWICH = "a very calm old garden, a man hits an old woman, a fine print of museum quality"


def encode(text: str) -> EncodedText:
    return EncodedText([match.span() for match in re.finditer(r"\w+", text)], np.zeros((0, 0), np.float32))


def cut(text: str, *, has_fragments: bool = True) -> tuple[list[str], list[str]]:
    """The parts that count, and the fragments."""
    encoded = encode(text)
    parts = list_parts(text, encoded, has_fragments=has_fragments)
    found = [text[start:end] for start, end in list_char_spans(text, encoded, parts.spans)]
    return found[: parts.num_counted], found[parts.num_counted :]


def test_fragments_between_commas_are_candidates_that_do_not_count() -> None:
    counted, fragments = cut(SANDWICH)
    assert counted == [SANDWICH]
    assert "a man hits an old woman" in fragments
    assert "a very calm old garden, a man hits an old woman" in fragments
    assert cut(SANDWICH, has_fragments=False) == ([SANDWICH], [])


def test_sentences_count_and_are_no_fragments_again() -> None:
    counted, fragments = cut("Two men stand there. They hit an old woman. It is night in town.")
    assert "They hit an old woman" in counted
    assert not set(counted) & set(fragments)


def test_a_part_has_more_than_a_few_words() -> None:
    assert cut("a cat, a dog, a hen") == (["a cat, a dog, a hen"], ["a cat, a dog", "a dog, a hen"])


def test_the_number_of_parts_is_bounded() -> None:
    counted, fragments = cut("one two three four, " * 400)
    assert len(fragments) <= 2 * MAX_FRAGMENTS
    counted, fragments = cut("one two three four. " * 400)
    assert len(fragments) <= 2 * MAX_FRAGMENTS
    assert len(counted) <= 1 + 400 + 3 * MAX_CLAUSES + 1600 // 12
    assert cut("") == ([""], [])
