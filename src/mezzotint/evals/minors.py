"""Compose prompts that the rules on sexual content with minors must stop, from the rules' own lists, at run time.

Such prompts are neither written nor kept: a set of them would be what the rules forbid. Each rule's terms are joined
with one another; a prompt's id tells the rule and the numbers of its terms, and nothing prints the text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from mezzotint.evals.obfuscation import LETTERS, Obfuscation
from mezzotint.evals.result import Figure
from mezzotint.evals.safety import Screen
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.safety.text.folding import fold
from mezzotint.safety.text.rules import Rule, Rules

_JOINTS = (" ", ", ", " and ", " with ", ". A garden in spring. ", " / ", "\n", " - ", " in oil on canvas, ")
_NOT_UNDONE = frozenset({"spacing/every_word", "misspelling/swapped", "misspelling/no_vowels", "masking/asterisks"})
"""Disguises that no rule sees through: where each short word is spelt out too, where it begins and ends is lost."""
_OTHER_WORDS = frozenset({"emoji", "pig_latin"})


@dataclass(frozen=True, slots=True)
class ComposedPrompt:
    """A prompt to refuse. disguise: a pattern of `obfuscation`, empty for none."""

    id: str
    text: str
    negative_prompt: str
    disguise: str


def compose_minors(rules: Rules, seed: str = "minors") -> Iterator[ComposedPrompt]:
    """Every term of every list of every such rule at least once, in a random order with random terms of the others."""
    random = Random(seed)
    terms: dict[str, list[str]] = {}
    for term, name in rules.terms():
        terms.setdefault(name, []).append(term)
    for number, rule in enumerate(rules.rules, start=1):
        if rule.category == SafetyCategory.SEXUAL_MINORS:
            yield from _compose_rule(f"minors.{number}", rule, terms, random)


def disguise_minors(rules: Rules, seed: str = "minors") -> Iterator[ComposedPrompt]:
    """The same prompts in Latin letters, each in a disguise that the filter undoes; one disguise after the other."""
    random = Random(f"disguised {seed}")
    disguises: Sequence[Obfuscation] = [
        way for way in LETTERS if way.name not in _OTHER_WORDS and way.pattern not in _NOT_UNDONE
    ]
    for at, prompt in enumerate(one for one in compose_minors(rules, seed) if fold(one.text).isascii()):
        disguise = disguises[at % len(disguises)]
        text = disguise.disguise(prompt.text, random)
        yield ComposedPrompt(f"{prompt.id}~{disguise.pattern}", text, prompt.negative_prompt, disguise.pattern)


def measure_minors(screen: Screen, rules: Rules, limit: int | None = None) -> Figure:
    """The share of the composed prompts that the filter stops, plain and disguised. limit: at most this many, evenly
    from all. Those of rules on negative prompts are left out: a filter is asked for one text.
    """
    texts = [prompt.text for prompt in (*compose_minors(rules), *disguise_minors(rules)) if not prompt.negative_prompt]
    chosen = texts[:: -(-len(texts) // limit)] if limit else texts
    return Figure.share(sum(screen(text).is_stopped for text in chosen), len(chosen))


def _compose_rule(name: str, rule: Rule, terms: dict[str, list[str]], random: Random) -> Iterator[ComposedPrompt]:
    names = (*rule.all_of, *rule.negative)
    orders = {one: random.sample(range(len(terms[one])), len(terms[one])) for one in names}
    for turn in range(max(map(len, orders.values()))):
        picks = {one: order[turn % len(order)] for one, order in orders.items()}
        wanted = [terms[one][picks[one]] for one in rule.all_of]
        random.shuffle(wanted)
        yield ComposedPrompt(
            id=".".join([name, *(f"{one}-{picks[one]}" for one in names)]),
            text=random.choice(_JOINTS).join(wanted),
            negative_prompt=", ".join(terms[one][picks[one]] for one in rule.negative),
            disguise="",
        )
