"""A request's texts are read once, for every decision about it."""

import pytest

from mezzotint.domain.prompt import Prompt
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.policy.admission.prompt import MAX_WRITTEN, parse_request
from mezzotint.policy.admission.request import JobRequest


@pytest.mark.parametrize(
    "request_",
    [
        JobRequest(prompt="a cat" + " " * MAX_WRITTEN),
        JobRequest(prompt="{a,b}" * (MAX_WRITTEN // 5 + 1)),
        JobRequest(prompt="{" * (MAX_WRITTEN + 1)),
        JobRequest(prompt="a cat" + " " * MAX_WRITTEN, is_plain=True),
        JobRequest(prompt="a cat", negative_prompt="a" + " " * MAX_WRITTEN),
    ],
    ids=["white space", "choices", "braces", "plain", "negative"],
)
def test_more_than_is_read_is_refused_before_it_is_read(request_: JobRequest) -> None:
    refusal = parse_request(request_).prompts
    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.PROMPT_TOO_LONG


def test_white_space_and_choices_up_to_the_limit_are_read() -> None:
    words = "{red, green} apple"
    prompts = parse_request(JobRequest(prompt=words + " " * (MAX_WRITTEN - len(words)))).prompts
    assert not isinstance(prompts, Refusal)
    assert len(prompts) == 2


@pytest.mark.parametrize(
    ("request_", "is_fixed"),
    [
        (JobRequest(prompt="a cat"), False),
        (JobRequest(prompt="a cat", seed=0), True),
        (JobRequest(prompt="a cat --SEED 0"), True),
        (JobRequest(prompt="a cat \u2013seed 7"), True),
        (JobRequest(prompt="a cat {--seed 1, --seed 2}"), True),
        (JobRequest(prompt="a {cat --seed 1, dog}"), False),
        (JobRequest(prompt="a cat rock--seed 7"), False),
        (JobRequest(prompt="a cat --seed seven"), False),
    ],
)
def test_a_request_fixes_its_seed_as_the_prompts_own_reader_reads_it(request_: JobRequest, is_fixed: bool) -> None:
    assert parse_request(request_).has_fixed_seed is is_fixed


MARKS = ("\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)))


@pytest.mark.parametrize("mark", MARKS)
def test_direction_marks_that_phones_put_around_words_are_dropped(mark: str) -> None:
    """In whatever place: none is left by which a text could read otherwise than it is filtered."""
    request = JobRequest(prompt=f"{mark}a r{mark}ed apple{mark} --{mark}seed 7", negative_prompt=f"bl{mark}ur")
    parsed = parse_request(request)
    assert parsed.prompts == (Prompt(text="a red apple", seed=7),)
    assert (parsed.request.prompt, parsed.request.negative_prompt) == ("a red apple --seed 7", "blur")
