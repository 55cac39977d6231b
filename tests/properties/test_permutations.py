"""Laws of prompts that stand for several."""

from hypothesis import example, given
from hypothesis import strategies as st

from mezzotint.domain.refusal import Refusal
from mezzotint.policy.admission.permutations import (
    MAX_JOBS,
    Choice,
    Text,
    count_texts,
    escape_text,
    expand_choices,
    read_choices,
    write_choices,
)

RAW = st.lists(st.sampled_from(["{", "}", ",", "\\", "\\{", "\\,", " ", "a", "b c", "\n"]) | st.text(max_size=3)).map(
    "".join
)
LITERALS = st.text(alphabet="ab{},\\ é", min_size=1, max_size=5).filter(lambda s: s == s.strip() and s[-1] != "\\")


def texts(depth: int) -> st.SearchStrategy[Text]:
    if depth == 0:
        return LITERALS.map(lambda literal: (literal,))
    choices = st.lists(texts(depth - 1) | st.just(()), min_size=1, max_size=3).map(
        lambda options: Choice(options=tuple(options))
    )
    return st.tuples(LITERALS, choices) | st.tuples(choices, LITERALS) | st.tuples(choices) | st.tuples(LITERALS)


@given(texts(2))
@example(("a\\,b",))
def test_every_text_with_choices_survives_writing_and_reading(text: Text) -> None:
    assert read_choices(write_choices(text)) == text


@given(RAW)
@example("\\\\{a,b}")
def test_whatever_is_read_can_be_written_and_read_again(raw: str) -> None:
    text = read_choices(raw)
    if not isinstance(text, Refusal):
        assert read_choices(write_choices(text)) == text


@given(st.text(alphabet="ab{},\\ \n", max_size=20) | st.text())
def test_a_plain_text_stands_for_itself_once_it_is_escaped(plain: str) -> None:
    assert expand_choices(escape_text(plain)) == (plain,)


@given(RAW)
def test_a_prompt_stands_for_as_many_as_are_counted_and_never_for_too_many(raw: str) -> None:
    expanded = expand_choices(raw)
    if isinstance(expanded, Refusal):
        assert expanded.message
        assert expanded.hint
    else:
        text = read_choices(raw)
        assert not isinstance(text, Refusal)
        assert len(expanded) == count_texts(text) <= MAX_JOBS
