"""Syntax of other services in a prompt is refused by name; prose that resembles it is not."""

from dataclasses import replace
from typing import Any

import pytest

from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.domain.tier import Tier
from mezzotint.policy.admission.admit import Admit, Terms, admit
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.request import JobRequest
from tests.making import make_model

FOREIGN = [
    "<lora:ink:0.8> a cat",
    "a cat <LoRA:ink:1>",
    "<hypernet:ink:1> a cat",
    "a cat, embedding:easynegative",
    "cat::2 dog::1",
    "hot:: dog",
    "a cat::-0.5",
    "a cat ::2 dog",
    "https://example.com/a.png a cat",
    "a cat like http://example.com/b.jpeg?w=3",
    "https://example.com/abc a cat",
    "data:image/png;base64,iVBORw0KGgo= a cat",
]
WEIGHTS = [
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
    refusal = parse_request(JobRequest(prompt="a cat --no dog::2")).prompts
    assert isinstance(refusal, Refusal)
    assert refusal.message.startswith('"dog::2"')
    refusal = admit_prompt("a cat --no (dog:1.3)", weighs_words=False)
    assert isinstance(refusal, Refusal)
    assert refusal.message.startswith('"dog:1.3"')


@pytest.mark.parametrize("text", PROSE)
def test_prose_that_resembles_it_is_kept(text: str) -> None:
    prompts = parse_request(JobRequest(prompt=text, negative_prompt=text)).prompts
    assert not isinstance(prompts, Refusal), prompts
    assert prompts[0].text == text
    for weighs_words in (False, True):
        assert not isinstance(admit_prompt(text, weighs_words=weighs_words), Refusal)


def admit_prompt(prompt: str, *, weighs_words: bool, **fields: Any) -> Admit | Refusal:
    terms = Terms(
        tier=Tier.FREE, models=[replace(make_model(), weighs_words=weighs_words)], num_open_jobs=0, fresh_seed=1
    )
    return admit(parse_request(JobRequest(prompt=prompt, **fields)), terms)


@pytest.mark.parametrize("text", WEIGHTS)
def test_a_model_that_weighs_no_words_refuses_weights_by_name(text: str) -> None:
    for param, fields in (("prompt", {"prompt": text}), ("negative_prompt", {"negative_prompt": text})):
        refusal = admit_prompt(**({"prompt": "a cat"} | fields), weighs_words=False)  # type: ignore[arg-type]
        assert isinstance(refusal, Refusal), param
        assert (refusal.code, refusal.param) == (RefusalCode.PARAMETER_UNSUPPORTED, param)
        assert "mezzotint-starter weighs none" in refusal.message


@pytest.mark.parametrize("text", [text for text in WEIGHTS if "[" not in text] + ["((cat))", "[cat]", "(cat", "cat))]"])
def test_a_model_that_weighs_words_takes_them_as_they_are_written(text: str) -> None:
    admitted = admit_prompt(text, weighs_words=True, negative_prompt=text)
    assert not isinstance(admitted, Refusal), admitted
    assert admitted.plans[0].parameters.prompt == text


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("a (cat:1e9)", RefusalCode.PARAMETER_INVALID, 'The weight 1e+09 of "cat" is out of bounds.'),
        ("a (cat:1000000000)", RefusalCode.PARAMETER_INVALID, "1e+09"),
        ("a (cat:-11)", RefusalCode.PARAMETER_INVALID, "-11"),
        ("a (cat:1.2.3)", RefusalCode.PARAMETER_INVALID, 'The weight of "cat" is no number'),
        ("((((cat:9))))", RefusalCode.PARAMETER_INVALID, "11.979"),
        ("(" * 30 + "cat", RefusalCode.PARAMETER_INVALID, "out of bounds"),
        ("a [cat:dog:0.5]", RefusalCode.PARAMETER_UNSUPPORTED, "between steps"),
        ("a [dog:10]", RefusalCode.PARAMETER_UNSUPPORTED, "between steps"),
        ("a [cat|dog]", RefusalCode.PARAMETER_UNSUPPORTED, "between steps"),
    ],
)
def test_weights_out_of_bounds_and_words_that_change_are_refused_by_name(
    text: str, code: RefusalCode, told: str
) -> None:
    for fields in ({"prompt": text}, {"prompt": "a cat", "negative_prompt": text}):
        refusal = admit_prompt(**fields, weighs_words=True)  # type: ignore[arg-type]
        assert isinstance(refusal, Refusal)
        assert refusal.code == code
        assert told in refusal.message
