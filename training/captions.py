"""What people would write to get a picture: names, articles and the ways of asking."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

COLOUR_WORDS = frozenset(
    ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey", "golden", "gold"]
)
UNCOLOURED_SECTIONS = frozenset({"smileys", "people", "cat faces", "signs and shapes"})
MAX_TAGS = 3
OFTEN_ASKED_WEIGHT = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """A thing the model learns. `names` are as in `concepts.txt`: one that begins with "=" takes no article."""

    label: str
    names: tuple[str, ...]
    section: str
    weight: int = 1

    @property
    def can_change_colour(self) -> bool:
        return self.section not in UNCOLOURED_SECTIONS and bool(self.colourless_names)

    @property
    def colourless_names(self) -> tuple[str, ...]:
        """Its names without a colour word: the ones that another colour can be put before."""
        return tuple(name for name in self.names if not COLOUR_WORDS & set(name.lstrip("=").split()))


def concepts(path: Path) -> list[Concept]:
    """The lines of `concepts.txt`."""
    found: list[Concept] = []
    section = ""
    for line in path.read_text().splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line and not line.startswith("#"):
            weight = OFTEN_ASKED_WEIGHT if line.startswith("* ") else 1
            label, _, names = line.removeprefix("* ").partition(" | ")
            all_names = tuple((names or label).split(", "))
            found.append(Concept(label=label, names=all_names, section=section, weight=weight))
    return found


def ask(concept: Concept, tags: Iterable[str]) -> list[str]:
    """Captions for a thing as it is; a caption that stands twice is drawn twice as often."""
    first = concept.names[0]
    thing = with_article(first)
    written = [thing, thing, bare(first), f"the {bare(first)}", f"a picture of {thing}", f"a drawing of {thing}"]
    for name in concept.names[1:]:
        written += [with_article(name), with_article(name), bare(name)]
    words = [tag for tag in tags if len(tag) > 2 and tag not in concept.names][:MAX_TAGS]
    return written + [f"{thing}, {word}" for word in words]


def ask_in_colour(concept: Concept, colour: str) -> list[str]:
    """Captions for a thing in a colour."""
    written: list[str] = []
    for name in concept.colourless_names[:3]:
        coloured = f"{colour} {bare(name)}"
        written += [coloured if name.startswith("=") else with_article(coloured), coloured]
    return [*written, written[0], f"the {written[1]}", f"a picture of {written[0]}"]


def bare(name: str) -> str:
    return name.removeprefix("=")


def with_article(name: str) -> str:
    if name.startswith("="):
        return bare(name)
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
