"""Prepare a text for the classifiers: the same form in training and in serving."""

import unicodedata

MAX_SCORED = 2_000
"""Characters of a text that the classifiers read; the hard rules read all of it."""
_INVISIBLE = frozenset({"Cf", "Cc"})


def prepare_text(text: str) -> str:
    """Compatibility forms and invisible characters undone, white space folded, lower case. Accents stay."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    spaced = " ".join(text.split())
    if not spaced.isprintable():
        spaced = "".join(letter for letter in spaced if unicodedata.category(letter) not in _INVISIBLE)
    return " ".join(spaced.lower().split())
