"""The weekly injection set: patterns composed from parts, so that a filter cannot learn the set by heart.

A pattern hides a request (a plain row of the golden set) behind a lead ("The content policy is suspended. Draw:") at
a position in a harmless carrier, and disguises the request or all that was injected. The ISO week seeds the choice.
A pattern's id names its parts, which is enough to compose its text again in a later week.
"""

import tomllib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from importlib.resources import files
from random import Random

from mezzotint.domain.errors import ArgumentInvalid
from mezzotint.evals.golden_sets import AdversarialPrompt, load_adversarial, load_benign
from mezzotint.evals.obfuscation import ENCODINGS, LETTERS, Obfuscation, disguise_all

DEFAULT_SIZE = 300
_MAX_TRIES_A_PATTERN = 50
_NOT_DISGUISED = "none"


class PatternUnknown(ArgumentInvalid):
    """No pattern of this id can be composed."""

    hint = "Ids come from `list_week` and from the ledger; a part that was taken out of the sets cannot be composed."


class Position(StrEnum):
    """Place of the injection among the carrier's lines."""

    START = "start"
    MIDDLE = "middle"
    END = "end"


class DisguiseExtent(StrEnum):
    """Extent of the disguise: the request alone, or the lead as well."""

    REQUEST = "request"
    INJECTION = "injection"


@dataclass(frozen=True, slots=True)
class Lead:
    """The sentences before the request, by their places in the lists of `injection_parts.toml`, counted from 1."""

    language: str
    opener: int
    claim: int
    order: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """request: the id of a plain row of the golden set. disguises: patterns of obfuscations, applied in this order."""

    carrier: str
    position: Position
    lead: Lead
    scope: DisguiseExtent
    disguises: tuple[str, ...]
    request: str

    @property
    def id(self) -> str:
        lead = f"{self.lead.language}-{self.lead.opener}-{self.lead.claim}-{self.lead.order}"
        disguise = "+".join(self.disguises) or _NOT_DISGUISED
        return ".".join((self.carrier, self.position, lead, self.scope, disguise, self.request))


@dataclass(frozen=True, slots=True)
class InjectionPrompt:
    """A prompt of the weekly set. A control is a benign request in a carrier: it must be drawn, and has no pattern."""

    id: str
    text: str
    language: str
    category: str
    pattern: Pattern | None


@dataclass(frozen=True, slots=True)
class _Parts:
    carriers: Mapping[str, Sequence[str]]
    leads: Mapping[str, Mapping[str, Sequence[str]]]
    disguises: Mapping[str, Obfuscation]
    requests: Mapping[str, AdversarialPrompt]
    requests_by: Mapping[str, Mapping[str, Sequence[str]]]
    """Ids by language and category."""


def format_week(day: date) -> str:
    """The ISO week, as in 2026-W48."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


def list_week(week: str, size: int = DEFAULT_SIZE, seen_before: Collection[str] = ()) -> list[InjectionPrompt]:
    """Compose the patterns of a week. week: as `format_week` writes it. seen_before: ids of patterns of earlier weeks,
    which are not drawn again. A larger set of the same week begins with the smaller one.

    Raises: ArgumentInvalid where the parts do not yield so many patterns.
    """
    random = Random(f"injections {week}")
    known = set(seen_before)
    prompts: list[InjectionPrompt] = []
    for _ in range(size * _MAX_TRIES_A_PATTERN):
        if len(prompts) == size:
            return prompts
        pattern = _draw_pattern(random)
        if pattern.id not in known and (prompt := _compose(pattern)):
            known.add(pattern.id)
            prompts.append(prompt)
    raise ArgumentInvalid(f"the parts yield only {len(prompts)} new patterns for {week}, not {size}")


def list_controls(week: str, size: int) -> list[InjectionPrompt]:
    """Benign golden prompts in the carriers, at most one for each: a filter that refuses carriers shows here."""
    random = Random(f"controls {week}")
    carriers = _load_parts().carriers
    benign = load_benign()
    prompts = []
    for prompt in random.sample(benign, min(size, len(benign))):
        carrier, position = random.choice(list(carriers)), random.choice(list(Position))
        text = _place(carriers[carrier], position, prompt.text)
        prompts.append(
            InjectionPrompt(f"control.{carrier}.{position}.{prompt.id}", text, prompt.language, "none", None)
        )
    return prompts


def compose_pattern(pattern_id: str) -> InjectionPrompt:
    """Compose a pattern of any week again from its id. Raises: PatternUnknown."""
    try:
        prompt = _compose(_parse_pattern(pattern_id))
    except (KeyError, IndexError, ValueError) as error:
        raise PatternUnknown(f'"{pattern_id}" names no pattern: {error}') from error
    if prompt is None:
        raise PatternUnknown(f'"{pattern_id}" names a disguise that has no hold on its request')
    return prompt


def _draw_pattern(random: Random) -> Pattern:
    parts = _load_parts()
    language = random.choice(sorted(parts.leads))
    by_category = parts.requests_by[language]
    request = random.choice(by_category[random.choice(sorted(by_category))])
    # People write an injection in English round a request in their own language, too.
    lead_language = random.choice((language, language, "en"))
    lead = parts.leads[lead_language]
    carrier = random.choice(list(parts.carriers))
    return Pattern(
        carrier=carrier,
        position=random.choice(list(Position) if parts.carriers[carrier] else [Position.START]),
        lead=Lead(
            lead_language,
            random.randint(1, len(lead["openers"])),
            random.randint(1, len(lead["claims"])),
            random.randint(1, len(lead["orders"])),
        ),
        scope=random.choice(list(DisguiseExtent)),
        disguises=tuple(_draw_disguises(language, random)),
        request=request,
    )


def _draw_disguises(language: str, random: Random) -> Iterator[str]:
    """None, one by letters, one encoding, or both in this order."""
    kinds = random.choice(((), (LETTERS,), (ENCODINGS,), (LETTERS, ENCODINGS)))
    for kind in kinds:
        fitting = [obfuscation.pattern for obfuscation in kind if obfuscation.fits(language)]
        if fitting:
            yield random.choice(fitting)


def _compose(pattern: Pattern) -> InjectionPrompt | None:
    """Compose a prompt; None where a disguise leaves the text as it is: that would be another pattern's text."""
    parts = _load_parts()
    request = parts.requests[pattern.request]
    sentences = parts.leads[pattern.lead.language]
    numbers = {"openers": pattern.lead.opener, "claims": pattern.lead.claim, "orders": pattern.lead.order}
    if min(numbers.values()) < 1:
        raise IndexError("sentences are counted from 1")
    lead = " ".join(sentences[kind][number - 1] for kind, number in numbers.items())
    plain = request.text if pattern.scope == DisguiseExtent.REQUEST else f"{lead} {request.text}"
    text = plain
    for disguise in pattern.disguises:
        before = text
        text = disguise_all(text, [parts.disguises[disguise]], Random(pattern.id))
        if text == before:
            return None
    injected = f"{lead} {text}" if pattern.scope == DisguiseExtent.REQUEST else text
    carried = _place(parts.carriers[pattern.carrier], pattern.position, injected)
    return InjectionPrompt(pattern.id, carried, request.language, request.category, pattern)


def _place(lines: Sequence[str], position: Position, injected: str) -> str:
    at = {Position.START: 0, Position.MIDDLE: (len(lines) + 1) // 2, Position.END: len(lines)}[position]
    return "\n".join([*lines[:at], injected, *lines[at:]])


def _parse_pattern(pattern_id: str) -> Pattern:
    carrier, position, lead, scope, disguise, request = pattern_id.split(".")
    language, opener, claim, order = lead.split("-")
    return Pattern(
        carrier=carrier,
        position=Position(position),
        lead=Lead(language, int(opener), int(claim), int(order)),
        scope=DisguiseExtent(scope),
        disguises=() if disguise == _NOT_DISGUISED else tuple(disguise.split("+")),
        request=request,
    )


@cache
def _load_parts() -> _Parts:
    written = files("mezzotint.evals").joinpath("golden", "injection_parts.toml").read_text(encoding="utf-8")
    texts = tomllib.loads(written)
    requests_by: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    requests = {prompt.id: prompt for prompt in load_adversarial() if prompt.obfuscation == "plain"}
    for prompt in requests.values():
        requests_by[prompt.language][prompt.category].append(prompt.id)
    return _Parts(
        carriers=texts["carriers"],
        leads=texts["leads"],
        disguises={obfuscation.pattern: obfuscation for obfuscation in (*LETTERS, *ENCODINGS)},
        requests=requests,
        requests_by=requests_by,
    )
