"""Find texts of one set that stand in another almost word for word: what is measured must not have been trained on."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from unicodedata import normalize

_GRAM = 3  # letters
_GRAM_OF_SYLLABLES = 2  # where a character is a syllable or a word
_SYLLABLES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_NOT_LETTERS = re.compile(r"[\W_]+")
_FEWEST = 20  # trigrams: what two words share says little
_FEWEST_OF_SYLLABLES = 8
MAX_SHARED = 0.6


@dataclass(frozen=True, slots=True)
class NearCopy:
    """share: of the shorter text's trigrams that the other one has too; 1 for the same text."""

    text: str
    copied: str
    share: float


def find_near_copies(
    texts: Iterable[str], originals: Iterable[str], max_shared: float = MAX_SHARED
) -> Iterator[NearCopy]:
    """The pairs that share more of their letter trigrams than allowed (pairs of characters in Chinese and Japanese).
    Case, accents and punctuation do not count.
    """
    by_gram: defaultdict[str, list[int]] = defaultdict(list)
    known = [(original, _list_grams(original)) for original in originals]
    for at, (_, grams) in enumerate(known):
        for gram in grams:
            by_gram[gram].append(at)
    for text in texts:
        grams = _list_grams(text)
        fewest = _FEWEST_OF_SYLLABLES if _SYLLABLES.search(text) else _FEWEST
        shared = Counter(at for gram in grams for at in by_gram.get(gram, ()))
        for at, count in shared.items():
            share = count / max(fewest, min(len(grams), len(known[at][1])))
            if share > max_shared:
                yield NearCopy(text, known[at][0], share)


def _list_grams(text: str) -> set[str]:
    letters = f" {_NOT_LETTERS.sub(' ', normalize('NFKD', text).casefold()).strip()} "
    length = _GRAM_OF_SYLLABLES if _SYLLABLES.search(letters) else _GRAM
    return {letters[at : at + length] for at in range(len(letters) - length + 1)}
