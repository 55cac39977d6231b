"""Restore disguised words: of all ways to read a text, the one whose words are likeliest.

A text is a row of letter runs. Each may be a word, a word misspelt or masked, a part of a word that was split, or
several words run together; every way has a cost, and the cheapest row of words is found by dynamic programming. A text
whose words are words is its own cheapest reading, so that of plain texts nothing more is read.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache, lru_cache
from itertools import groupby, pairwise
from typing import NamedTuple

from mezzotint.safety.text.disguise.guesses import MASKS, UNKNOWN, UNKNOWN_LETTER, Guess, Guesser
from mezzotint.safety.text.disguise.vocabulary import LONGEST, Vocabulary, load_vocabulary
from mezzotint.safety.text.folding import fold

MAX_CHARS = 2_400
"""Characters of a text that are restored."""
MAX_GUESSED = 80
"""Different unknown words of a text that are guessed: more of them stay as they are."""
MIN_GAIN = 4.0
"""A restored reading must be likelier than the text by so much."""
MIN_UNKNOWN, MIN_UNKNOWN_SHARE = 3, 0.3
"""From how many unknown words on, and from which share of all, a text is taken to be misspelt throughout. In other
texts an unknown word is a name or a rare word, unless it is nearly one that marks harmful texts."""
_PIECE = re.compile(r"""[^\s"“”„«»‹›()\[\]{}<>,;:/\\=，。：；、（）「」]+""")
_ATOM = re.compile(r"[^\W_]+")
_LATIN_OR_CYRILLIC = re.compile(r"[a-zа-яёіїєґ]")
_ONE_SCRIPT = re.compile(r"[a-zß-öø-ÿā-ſơưạ-ỹ]+|[а-яёіїєґ]+")
_ENDINGS = {"s": 4, **dict.fromkeys(("es", "d", "ed", "ing", "er", "ers", "ly", "n", "en", "e", "r", "ler", "lar"), 5)}
"""Endings of words, and the fewest letters before them."""
_OTHER_ACCENTS, _INFLECTED = 0.5, 2.0
_APOSTROPHES = frozenset("'’ʼ")
_SEPARATORS = frozenset(" .-_~|/\\•·+^'’")
"""Signs between parts of a word that was split."""
_HIDING = MASKS - _SEPARATORS
_NUMBER, _OTHER_SCRIPT, _LONE_LETTER, _ENDING = 5.0, 5.0, 12.0, 3.0
_JOIN_LETTERS, _JOIN_PARTS, _JOIN_WORDS = 0.3, 1.5, 5.0
_RUN_TOGETHER = 1.0
_MIN_RUN_TOGETHER, _MIN_PAIR = 7, 14
_LONE_PARTS = frozenset("aioyeи")
_ONE_LETTER_WORDS = frozenset("aioyeuàèéóвискяоуаiźwz")


class _Atom(NamedTuple):
    """A run of letters and digits. start, end: in the text. piece: number of the run without spaces around it."""

    key: str
    start: int
    end: int
    piece: int
    is_known: bool
    cost: float
    languages: tuple[str, ...]


class _Link(Enum):
    """The ways in which an atom may belong to the word of the one before it."""

    NONE = auto()
    LETTERS = auto()
    PARTS = auto()


class _Edge(NamedTuple):
    """A way to read the atoms from one place to another. word: empty where the text stays as it is."""

    first: int
    after: int
    start: int
    end: int
    word: str
    cost: float


class Restorer:
    """Safe to use from several threads."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._words = vocabulary
        self._guesser = Guesser(vocabulary)
        self._split_words = lru_cache(4096)(self._find_split)

    def restore(self, prepared: str) -> str | None:
        """The likeliest reading of the text, if it is likelier than the text itself. prepared: by `prepare_text`."""
        text = prepared[:MAX_CHARS]
        pieces = [(match.start(), match.end()) for match in _PIECE.finditer(text)]
        atoms = [
            self._read_atom(text, at, match)
            for at, piece in enumerate(pieces)
            for match in _ATOM.finditer(text, *piece)
        ]
        if not any(_invites(atom, text) for atom in atoms) and not self._has_split_word(atoms):
            return None
        return self._find_cheapest(_Text(text, atoms, pieces, _name_language(atoms), self._is_misspelt(atoms)))

    def _has_split_word(self, atoms: Sequence[_Atom]) -> bool:
        """Say whether two known words beside each other make up a harmful one that is likelier."""
        for one, two in pairwise(atoms):
            for word in self._words.by_key.get(one.key + two.key, ()):
                if (
                    word in self._words.harmful
                    and self._words.costs[word] + _JOIN_WORDS + MIN_GAIN < one.cost + two.cost
                ):
                    return True
        return False

    def _read_atom(self, text: str, piece: int, match: re.Match[str]) -> _Atom:
        word, start, end = match[0], match.start(), match.end()
        key = word if word.isascii() else fold(word)
        cost = self._find_cost(word, key)
        if len(word) == 1 and word.isalpha() and word not in _ONE_LETTER_WORDS:
            cost = None if key.isascii() else cost
        if cost is None:
            if not any(map(str.isalpha, word)):
                cost = _NUMBER
            elif not _LATIN_OR_CYRILLIC.search(key):
                cost = _OTHER_SCRIPT
            elif len(word) <= 2 and not _APOSTROPHES.isdisjoint((text[start - 1 : start], text[end : end + 1])):
                cost = _ENDING  # judge's, l'ami
        if cost is None:
            lone = _LONE_LETTER if len(word) == 1 else UNKNOWN + UNKNOWN_LETTER * len(word)
            return _Atom(key, start, end, piece, False, lone, ())
        return _Atom(key, start, end, piece, True, cost, self._words.languages.get(word, ()))

    def _find_cost(self, word: str, key: str) -> float | None:
        """The cost of a word as it stands: known, with other accents, or with an ending; None of any other."""
        words = self._words
        if (cost := words.costs.get(word)) is not None:
            return cost
        if not _ONE_SCRIPT.fullmatch(word):
            return None
        if (known := words.by_key.get(key)) is not None:
            return words.costs[known[0]] + _OTHER_ACCENTS
        for ending, shortest in _ENDINGS.items():
            stem = word.removesuffix(ending)
            if len(word) > len(stem) >= shortest and stem in words.languages:
                return words.costs[stem] + _INFLECTED
        return None

    def _find_cheapest(self, text: "_Text") -> str | None:
        num = len(text.atoms)
        edges: dict[int, list[_Edge]] = {}
        for edge in self._list_edges(text):
            edges.setdefault(edge.first, []).append(edge)
        if not edges:
            return None
        best: list[float] = [0.0, *([float("inf")] * num)]
        came: list[_Edge | None] = [None] * (num + 1)
        plain = 0.0
        for at, atom in enumerate(text.atoms):
            plain += atom.cost
            for edge in (_Edge(at, at + 1, atom.start, atom.end, "", atom.cost), *edges.get(at, ())):
                total = best[at] + edge.cost
                if total < best[edge.after]:
                    best[edge.after], came[edge.after] = total, edge
        return _write(text, came) if plain - best[num] >= MIN_GAIN else None

    def _list_edges(self, text: "_Text") -> Iterator[_Edge]:
        atoms, guessed = text.atoms, set[str]()
        at = 0
        for piece, group in groupby(atoms, key=lambda atom: atom.piece):
            members = list(group)
            if (
                len(guessed) < MAX_GUESSED
                and (edge := self._read_piece(text, members, at, *text.pieces[piece])) is not None
            ):
                yield edge
                guessed.add(text.text[edge.start : edge.end])
            at += len(members)
        links = _list_links(text)
        for at, atom in enumerate(atoms):
            if not atom.is_known and len(atom.key) > 1 and (atom.key in guessed or len(guessed) < MAX_GUESSED):
                guessed.add(atom.key)
                for guess in self._guess_atom(text, atom):
                    if guess.is_sure or text.may_hold(guess) or (guess.is_near and self._is_harmful(guess.word, atom)):
                        yield _Edge(at, at + 1, atom.start, atom.end, guess.word, guess.cost)
            yield from self._join(text, at, links)

    def _is_misspelt(self, atoms: Sequence[_Atom]) -> bool:
        unknown = sum(not atom.is_known and not self._is_compound(atom) for atom in atoms)
        return unknown >= MIN_UNKNOWN and unknown >= MIN_UNKNOWN_SHARE * len(atoms)

    def _is_compound(self, atom: _Atom) -> bool:
        split = self._split_words(atom.key) if len(atom.key) >= _MIN_RUN_TOGETHER else None
        return split is not None and split.cost < atom.cost

    def _guess_atom(self, text: "_Text", atom: _Atom) -> Iterator[Guess]:
        word = text.text[atom.start : atom.end]
        if (guess := self._guesser.guess(word, text.language)) is not None:
            yield guess
        if len(atom.key) >= _MIN_RUN_TOGETHER and (split := self._split_words(atom.key)) is not None:
            yield split

    def _is_harmful(self, guessed: str, atom: _Atom) -> bool:
        """Say whether what was guessed marks harmful texts. Two words run together are a name more often: Penistone."""
        words = guessed.split()
        return not self._words.harmful.isdisjoint(words) and (len(words) != 2 or len(atom.key) >= _MIN_PAIR)

    def _read_piece(self, text: "_Text", atoms: Sequence[_Atom], first: int, start: int, end: int) -> _Edge | None:
        """The word that a run with signs in it stands for: masked, or with signs for letters."""
        piece = text.text[start:end].rstrip(".?!-–—")
        if piece.isalnum() or (_is_plain(piece) and all(atom.is_known and len(atom.key) > 1 for atom in atoms)):
            return None
        signs = {letter for letter in piece if not letter.isalnum()}
        guess = self._guesser.guess_masked(piece, text.language) if signs & MASKS else None
        guess = guess or self._guesser.guess(piece, text.language)
        if guess is None or not guess.is_sure:
            return None
        return _Edge(first, first + len(atoms), start, start + len(piece), guess.word, guess.cost)

    def _join(self, text: "_Text", first: int, links: Sequence["_Link"]) -> Iterator[_Edge]:
        """Words that were split: the atoms from `first` on, put together."""
        atoms = text.atoms
        key, penalty, has_unknown = atoms[first].key, 0.0, not atoms[first].is_known
        if not key.isalpha() or (first and text.text[atoms[first].start - 1] in _HIDING):
            return
        for at in range(first + 1, min(len(atoms), first + LONGEST)):
            atom, link = atoms[at], links[at]
            key += atom.key
            if link is _Link.NONE or len(key) > LONGEST:
                return
            has_unknown |= not atom.is_known
            if link is _Link.LETTERS:
                penalty += _JOIN_LETTERS
            else:
                penalty += _JOIN_PARTS if has_unknown else _JOIN_WORDS
            if (words := self._words.by_key.get(key)) is not None:
                guess = self._guesser.choose(words, penalty, text.language, is_sure=True)
                yield _Edge(first, at + 1, atoms[first].start, atom.end, guess.word, guess.cost)

    def _find_split(self, key: str) -> Guess | None:
        """The cheapest words that make up the letters, two at least."""
        by_key, costs = self._words.by_key, self._words.costs
        best: list[tuple[float, str]] = [(0.0, "")]
        for end in range(1, len(key) + 1):
            ways = [
                (best[start][0] + costs[words[0]] + _RUN_TOGETHER, f"{best[start][1]} {words[0]}")
                for start in range(max(0, end - LONGEST), end)
                if best[start][0] < float("inf")
                and (words := by_key.get(key[start:end])) is not None
                and (end - start > 1 or key[start] in _LONE_PARTS)
            ]
            best.append(min(ways, default=(float("inf"), "")))
        cost, text = best[-1]
        return Guess(text.strip(), cost, is_sure=False) if cost < float("inf") else None


@dataclass(frozen=True, slots=True)
class _Text:
    """pieces: start and end of each run without spaces. language: of most known words; empty: not told."""

    text: str
    atoms: Sequence[_Atom]
    pieces: Sequence[tuple[int, int]]
    language: str
    is_misspelt: bool

    def may_hold(self, guess: Guess) -> bool:
        """Say whether a guess is to be believed here. Words of other languages have more forms than the list."""
        return self.is_misspelt and not (guess.is_edited and self.language != "en")


def _list_links(text: _Text) -> list[_Link]:
    """By atom. The first has none."""
    return [_Link.NONE, *(_link(text.text, one, other) for one, other in pairwise(text.atoms))]


def _link(text: str, before: _Atom, atom: _Atom) -> _Link:
    between = text[before.end : atom.start]
    if not atom.key.isalpha() or not _HIDING.isdisjoint(between + text[atom.end : atom.end + 1]):
        return _Link.NONE
    if len(atom.key) == 1 and len(before.key) == 1:
        return _Link.LETTERS
    return _Link.PARTS if _SEPARATORS.issuperset(between) else _Link.NONE


def _name_language(atoms: Sequence[_Atom]) -> str:
    votes = Counter(language for atom in atoms for language in atom.languages)
    if not votes:
        return ""
    language, most = votes.most_common(1)[0]
    return language if most > 1 else ""


def _invites(atom: _Atom, text: str) -> bool:
    """Say whether the atom is a reason to look for disguised words: it is none itself, or a sign stands beside it."""
    return not atom.is_known or text[atom.end : atom.end + 1] in MASKS or text[atom.start - 1 : atom.start] in MASKS


def _is_plain(piece: str) -> bool:
    """Say whether the only signs in it are those of compounds and ends of sentences."""
    return all(letter.isalnum() or letter in "-–—.?!'’" for letter in piece)


def _write(text: _Text, came: Sequence[_Edge | None]) -> str:
    path: list[_Edge] = []
    at = len(text.atoms)
    while (edge := came[at]) is not None:
        path.append(edge)
        at = edge.first
    out: list[str] = []
    end, was_changed = 0, False
    for edge in reversed(path):
        between = text.text[end : edge.start]
        if (was_changed or edge.word) and between and _is_cut(between):
            between = " "  # a sign that cut words apart
        out += (between, edge.word or text.text[edge.start : edge.end])
        end, was_changed = edge.end, bool(edge.word)
    return "".join((*out, text.text[end:]))


def _is_cut(between: str) -> bool:
    return len(between) == 1 and between in MASKS


@cache
def load_restorer() -> Restorer:
    return Restorer(load_vocabulary())


def restore_words(prepared: str) -> str | None:
    """The likeliest reading of the text's words, if another is likelier than the text as it stands."""
    return load_restorer().restore(prepared)
