"""A recipe becomes a request that admission takes, and says what it could not follow."""

from dataclasses import replace

import pytest

from mezzotint.domain.drawing.recipe import Recipe
from mezzotint.domain.ids import Sha256
from mezzotint.domain.refusal import Refusal
from mezzotint.domain.style import StyleChoice, StyleInfo
from mezzotint.domain.task import Task
from mezzotint.domain.tier import Tier
from mezzotint.policy.admission.admit import Terms, admit
from mezzotint.policy.admission.draw_again import plan_again
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.request import JobRequest
from tests.making import make_model, make_parameters

MODEL = replace(make_model(), samplers=("Euler a",), aliases=("house",))
PARAMETERS = replace(
    make_parameters(width=64, height=32), prompt="a {red} apple", negative_prompt="text", sampler="Euler a"
)
RECIPE = Recipe.of(PARAMETERS, MODEL.name, "Mezzotint 1")


def test_a_recipe_of_this_server_becomes_the_same_job() -> None:
    again = plan_again(RECIPE, [MODEL])
    assert again.notes == ()
    terms = Terms(tier=Tier.FREE, models=[MODEL], num_open_jobs=0, fresh_seed=1)
    admitted = admit(parse_request(JobRequest(**again.fields)), terms)
    assert not isinstance(admitted, Refusal)
    assert [plan.parameters for plan in admitted.plans] == [PARAMETERS]
    typed = admit(parse_request(JobRequest(prompt=again.typed)), terms)
    assert not isinstance(typed, Refusal)
    assert typed.plans[0].parameters.seed == PARAMETERS.seed
    assert typed.plans[0].parameters.prompt == PARAMETERS.prompt


def test_what_the_server_cannot_follow_is_left_out_and_said() -> None:
    blind = replace(MODEL, takes_negative_prompt=False, samplers=(), default_guidance=1.0)
    again = plan_again(replace(RECIPE, model="elsewhere", strength=0.5), [blind])
    assert {"negative_prompt", "sampler", "model", "guidance_scale", "strength"}.isdisjoint(again.fields)
    told = " ".join(again.notes)
    assert all(word in told for word in ("elsewhere", "negative prompt", "Euler a", "began with another picture"))


def test_a_source_is_named_again_and_an_upscale_takes_no_settings() -> None:
    source = replace(RECIPE, task=Task.VARIATION, source="ab" * 32, strength=0.5)
    assert plan_again(source, [MODEL]).fields["source"] == "ab" * 32
    upscale = plan_again(replace(RECIPE, task=Task.UPSCALE, source="ab" * 32, scale=2, model="up"), [MODEL])
    assert upscale.fields == {"prompt": "a \\{red\\} apple", "task": "upscale", "source": "ab" * 32, "scale": 2}
    assert upscale.notes == ()
    for odd in (replace(source, source="x" * 100), replace(source, mask="../x")):
        again = plan_again(odd, [MODEL])
        assert (again.fields["task"], again.fields.get("source")) == ("generate", None)
        assert "drawn from words alone" in again.notes[0]
    outpaint = plan_again(replace(source, task=Task.OUTPAINT), [MODEL])
    assert outpaint.fields["task"] == "generate"
    assert "outpaint" in outpaint.notes[0]


def test_styles_that_can_be_had_are_named_again_and_others_said() -> None:
    ink = StyleInfo(name="ink", sha256=Sha256("aa"), models=(MODEL.name,))
    styles = tuple(
        StyleChoice(name=name, weight=weight, sha256=Sha256(sha256))
        for name, weight, sha256 in (("ink", 0.8, "aa"), ("gone", 1.0, ""))
    )
    again = plan_again(replace(RECIPE, styles=styles), [MODEL], [ink])
    assert again.fields["styles"] == [{"name": "ink", "weight": 0.8}]
    assert "--style ink:0.8" in again.typed
    assert [note for note in again.notes if "gone" in note]
    assert "gone" not in again.typed
    other = plan_again(replace(RECIPE, styles=styles[:1]), [MODEL], [replace(ink, sha256=Sha256("bb"))])
    assert "another file" in other.notes[0]
    assert "styles" not in plan_again(RECIPE, [MODEL], [ink]).fields


@pytest.mark.parametrize("weights", [(0.8, 0.5), (float("nan"), 0.8), (0.8, float("nan")), (0.8, 1e9)])
def test_of_a_style_that_stands_twice_or_with_an_odd_weight_one_is_named(weights: tuple[float, ...]) -> None:
    ink = StyleInfo(name="ink", sha256=Sha256("aa"), models=(MODEL.name,))
    styles = tuple(StyleChoice(name="ink", weight=weight, sha256=Sha256("")) for weight in weights)
    again = plan_again(replace(RECIPE, styles=styles), [MODEL], [ink])
    assert again.fields["styles"] == [{"name": "ink", "weight": 0.8}]
    assert again.typed.count("--style") == 1
    assert len([note for note in again.notes if '"ink"' in note]) == 1
