"""The prompts that one request stands for."""

import pytest

from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.policy.admission.grid import parse_prompts
from mezzotint.policy.admission.prompt import MAX_WRITTEN
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
    refusal = parse_prompts(request_)
    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.PROMPT_TOO_LONG


def test_white_space_and_choices_up_to_the_limit_are_read() -> None:
    words = "{red, green} apple"
    assert len(list(parse_prompts(JobRequest(prompt=words + " " * (MAX_WRITTEN - len(words)))))) == 2
