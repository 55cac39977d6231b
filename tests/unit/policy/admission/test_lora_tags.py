"""`<lora:NAME:WEIGHT>` is read out of a prompt and written back."""

import pytest

from mezzotint.domain.ids import Sha256
from mezzotint.domain.refusal import Refusal
from mezzotint.domain.style import StyleChoice, WantedStyle
from mezzotint.policy.admission.lora_tags import take_tags, write_tags


@pytest.mark.parametrize(
    ("prompt", "words", "expected"),
    [
        ("a cat", ["a", "cat"], []),
        ("a cat <lora:ink:0.8>", ["a", "cat"], [("ink", 0.8)]),
        ("<LoRA:ink:-.5>a<lora:oil>cat", ["a", "cat"], [("ink", -0.5), ("oil", None)]),
        ("a <b>cat</b>", ["a", "<b>cat</b>"], []),
    ],
)
def test_tags_leave_the_words(prompt: str, words: list[str], expected: list[tuple[str, float | None]]) -> None:
    taken = take_tags(prompt)
    assert not isinstance(taken, Refusal)
    text, styles = taken
    assert text.split() == words
    assert list(styles) == [WantedStyle(name=name, weight=weight) for name, weight in expected]


def test_what_is_written_is_read_again() -> None:
    chosen = [StyleChoice(name=name, weight=weight, sha256=Sha256("0")) for name, weight in (("ink", 0.8), ("oil", -1))]
    again = tuple(WantedStyle(name=style.name, weight=style.weight) for style in chosen)
    assert take_tags(f"a cat{write_tags(chosen)}") == ("a cat" + "  " * len(chosen), again)
