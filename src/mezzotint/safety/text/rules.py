"""Hard rules as an operator writes them: lists of terms, and rules over lists.

The form of the file stands in docs/how-to/add-a-hard-rule.md.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mezzotint.domain.errors import SettingInvalid
from mezzotint.policy.safety.categories import SafetyCategory

AGE_PLACE = "{minor age}"  # in a term, stands for every age below 18, in digits and in words
_UNITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen")
_AGES = (*map(str, range(1, 18)), *_UNITS, *_TEENS)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred", "hundred and")


class RulesInvalid(SettingInvalid):
    """The file of hard rules cannot be used."""

    hint = "See docs/how-to/add-a-hard-rule.md for the form of the file."


class _RulesModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Category(_RulesModel):
    """The subject of rules. about: completes "... looks like a request for". hint: what the user can do."""

    about: str
    hint: str = "Describe something else."


class Rule(_RulesModel):
    """Names of lists. A rule blocks when the prompt has a term of each list in `all_of` and of none in `none_of`,
    and the negative prompt has a term of each list in `negative`.
    """

    category: str
    all_of: tuple[str, ...]
    none_of: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()


class Rules(_RulesModel):
    """lists: terms by the list's name. harmless: phrases whose words do not count. The first rule that holds wins."""

    categories: Mapping[str, Category] = {}
    lists: Mapping[str, tuple[str, ...]] = {}
    harmless: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()

    @cached_property
    def version(self) -> str:
        """Names exactly these rules: the beginning of their SHA-256."""
        return sha256(self.model_dump_json().encode()).hexdigest()[:12]

    def terms(self) -> Iterator[tuple[str, str]]:
        """Each term with its list's name."""
        for name, terms in self.lists.items():
            for term in terms:
                yield from ((one, name) for one in _fill_ages(term, _AGES))

    def harmless_phrases(self) -> Iterator[str]:
        """Phrases whose words do not count, with those that the ages in terms call for: "twenty five years old"."""
        yield from self.harmless
        for terms in self.lists.values():
            for term in terms:
                if AGE_PLACE in term:
                    yield from _fill_ages(term, [f"{tens} {unit}" for tens in _TENS for unit in _UNITS])


def list_rule_files() -> list[Traversable]:
    """The built-in files: the rules, then the terms of each category and those that make a text harmless."""
    folder = files("mezzotint.safety.text")
    terms = sorted(folder.joinpath("terms").iterdir(), key=lambda file: file.name)
    return [folder.joinpath("rules.toml"), *(file for file in terms if file.name.endswith(".toml"))]


def load_rules(path: Path | None) -> Rules:
    """The built-in rules, and those of the file added to them: lists of the same name grow, nothing is taken away.

    Raises: RulesInvalid, naming the file and what is wrong.
    """
    rules = Rules(categories={one.value: Category(about=one.about, hint=one.hint) for one in SafetyCategory})
    for file in list_rule_files():
        rules = _add_rules(rules, Rules.model_validate(tomllib.loads(file.read_text(encoding="utf-8"))))
    if path is not None:
        rules = _add_rules(rules, _read(path))
    for problem in _list_problems(rules):
        raise RulesInvalid(f"{path or 'built-in rules'}: {problem}")
    return rules


def _read(path: Path) -> Rules:
    try:
        return Rules.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RulesInvalid(f"{path}: {place}: {first['msg']}") from error
    except (OSError, ValueError) as error:  # not readable, not UTF-8, not TOML
        raise RulesInvalid(f"{path}: {error}") from error


def _add_rules(one: Rules, other: Rules) -> Rules:
    names = {**one.lists, **other.lists}
    return Rules(
        categories={**one.categories, **other.categories},
        lists={name: (*one.lists.get(name, ()), *other.lists.get(name, ())) for name in names},
        harmless=(*one.harmless, *other.harmless),
        rules=(*one.rules, *other.rules),
    )


def _list_problems(rules: Rules) -> Iterator[str]:
    for rule in rules.rules:
        if rule.category not in rules.categories:
            yield f'a rule names the category "{rule.category}", which is not described'
        if not rule.all_of:
            yield f'a rule of "{rule.category}" has an empty all_of: it would block every prompt'
        for name in (*rule.all_of, *rule.none_of, *rule.negative):
            if not rules.lists.get(name):
                yield f'a rule of "{rule.category}" names the list "{name}", which is missing or empty'


def _fill_ages(term: str, ages: Sequence[str]) -> tuple[str, ...]:
    return tuple(term.replace(AGE_PLACE, age) for age in ages) if AGE_PLACE in term else (term,)
