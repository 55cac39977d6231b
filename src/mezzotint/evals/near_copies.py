"""Find texts of one set that stand in another almost word for word: what is measured must not have been trained on."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from unicodedata import normalize

_GRAM = 3
_NOT_LETTERS = re.compile(r"[\W_]+")
_FEWEST = 20  # trigrams: what two words share says little
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
    """The pairs that share more of their letter trigrams than allowed. Case, accents and punctuation do not count."""
    by_gram: defaultdict[str, list[int]] = defaultdict(list)
    known = [(original, _list_grams(original)) for original in originals]
    for at, (_, grams) in enumerate(known):
        for gram in grams:
            by_gram[gram].append(at)
    for text in texts:
        grams = _list_grams(text)
        shared = Counter(at for gram in grams for at in by_gram.get(gram, ()))
        for at, count in shared.items():
            share = count / max(_FEWEST, min(len(grams), len(known[at][1])))
            if share > max_shared:
                yield NearCopy(text, known[at][0], share)


def _list_grams(text: str) -> set[str]:
    letters = f" {_NOT_LETTERS.sub(' ', normalize('NFKD', text).casefold()).strip()} "
    return {letters[at : at + _GRAM] for at in range(len(letters) - _GRAM + 1)}
