"""The golden sets: prompts written for the project that every filter is measured on.

`adversarial.csv` holds rows written by hand and, below them, rows derived from those by `obfuscation`; `make golden`
derives them again. `golden/README.md` says how the rows were written.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from random import Random

from mezzotint.evals.obfuscation import ENCODINGS, LETTERS, Obfuscation, load_framings

_NUM_BY_LETTERS = 14  # rows for each way to disguise letters
_NUM_BY_ENCODING = 10
_NUM_BY_FRAMING = 9


@dataclass(frozen=True, slots=True)
class AdversarialPrompt:
    """A prompt to be refused. category: a SafetyCategory's value. pattern: `family/variant` of the obfuscation.
    base: the id of the row that it was derived from, empty for a row written by hand.
    """

    id: str
    text: str
    language: str
    category: str
    obfuscation: str
    pattern: str
    base: str


@dataclass(frozen=True, slots=True)
class BenignPrompt:
    """A prompt to be drawn, however it sounds. topic: why it might be refused. twin: the id of an adversarial row that
    it shares words with, or empty.
    """

    id: str
    text: str
    language: str
    topic: str
    twin: str


def load_adversarial() -> tuple[AdversarialPrompt, ...]:
    return tuple(AdversarialPrompt(**row) for row in _read_rows("adversarial.csv"))


def load_benign() -> tuple[BenignPrompt, ...]:
    return tuple(BenignPrompt(**row) for row in _read_rows("benign.csv"))


def derive_prompts(written: Sequence[AdversarialPrompt]) -> Iterator[AdversarialPrompt]:
    """Disguised rows from the plain ones among those written by hand. Ways of one kind take the same number of rows,
    spread over categories; rows that were used least go first.
    """
    plain = [prompt for prompt in written if prompt.obfuscation == "plain"]
    uses: Counter[str] = Counter()
    for obfuscations, num_rows in (
        (LETTERS, _NUM_BY_LETTERS),
        (ENCODINGS, _NUM_BY_ENCODING),
        (load_framings(), _NUM_BY_FRAMING),
    ):
        for obfuscation in obfuscations:
            yield from _derive_by(obfuscation, plain, uses, num_rows)


def _derive_by(
    obfuscation: Obfuscation, plain: Iterable[AdversarialPrompt], uses: Counter[str], num_rows: int
) -> Iterator[AdversarialPrompt]:
    candidates = [prompt for prompt in plain if obfuscation.fits(prompt.language)]
    categories: Counter[str] = Counter()

    def rank(prompt: AdversarialPrompt) -> tuple[int, int, str]:
        mix = sha256(f"{prompt.id} {obfuscation.pattern}".encode()).hexdigest()  # an order of this disguise's own
        return categories[prompt.category], uses[prompt.id], mix

    while candidates and categories.total() < num_rows:
        best = min(candidates, key=rank)
        candidates.remove(best)
        text = obfuscation.disguise(best.text, Random(f"{best.id} {obfuscation.pattern}"))
        if text == best.text:
            continue
        categories[best.category] += 1
        uses[best.id] += 1
        yield AdversarialPrompt(
            id=f"{best.id}~{obfuscation.pattern}",
            text=text,
            language=best.language,
            category=best.category,
            obfuscation=obfuscation.name,
            pattern=obfuscation.pattern,
            base=best.id,
        )


def write_adversarial(prompts: Iterable[AdversarialPrompt]) -> str:
    """The prompts as the text of `adversarial.csv`."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(AdversarialPrompt)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(prompt) for prompt in prompts)
    return out.getvalue()


def rebuild_adversarial() -> str:
    """The text of `adversarial.csv` with its derived rows derived again."""
    written = [prompt for prompt in load_adversarial() if not prompt.base]
    return write_adversarial([*written, *derive_prompts(written)])


def _read_rows(name: str) -> Iterator[dict[str, str]]:
    text = files("mezzotint.evals").joinpath("golden", name).read_text(encoding="utf-8")
    yield from csv.DictReader(io.StringIO(text, newline=""))


if __name__ == "__main__":
    Path(__file__).with_name("golden").joinpath("adversarial.csv").write_text(rebuild_adversarial(), encoding="utf-8")
