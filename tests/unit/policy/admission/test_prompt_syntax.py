"""Syntax of other services in a prompt is refused by name; prose that resembles it is not."""

import pytest

from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.request import JobRequest

FOREIGN = [
    "<lora:ink:0.8> a cat",
    "a cat <LoRA:ink:1>",
    "<hypernet:ink:1> a cat",
    "a cat, embedding:easynegative",
    "a (cat:1.3)",
    "a (red cat:1.3), a dog",
    "a ((cat:1.2))",
    "a (cat:2)",
    "a (cat:.5)",
    "a (cat: 1.3)",
    "a (cat:1.3 )",
    "a (blade runner 2049:1.2)",
    "a [cat:dog:0.5]",
    "a [dog:10]",
    "cat::2 dog::1",
    "hot:: dog",
    "a cat::-0.5",
    "a cat ::2 dog",
    "https://example.com/a.png a cat",
    "a cat like http://example.com/b.jpeg?w=3",
    "https://example.com/abc a cat",
    "data:image/png;base64,iVBORw0KGgo= a cat",
]
PROSE = [
    "a poster (ratio 16:9)",
    "a page of the Bible (John 3:16)",
    "a clock (at 10:30)",
    "a film still (2.35:1)",
    "a film still (1:2.35)",
    "a sign (note: 3)",
    "Mission Impossible: 2 (rated R: 18)",
    "a screen with std::vector<int> in code",
    "winter :: summer",
    "a (cat) in a [box]",
    "see https://example.com/page on a sign",
    "a heart <3 and <b>bold</b> letters",
    "cat:3",
    "C++ and a: b",
]


@pytest.mark.parametrize("is_plain", [True, False])
@pytest.mark.parametrize("text", FOREIGN)
def test_syntax_that_no_model_follows_is_refused_by_name(text: str, is_plain: bool) -> None:
    refusals = {
        "prompt": parse_request(JobRequest(prompt=text, is_plain=is_plain)).prompts,
        "negative_prompt": parse_request(JobRequest(prompt="a cat", negative_prompt=text, is_plain=is_plain)).prompts,
    }
    for param, refusal in refusals.items():
        assert isinstance(refusal, Refusal), param
        assert (refusal.code, refusal.param) == (RefusalCode.PARAMETER_UNSUPPORTED, param)
        quoted = refusal.message.split('"')[1]
        assert quoted in text


def test_what_must_not_be_there_is_looked_at_too() -> None:
    refusal = parse_request(JobRequest(prompt="a cat --no (dog:1.3)")).prompts
    assert isinstance(refusal, Refusal)
    assert refusal.message.startswith('"dog:1.3"')


@pytest.mark.parametrize("text", PROSE)
def test_prose_that_resembles_it_is_kept(text: str) -> None:
    prompts = parse_request(JobRequest(prompt=text, negative_prompt=text)).prompts
    assert not isinstance(prompts, Refusal), prompts
    assert prompts[0].text == text
