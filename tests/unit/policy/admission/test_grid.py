"""The prompts that one request stands for."""

import pytest

from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.policy.admission.grid import prompts_of
from mezzotint.policy.admission.prompt import MAX_WRITTEN
from mezzotint.policy.admission.request import Request


@pytest.mark.parametrize(
    "request_",
    [
        Request(prompt="a cat" + " " * MAX_WRITTEN),
        Request(prompt="{a,b}" * (MAX_WRITTEN // 5 + 1)),
        Request(prompt="{" * (MAX_WRITTEN + 1)),
        Request(prompt="a cat" + " " * MAX_WRITTEN, is_plain=True),
        Request(prompt="a cat", negative_prompt="a" + " " * MAX_WRITTEN),
    ],
    ids=["white space", "choices", "braces", "plain", "negative"],
)
def test_more_than_is_read_is_refused_before_it_is_read(request_: Request) -> None:
    refusal = prompts_of(request_)
    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.PROMPT_TOO_LONG


def test_white_space_and_choices_up_to_the_limit_are_read() -> None:
    words = "{red, green} apple"
    assert len(list(prompts_of(Request(prompt=words + " " * (MAX_WRITTEN - len(words)))))) == 2
