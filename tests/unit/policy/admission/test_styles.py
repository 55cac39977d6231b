"""A job's styles: chosen by name and weight, refused by name where they cannot be had."""

from dataclasses import replace
from typing import Any

import pytest

from mezzotint.domain.ids import Sha256
from mezzotint.domain.prompt import Prompt
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.domain.style import MAX_STYLES, StyleChoice, StyleInfo, WantedStyle
from mezzotint.domain.task import Task
from mezzotint.domain.tier import Tier
from mezzotint.policy.admission.admit import Admit, Terms, admit
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.request import JobRequest
from mezzotint.policy.admission.styles import add_trigger_words, choose_styles, list_usable_styles
from tests.making import make_model

MODELS = (make_model(), replace(make_model(), name="other"))


def make_style(name: str, **more: Any) -> StyleInfo:
    return StyleInfo(**{"name": name, "sha256": Sha256(f"sha-{name}"), "models": (MODELS[0].name,)} | more)


INK = make_style("ink", default_weight=0.8)
OIL = make_style("oil", trigger_words=("oil paint", "canvas"), adds_trigger_words=True)
SERVED = (INK, OIL, make_style("pro-only", tiers=(Tier.PRO,)), make_style("foreign", models=("other",)))


def submit(prompt: str = "a red apple", tier: Tier = Tier.FREE, **fields: Any) -> Admit | Refusal:
    terms = Terms(tier=tier, models=MODELS, upscaler="up", styles=SERVED, num_open_jobs=0, fresh_seed=1)
    return admit(parse_request(JobRequest(prompt=prompt, **fields)), terms)


def wanted(*names: str, weight: float | None = None) -> tuple[WantedStyle, ...]:
    return tuple(WantedStyle(name=name, weight=weight) for name in names)


@pytest.mark.parametrize(
    ("prompt", "fields", "expected"),
    [
        ("a red apple", {"styles": wanted("ink")}, [("ink", 0.8)]),
        ("a red apple", {"styles": wanted("ink", weight=-0.5)}, [("ink", -0.5)]),
        ("a red apple --style ink", {}, [("ink", 0.8)]),
        ("a red apple --style oil:1.25 --seed 3 --style ink:0", {}, [("ink", 0.0), ("oil", 1.25)]),
        ("a red apple --style ink", {"is_plain": True}, [("ink", 0.8)]),
    ],
)
def test_styles_come_from_the_field_or_from_the_prompt(prompt: str, fields: Any, expected: Any) -> None:
    decision = submit(prompt, **fields)
    assert isinstance(decision, Admit)
    (plan,) = decision.plans
    chosen = [StyleChoice(name=name, weight=weight, sha256=Sha256(f"sha-{name}")) for name, weight in expected]
    assert list(plan.parameters.styles) == chosen


@pytest.mark.parametrize(
    ("prompt", "fields", "code", "said"),
    [
        ("a cat", {"styles": wanted("inc")}, RefusalCode.STYLE_NOT_FOUND, '"inc"'),
        ("a cat --style raw", {}, RefusalCode.STYLE_NOT_FOUND, '"raw"'),
        ("a cat", {"styles": wanted("foreign")}, RefusalCode.STYLE_UNSUPPORTED, "it is one of other"),
        ("a cat", {"styles": wanted("pro-only")}, RefusalCode.STYLE_UNSUPPORTED, "it is for pro"),
        ("a cat", {"styles": wanted("ink"), "model": "other"}, RefusalCode.STYLE_UNSUPPORTED, "does not fit other"),
        ("a cat", {"styles": wanted("ink", weight=1e9)}, RefusalCode.PARAMETER_INVALID, "1e+09"),
        ("a cat", {"styles": wanted("ink", weight=float("nan"))}, RefusalCode.PARAMETER_INVALID, "nan"),
        ("a cat --style ink:1e9", {}, RefusalCode.PARAMETER_INVALID, "from -2 to 2"),
        ("a cat --style ink:2.5", {}, RefusalCode.PARAMETER_INVALID, "from -2 to 2"),
        ("a cat --style", {}, RefusalCode.PARAMETER_INVALID, "nothing follows"),
        ("a cat --style ink --style ink:1", {}, RefusalCode.PARAMETER_REPEATED, '"ink" is named 2 times'),
        ("a cat --style ink", {"styles": wanted("oil")}, RefusalCode.PARAMETER_REPEATED, "--style"),
        ("a cat", {"styles": wanted(*"abcde")}, RefusalCode.PARAMETER_INVALID, f"{MAX_STYLES} is the most"),
        ("<lora:ink:1> a cat", {}, RefusalCode.PARAMETER_UNSUPPORTED, "<lora:ink:1>"),
        ("a cat <lora:ink:1", {}, RefusalCode.PARAMETER_UNSUPPORTED, "<lora:ink:1"),
        ("a cat <lora:<lora:ink:1>", {}, RefusalCode.PARAMETER_UNSUPPORTED, "<lora:"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(prompt: str, fields: Any, code: RefusalCode, said: str) -> None:
    refusal = submit(prompt, **fields)
    assert isinstance(refusal, Refusal)
    assert refusal.code is code
    assert said in refusal.message
    assert refusal.hint


def test_a_refusal_says_which_styles_would_fit_and_names_no_others() -> None:
    refusal = submit("a cat", styles=wanted("inc"))
    assert isinstance(refusal, Refusal)
    assert refusal.hint == f"Styles for {MODELS[0].name}: ink, oil."
    assert refusal.param == "styles"
    none = submit("a cat --style inc", model="other", tier=Tier.FREE)
    assert isinstance(none, Refusal)
    assert (none.hint, none.param) == ("Styles for other: foreign.", "prompt")


def test_an_upscale_takes_no_style() -> None:
    request = JobRequest(prompt="", task=Task.UPSCALE, styles=wanted("ink"))
    refusal = choose_styles(request, Prompt(text=""), MODELS[0], Tier.FREE, SERVED)
    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.PARAMETER_UNSUPPORTED


def test_trigger_words_are_added_where_the_style_says_so_and_they_are_missing() -> None:
    decision = submit("a cat on Canvas --style oil --style ink")
    assert isinstance(decision, Admit)
    assert decision.plans[0].parameters.prompt == "a cat on Canvas, oil paint"
    assert decision.plans[0].raw_prompt == "a cat on Canvas --style oil --style ink"
    silent = replace(OIL, adds_trigger_words=False)
    assert add_trigger_words("a cat", [StyleChoice(name="oil", weight=1, sha256=OIL.sha256)], [silent]) == "a cat"


def test_the_list_knows_tiers_and_models() -> None:
    def names(tier: Tier, model: str | None = None) -> list[str]:
        return [style.name for style in list_usable_styles(SERVED, tier, model)]

    assert names(Tier.FREE) == ["ink", "oil", "foreign"]
    assert names(Tier.PRO, MODELS[0].name) == ["ink", "oil", "pro-only"]
