"""Laws of the text filter: any text is answered, more text never hides a blocked word, time is linear."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.safety.text.folding import list_readings
from mezzotint.safety.text.prefilter import PreFilter

ANY_TEXT = st.text(alphabet=st.characters(codec=None, exclude_categories=()), max_size=200)
PREFILTER = PreFilter.load()


@given(ANY_TEXT, ANY_TEXT)
def test_any_text_is_answered(prompt: str, negative_prompt: str) -> None:
    rule = PREFILTER.find_rule(prompt, negative_prompt)
    assert rule is None or rule.about


@given(st.text(max_size=100), st.text(max_size=100))
def test_what_stands_around_it_cannot_hide_an_explicit_word(before: str, after: str) -> None:
    # "anatomy" and the like excuse "explicit" words, but never this list; single letters beside it are not a disguise.
    assert PREFILTER.find_rule(f"{before} lolicon {after}") is not None


@pytest.mark.parametrize("hostile", ["a ", "s.e.x ", "4 ", "\u0301a", "ﷺ", "naked tree ", "-", "aaaa", "'"])
def test_time_grows_no_faster_than_the_text(hostile: str) -> None:
    seconds = {}
    for size in (4_000, 64_000):
        before = process_time()
        list_readings(hostile * (size // len(hostile)))
        seconds[size] = process_time() - before
    assert seconds[64_000] < max(0.5, 48 * seconds[4_000])  # 16 times if linear, 256 if quadratic
