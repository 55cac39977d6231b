"""Texts come to the classifiers in one form."""

import pytest

from mezzotint.safety.text.readings import prepare_text


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("  A Red\n\tApple ", "a red apple"),
        ("ａ ｒｅｄ apple", "a red apple"),
        ("a r\u200bed ap\u00adple\x07", "a red apple"),
        ("une pêche, ein Bär", "une pêche, ein bär"),
        ("\u200b", ""),
    ],
)
def test_disguises_of_single_characters_are_undone_and_accents_stay(text: str, prepared: str) -> None:
    assert prepare_text(text) == prepared
    assert prepare_text(prepared) == prepared
