"""Weights are read as AUTOMATIC1111's web UI reads them, and reading never fails."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.domain.drawing.prompt_weights import Piece, is_weighted, read_weights, strip_weights

KNOWN_GOOD = {  # from the comments and tests of the web UI's `parse_prompt_attention`
    "normal text": [("normal text", 1.0)],
    "an (important) word": [("an ", 1.0), ("important", 1.1), (" word", 1.0)],
    "(unbalanced": [("unbalanced", 1.1)],
    r"\(literal\]": [("(literal]", 1.0)],
    "(unnecessary)(parens)": [("unnecessaryparens", 1.1)],
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).": [
        ("a ", 1.0),
        ("house", 1.5730000000000004),
        (" ", 1.1),
        ("on", 1.0),
        (" a ", 1.1),
        ("hill", 0.55),
        (", sun, ", 1.1),
        ("sky", 1.4641000000000006),
        (".", 1.1),
    ],
    "a) b]": [("a) b]", 1.0)],
    "((a:1.5)": [("a", 1.65)],
    "[[x]]": [("x", 1 / 1.21)],
    "(a:-1)": [("a", -1.0)],
    "(a:)": [("a:", 1.1)],
    "()": [],
    "": [],
}


@pytest.mark.parametrize("text", KNOWN_GOOD)
def test_weights_are_read_as_the_web_ui_reads_them(text: str) -> None:
    found = [(one.text, pytest.approx(one.weight)) for one in read_weights(text)]
    assert found == KNOWN_GOOD[text]


@pytest.mark.parametrize(
    "text", ["a poster (ratio 16:9)", "a clock (at 10:30)", "(2.35:1)", "a sign (note: 3)", "(rated R: 18)"]
)
def test_times_ratios_and_notes_are_words_in_brackets(text: str) -> None:
    assert {one.weight for one in read_weights(text)} <= {1.0, 1.1}
    assert strip_weights(text) == text.replace("(", "").replace(")", "")


def test_a_break_begins_a_chunk_and_numbers_that_are_none_are_out_of_all_bounds() -> None:
    assert read_weights("a BREAK b") == (Piece("a"), Piece("b", begins_chunk=True))
    assert read_weights("a BREAK (b)") == (Piece("a"), Piece("", begins_chunk=True), Piece("b", 1.1))
    assert read_weights("(a:1.2.3)")[0].weight == float("inf")
    assert read_weights("(a:1e9)")[0].weight == 1e9


@given(st.text("ab()[]\\:.1e -BREAK", max_size=60))
def test_reading_never_fails_and_loses_no_letter(text: str) -> None:
    pieces = read_weights(text)
    letters = [letter for letter in strip_weights(text) if letter in "ab"]
    assert letters == [letter for letter in text if letter in "ab"]
    assert is_weighted(text) == (pieces != ((Piece(text),) if text else ()))


@pytest.mark.parametrize("text", ["(" * 2000, "(a" * 1000, "[a:" * 700, "(a:1." * 400, "\\" * 2000, ":" * 2000])
def test_brackets_without_end_cost_nothing(text: str) -> None:
    began = time.process_time()
    read_weights(text)
    assert time.process_time() - began < 5
