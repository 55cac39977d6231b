"""Laws of the prompt grammar: nothing raises, what is read can be written and read again, time is linear."""

from time import process_time

from hypothesis import example, given
from hypothesis import strategies as st

from mezzotint.domain.model import Speed
from mezzotint.domain.prompt import MAX_SEED, AspectRatio, Prompt
from mezzotint.domain.refusal import Refusal
from mezzotint.domain.style import WantedStyle
from mezzotint.policy.admission.permutations import MAX_JOBS
from mezzotint.policy.admission.prompt import parse_prompt, render_prompt
from mezzotint.policy.admission.prompt_parameters import (
    MAX_CHAOS,
    MAX_STEPS_WRITTEN,
    MAX_STOP,
    MAX_STYLIZE,
    MIN_STOP,
    PARAMETERS,
    UNSUPPORTED,
)

NAMES = [parameter.name for parameter in PARAMETERS] + [
    "aspect",
    "weird",
    "s",
    "foo",
    "AR",
    "İ",
    *list(UNSUPPORTED)[:3],
]
PIECES = st.one_of(
    st.sampled_from(
        ["a cat", "7", "3:2", "text,", ",", "text", "--", "—", "–", "-", " ", "\n", "\u200d", "🫨", "0007"]
    ),
    st.builds(
        lambda dashes, name, tail: f" {dashes}{name}{tail}",
        st.sampled_from(["--", "—", "–", "———", "-", ""]),
        st.sampled_from(NAMES),
        st.sampled_from([" ", "", ",", "=", " 7 "]),
    ),
    st.text(max_size=5),
)
RAW = st.one_of(st.text(), st.lists(PIECES, max_size=12).map("".join))
WORDS = st.lists(st.from_regex(r"[a-z0-9,.'🍎é][a-z0-9-]{0,6}", fullmatch=True), min_size=1, max_size=6).map(" ".join)
PROMPTS = st.builds(
    Prompt,
    text=WORDS,
    aspect_ratio=st.none() | st.builds(AspectRatio, width=st.integers(1, 999), height=st.integers(1, 999)),
    seed=st.none() | st.integers(0, MAX_SEED),
    no=st.none() | WORDS,
    num_steps=st.none() | st.integers(1, MAX_STEPS_WRITTEN),
    repeat=st.none() | st.integers(2, MAX_JOBS),
    quality=st.none() | st.integers(10, 400).map(lambda hundredths: hundredths / 100),
    stylize=st.none() | st.integers(0, MAX_STYLIZE),
    is_draft=st.booleans(),
    chaos=st.none() | st.integers(0, MAX_CHAOS),
    iw=st.none() | st.integers(0, 300).map(lambda hundredths: hundredths / 100),
    stop=st.none() | st.integers(MIN_STOP, MAX_STOP),
    speed=st.none() | st.sampled_from(Speed),
    version=st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,30}", fullmatch=True),
    styles=st.none()
    | st.lists(
        st.builds(
            WantedStyle,
            name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
            weight=st.none() | st.integers(-200, 200).map(lambda hundredths: hundredths / 100),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
)


@given(RAW)
@example("a cat --no —ar,")
@example("a cat --no ,--ar --no x,")
@example("--İ 3")
@example("\ud800")
def test_any_text_is_read_or_refused_and_what_is_read_can_be_written_and_read_again(raw: str) -> None:
    outcome = parse_prompt(raw)
    if isinstance(outcome, Prompt):
        assert parse_prompt(render_prompt(outcome)) == outcome
    else:
        assert isinstance(outcome, Refusal)
        assert outcome.message
        assert outcome.hint


@given(PROMPTS)
def test_every_prompt_of_words_and_values_survives_writing_and_reading(prompt: Prompt) -> None:
    assert parse_prompt(render_prompt(prompt)) == prompt


@given(st.integers(1, 2000), st.sampled_from(["—seed 7", " —ar 3:2", "a" * 40 + " --no b"]))
def test_whatever_fits_can_be_written_again_within_the_limit(num_letters: int, tail: str) -> None:
    outcome = parse_prompt("a" * num_letters + " " + tail)
    if isinstance(outcome, Prompt):
        assert parse_prompt(render_prompt(outcome)) == outcome


def test_time_grows_no_faster_than_the_text() -> None:
    for hostile in ("-", "--a ", "—", "a" * 9 + " ", "--no ", "--seed ", " ", "\u0301", "--ar 1:", "9"):
        seconds = {}
        for size in (200_000, 1_600_000):
            raw = hostile * (size // len(hostile))
            before = process_time()
            parse_prompt(raw)
            seconds[size] = process_time() - before
        # 8 times the text: about 8 times the time, 64 times if it were quadratic; small times are noise.
        assert seconds[1_600_000] < max(0.25, 24 * seconds[200_000]), hostile
