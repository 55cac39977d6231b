"""Reading prompts, by example. The laws stand in tests/properties/test_prompt_grammar.py."""

import pytest

from mezzotint.domain.prompt import MAX_SENT_SEED, AspectRatio, Prompt
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.policy.admission.prompt import MAX_CHARACTERS, parse_prompt, render_prompt
from mezzotint.policy.admission.prompt_parameters import PARAMETERS, UNSUPPORTED, UNSUPPORTED_SHORT, guidance_of


def refused(raw: str) -> Refusal:
    outcome = parse_prompt(raw)
    assert isinstance(outcome, Refusal), outcome
    assert outcome.message
    assert outcome.hint
    assert outcome.param == "prompt"
    return outcome


def test_words_alone_are_the_text() -> None:
    assert parse_prompt("a red apple") == Prompt(text="a red apple")


def test_every_parameter_is_read() -> None:
    assert parse_prompt("a red apple --ar 3:2 --seed 7 --no text, people --steps 20 --r 4 --s 250") == Prompt(
        text="a red apple",
        aspect_ratio=AspectRatio(width=3, height=2),
        seed=7,
        no="text, people",
        num_steps=20,
        repeat=4,
        stylize=250,
    )
    assert (
        parse_prompt("a red apple --q .5")
        == parse_prompt("a red apple --quality 0.50")
        == Prompt(text="a red apple", quality=0.5)
    )
    assert parse_prompt("a cat --c 20 --iw .75 --v ink/2.1 --stop 60") == Prompt(
        text="a cat", chaos=20, iw=0.75, version="ink/2.1", stop=60
    )
    assert parse_prompt("a red apple --draft") == Prompt(text="a red apple", is_draft=True)


def test_white_space_and_line_ends_become_one_space() -> None:
    assert parse_prompt("  a\tred \r\n apple\u2028--seed\u00a07 ") == Prompt(text="a red apple", seed=7)


@pytest.mark.parametrize("dashes", ["--", "—", "–", "——", "––", "―", "−−"])
def test_dashes_that_keyboards_make_start_a_parameter(dashes: str) -> None:
    assert parse_prompt(f"a cat {dashes}seed 7") == Prompt(text="a cat", seed=7)


def test_names_are_read_in_any_case_and_by_alias() -> None:
    assert parse_prompt("a cat --SEED 7 --Aspect 3:2") == parse_prompt("a cat --seed 7 --ar 3:2")


@pytest.mark.parametrize(
    "text",
    [
        "rock--solid table",
        "a cat -- sleeping",
        "a cat --",
        "a cat — sleeping",
        "the cat —sleeping— purrs",
        "well-known place - at night",
        "--- a divider ---",
        "a thermometer at --5 degrees",
        "a cat—seed cake",
        "-seed packets",
        "👩‍👩‍👧 on a 🏴󠁧󠁢󠁳󠁣󠁴󠁿 hill",
        "🫨",
        "🍎",
        "می‌خواهم",
        "猫の絵",
    ],
)
def test_dashes_and_joiners_inside_text_are_text(text: str) -> None:
    assert parse_prompt(text) == Prompt(text=text)


def test_no_takes_words_up_to_the_next_parameter() -> None:
    assert parse_prompt("a street --no cars and people --seed 7") == Prompt(
        text="a street", no="cars and people", seed=7
    )


@pytest.mark.parametrize("raw", ["a street --no cars --no people", "a street --no cars, --no people"])
def test_repeated_no_is_joined_by_commas(raw: str) -> None:
    assert parse_prompt(raw) == Prompt(text="a street", no="cars, people")


@pytest.mark.parametrize("raw", ["", "   ", "\n\t", "\u200b\u200d", "--", "— –", "--seed 7", "\u0301"])
def test_a_prompt_without_words_is_empty(raw: str) -> None:
    assert refused(raw).code == RefusalCode.PROMPT_EMPTY


def test_the_longest_prompt_passes_and_one_more_character_does_not() -> None:
    assert parse_prompt("a" * MAX_CHARACTERS) == Prompt(text="a" * MAX_CHARACTERS)
    refusal = refused("a" * (MAX_CHARACTERS + 1))
    assert refusal.code == RefusalCode.PROMPT_TOO_LONG
    assert "2001" in refusal.message
    assert "2000" in refusal.message


def test_length_is_counted_with_single_spaces_and_double_hyphens() -> None:
    words = "a" * (MAX_CHARACTERS - len(" --seed 7"))
    assert parse_prompt(f"{words}      —seed    7   ") == Prompt(text=words, seed=7)
    assert refused(f"{words}b —seed 7").code == RefusalCode.PROMPT_TOO_LONG


@pytest.mark.parametrize(
    "character",
    ["\x00", "\x07", "\x0b", "\x1b", "\x7f", "\x85", "\ud800", "\ufffe", "\U0010ffff", "\ufdd0", "\u202e"],
)
def test_characters_that_are_no_text_are_refused_by_number_and_place(character: str) -> None:
    refusal = refused(f"a c{character}at")
    assert refusal.code == RefusalCode.PROMPT_CONTROL_CHARACTER
    assert f"U+{ord(character):04X}" in refusal.message
    assert "Character 4 " in refusal.message


@pytest.mark.parametrize("name", [*UNSUPPORTED, *UNSUPPORTED_SHORT])
def test_parameters_of_the_field_are_refused_by_name(name: str) -> None:
    refusal = refused(f"a cat --{name} 5")
    assert refusal.code == RefusalCode.PARAMETER_UNSUPPORTED
    assert f"--{name} " in refusal.message


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("sed", "--seed"),
        ("step", "--steps"),
        ("ar=3:2", "--ar"),
        ("ar3:2", "--ar"),
        ("aspct", "--ar"),
        ("nope", "--no"),
    ],
)
def test_an_unknown_parameter_is_answered_with_the_nearest(written: str, meant: str) -> None:
    refusal = refused(f"a cat --{written} 5")
    assert refusal.code == RefusalCode.PARAMETER_UNKNOWN
    assert f"--{written}" in refusal.message
    assert f"Did you mean {meant} " in refusal.hint


def test_an_unknown_parameter_near_nothing_is_answered_with_all() -> None:
    refusal = refused("a cat --zzz 5")
    assert refusal.code == RefusalCode.PARAMETER_UNKNOWN
    assert "mean" not in refusal.hint
    assert all(f"--{parameter.name}" in refusal.hint for parameter in PARAMETERS)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "--seed",
            "--seed x",
            "--seed -1",
            "--seed 1.5",
            "--seed ٣",
            f"--seed {MAX_SENT_SEED + 1}",
            "--seed 7 on a mat",
        ),
        *("--seed " + "9" * 1900, "--seed 7, --steps 5", "--steps 0", "--steps 10000", "--steps two"),
        *("--no", "--no --seed 7", "--no --", "--ar", "--ar 3", "--ar 3:", "--ar :2", "--ar 0:2", "--ar 3:0"),
        *("--ar 3x2", "--ar 3:2:1", "--ar 1000:1", "--ar 1.5:1", "--ar 3 : 2"),
        *(
            "--quality 5",
            "--quality .05",
            "--quality 1.234",
            "--quality 1.",
            "--quality",
            "--stylize 1001",
            "--draft 2",
        ),
        *("--repeat 1", "--repeat 41", "--repeat"),
    ],
)
def test_a_bad_value_is_answered_with_what_is_taken(value: str) -> None:
    refusal = refused(f"a cat {value}")
    assert refusal.code == RefusalCode.PARAMETER_INVALID
    name = value.split(maxsplit=1)[0].removeprefix("--")
    takes = next(parameter.form.takes for parameter in PARAMETERS if parameter.name == name)
    assert f"--{name} takes {takes}" in refusal.message
    assert len(refusal.message) < 200


@pytest.mark.parametrize("script", ["\uac01", "\u1f82", "\u1ea5", "ﬃ", "한국어 ", "が"])
def test_two_thousand_letters_of_any_script_are_taken(script: str) -> None:
    assert isinstance(parse_prompt("x" + script * (MAX_CHARACTERS // len(script) - 1)), Prompt)


@pytest.mark.parametrize("ligature", ["\ufdfa", "\ufdfb", "\ufdfa ", "\u3300\ufdfa"])
def test_ligatures_that_stand_for_too_long_a_text_are_refused(ligature: str) -> None:
    refusal = refused(ligature * (MAX_CHARACTERS // len(ligature)))
    assert refusal.code == RefusalCode.PROMPT_TOO_LONG
    assert "ligatures" in refusal.message


def test_words_after_a_value_are_refused_not_dropped() -> None:
    refusal = refused("--seed 7 a red apple")
    assert refusal.code == RefusalCode.PARAMETER_INVALID
    assert '"7 a red apple"' in refusal.message
    assert "words first" in refusal.hint


@pytest.mark.parametrize("raw", ["a cat --seed 7 --seed 7", "a cat --ar 3:2 --aspect 3:2", "a cat --steps 5 —steps 6"])
def test_a_parameter_written_twice_is_refused(raw: str) -> None:
    assert refused(raw).code == RefusalCode.PARAMETER_REPEATED


def test_parameters_are_rendered_in_the_order_of_the_table() -> None:
    prompt = Prompt(text="a cat", aspect_ratio=AspectRatio(width=3, height=2), seed=0, no="text", num_steps=5)
    assert render_prompt(prompt) == "a cat --ar 3:2 --no text --seed 0 --steps 5"


def test_every_example_of_the_table_is_accepted() -> None:
    for parameter in PARAMETERS:
        assert isinstance(parse_prompt(f"a red apple {parameter.example}"), Prompt)


@pytest.mark.parametrize(("stylize", "guidance"), [(0, 1), (50, 2.25), (100, 3.5), (1000, 10.5)])
def test_stylize_runs_from_no_guidance_over_the_models_own_to_three_times_as_much(
    stylize: int, guidance: float
) -> None:
    assert guidance_of(stylize, 3.5) == pytest.approx(guidance)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("a cat --word in the rain", Prompt(text="a cat --word in the rain")),
        ("a terminal with git commit --amend", Prompt(text="a terminal with git commit --amend")),
        ("a cat --with a hat --seed 7 --no text", Prompt(text="a cat --with a hat", seed=7, no="text")),
        ("a --seed 7 cat", Prompt(text="a --seed 7 cat")),
        ("he said —stop and left", Prompt(text="he said —stop and left")),
        ("a sign that says --stop", Prompt(text="a sign that says --stop")),
        ("a cat --hd", Prompt(text="a cat --hd")),
        ("--word", Prompt(text="--word")),
    ],
)
def test_where_parameters_stand_at_the_end_alone_others_are_words(raw: str, expected: Prompt) -> None:
    assert parse_prompt(raw, only_at_end=True) == expected


@pytest.mark.parametrize("raw", ["a cat --ar 16x9", "a cat --seed 12abc", "a cat --niji 5", "a cat --seed 1 --seed 2"])
def test_a_parameter_at_the_end_that_cannot_be_followed_is_refused_there_too(raw: str) -> None:
    assert isinstance(parse_prompt(raw, only_at_end=True), Refusal)
