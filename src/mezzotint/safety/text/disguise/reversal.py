"""Find what is written backwards in a text: the whole, a part, or each word by itself."""

import re

from mezzotint.safety.text.disguise.guesses import UNKNOWN, UNKNOWN_LETTER
from mezzotint.safety.text.disguise.vocabulary import Vocabulary, load_vocabulary
from mezzotint.safety.text.folding import fold

MIN_GAIN = 14.0
_WORD = re.compile(r"[^\W\d_]{2,}")
_LISTED = re.compile(r"[a-zß-ÿа-я]{3}")
_MAX_WORDS = 400
_TOLD = re.compile(
    r"backward|revers|back to front|mirror writing|rückwärts|umgekehrt|à l'envers|al rev[ée]s|al contrario|"
    r"de trás para|achterstevoren|wspak|od tyłu|pozpátku|odzadu|tersten|baklänges|ngược|terbalik|"
    r"наоборот|задом наперёд|навпаки|"
    r"倒着|反过来|倒过来|逆から|逆さ|거꾸로|ย้อนกลับ|उल्टा|العكس|בהפוך|הפוך"
)


def list_reversed(prepared: str) -> tuple[str, ...]:
    """Readings of what is written backwards. prepared: as `prepare_text` returns it."""
    found = _find_backwards(prepared, load_vocabulary())
    if _TOLD.search(prepared):
        told = prepared.rsplit(": ", 1)[-1] if ": " in prepared else prepared
        if not _LISTED.search(told):  # words of these scripts are in the list: they were found above
            found = (*found, told[::-1])
    return tuple(dict.fromkeys(found))


def _find_backwards(text: str, vocabulary: Vocabulary) -> tuple[str, ...]:
    """The part of the text that has the likeliest words when read backwards: as a whole, and word by word."""
    if all(map(vocabulary.costs.__contains__, _WORD.findall(text)[:_MAX_WORDS])):
        return ()
    words = list(_WORD.finditer(text))[:_MAX_WORDS]
    gains = [_gain(word[0], vocabulary) for word in words]
    best, start, total, first, last = 0.0, 0, 0.0, 0, -1
    for at, gain in enumerate(gains):
        if total <= 0:
            start, total = at, 0.0
        total += gain
        if total > best:
            best, first, last = total, start, at
    if best < MIN_GAIN:
        return ()
    part = text[_begin(words, first, text) : len(text) if last == len(words) - 1 else words[last].end()]
    return part[::-1], " ".join(word[::-1] for word in part.split())


def _begin(words: list[re.Match[str]], first: int, text: str) -> int:
    return 0 if first == 0 else words[first].start()


def _gain(word: str, vocabulary: Vocabulary) -> float:
    """By so much the word is likelier backwards."""
    forward = vocabulary.costs.get(word)
    words = vocabulary.by_key.get(fold(word)[::-1])
    unknown = UNKNOWN + UNKNOWN_LETTER * len(word)
    return (unknown if forward is None else forward) - (unknown if words is None else vocabulary.costs[words[0]])
