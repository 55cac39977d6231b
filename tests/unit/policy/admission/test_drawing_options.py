"""Eta, guidance rescale and clip skip: from the field, the prompt or the model, refused where they do nothing."""

from dataclasses import replace

import pytest

from mezzotint.domain.drawing.options import DrawingOptions
from mezzotint.domain.drawing.recipe import Recipe
from mezzotint.domain.ids import Sha256
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.domain.task import Source, Task
from mezzotint.domain.tier import Tier
from mezzotint.policy.admission.admit import Admit, Terms, admit
from mezzotint.policy.admission.draw_again import plan_again
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.request import JobRequest
from tests.making import make_model

CAN = DrawingOptions(eta_samplers=(None, "DDIM"), rescale_tasks=(Task.GENERATE,), max_clip_skip=6, image_guidance=1.5)
EDIT = {"task": Task.EDIT, "source": "5" * 64}
MODEL = replace(make_model(), samplers=("DDIM", "Euler a"), options=CAN, tasks=tuple(Task))


def ask(prompt: str = "a cat", options: DrawingOptions = CAN, **fields: object) -> Admit | Refusal:
    request = JobRequest(prompt=prompt, **fields)  # type: ignore[arg-type]
    source = None if request.source is None else Source(content=Sha256("5" * 64), width=64, height=64, num_bytes=9)
    model = replace(MODEL, options=options)
    terms = Terms(tier=Tier.FREE, models=[model], upscaler="up", num_open_jobs=0, fresh_seed=7, source=source)
    return admit(parse_request(request), terms)


def chosen(outcome: Admit | Refusal) -> tuple[float, float, int | None, str | None]:
    assert isinstance(outcome, Admit), outcome
    one = outcome.plans[0].parameters
    return one.eta, one.guidance_rescale, one.clip_skip, one.sampler


def test_they_are_taken_from_fields_or_from_the_prompt() -> None:
    fields = {"eta": 0.5, "guidance_rescale": 0.7, "clip_skip": 2, "sampler": "ddim"}
    assert chosen(ask(**fields)) == (0.5, 0.7, 2, "DDIM")
    assert chosen(ask("a cat --eta .5 --rescale .7 --clip-skip 2 --sampler ddim")) == (0.5, 0.7, 2, "DDIM")
    assert chosen(ask()) == (0.0, 0.0, None, None)
    for prompt, field in (("--eta 1", "eta"), ("--rescale 1", "guidance_rescale"), ("--clip-skip 2", "clip_skip")):
        refusal = ask(f"a cat {prompt}", **{field: 1})
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.param) == (RefusalCode.PARAMETER_REPEATED, field)


def test_a_models_own_values_hold_as_far_as_sampler_and_task_heed_them() -> None:
    own = replace(CAN, eta=0.3, guidance_rescale=0.6, clip_skip=3)
    assert chosen(ask(options=own)) == (0.3, 0.6, 3, None)
    assert chosen(ask(options=own, eta=0.0, guidance_rescale=0.0, clip_skip=1)) == (0.0, 0.0, 1, None)
    assert chosen(ask(options=own, sampler="Euler a")) == (0.0, 0.6, 3, "Euler a")
    assert chosen(ask(options=own, guidance_scale=1.0)) == (0.3, 0.0, 3, None)
    assert chosen(ask(options=own, task=Task.VARIATION, source="5" * 64)) == (0.3, 0.0, 3, None)
    assert chosen(ask("", options=own, task=Task.UPSCALE, source="5" * 64)) == (0.0, 0.0, None, None)


@pytest.mark.parametrize(
    ("fields", "code", "told"),
    [
        ({"eta": 1.5}, "parameter_invalid", "eta 1.5 is out of range"),
        ({"eta": 0.5, "sampler": "Euler a"}, "parameter_unsupported", "Euler a passes over eta"),
        ({"guidance_rescale": -0.1}, "parameter_invalid", "rescale -0.1 is out of range"),
        ({"guidance_rescale": 0.5, "guidance_scale": 1.0}, "parameter_unsupported", "no guidance to rescale"),
        ({"image_guidance": 2.0}, "parameter_unsupported", '"image_guidance" does not belong to the task generate'),
        ({**EDIT, "image_guidance": 0.9}, "parameter_invalid", "guidance 0.9 is out of range"),
        ({**EDIT, "image_guidance": 10.5}, "parameter_invalid", "guidance 10.5 is out of range"),
        ({**EDIT, "image_guidance": 2.0, "guidance_scale": 1.0}, "parameter_unsupported", "no weight of its own"),
        ({**EDIT, "strength": 0.5}, "parameter_unsupported", '"strength" does not belong to the task edit'),
        ({"task": Task.EDIT}, "parameter_missing", 'task edit needs the field "source"'),
        ({"guidance_rescale": 0.5, "task": Task.VARIATION, "source": "5" * 64}, "parameter_unsupported", "variation"),
        ({"clip_skip": 7}, "parameter_invalid", "clip skip 7 is out of range"),
        ({"clip_skip": 0}, "parameter_invalid", "clip skip 0 is out of range"),
        ({"eta": 0.5, "task": Task.UPSCALE, "source": "5" * 64}, "parameter_unsupported", "task upscale"),
    ],
)
def test_what_the_drawing_would_pass_over_is_refused_by_name(fields: dict[str, object], code: str, told: str) -> None:
    refusal = ask(**fields)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert told in refusal.message
    assert refusal.hint


def test_a_model_that_heeds_none_refuses_each() -> None:
    for field in ("eta", "guidance_rescale", "clip_skip"):
        refusal = ask(options=DrawingOptions(), **{field: 1})
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.param) == (RefusalCode.PARAMETER_UNSUPPORTED, field)


def test_a_recipe_keeps_what_the_model_heeds_and_tells_the_rest() -> None:
    recipe = Recipe(prompt="a cat", eta=0.5, guidance_rescale=0.7, clip_skip=2, sampler="DDIM", seed=7, num_steps=20)
    again = plan_again(recipe, [MODEL])
    assert again.notes == ()
    assert (again.fields["eta"], again.fields["guidance_rescale"], again.fields["clip_skip"]) == (0.5, 0.7, 2)
    assert chosen(ask(again.typed)) == (0.5, 0.7, 2, "DDIM")
    told = plan_again(recipe, [replace(MODEL, options=DrawingOptions())])
    assert {"eta", "guidance_rescale", "clip_skip"}.isdisjoint(told.fields)
    assert len(told.notes) == 3
    assert plan_again(replace(recipe, clip_skip=1), [MODEL]).fields["clip_skip"] == 1
    usual = Recipe(prompt="a cat", clip_skip=1, seed=7)  # which the web UI writes for every model
    assert plan_again(usual, [replace(MODEL, options=DrawingOptions())]).notes == ()


def test_an_edit_stays_as_near_to_its_source_as_asked_or_as_is_usual() -> None:
    outcomes = [ask(**EDIT), ask(**EDIT, image_guidance=3.0), ask(**EDIT, guidance_scale=1.0), ask()]
    parameters = [one.plans[0].parameters for one in outcomes if isinstance(one, Admit)]
    assert [one.image_guidance for one in parameters] == [1.5, 3.0, None, None]
    assert [one.strength for one in parameters] == [None] * 4
    refusal = ask(**EDIT, options=replace(CAN, image_guidance=None), image_guidance=3.0)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.param) == (RefusalCode.PARAMETER_UNSUPPORTED, "image_guidance")


def test_a_model_that_cannot_edit_says_which_can() -> None:
    still = replace(MODEL, name="still", tasks=(Task.GENERATE,))
    request = parse_request(JobRequest(prompt="make it red", model="still", task=Task.EDIT, source="5" * 64))
    terms = Terms(tier=Tier.FREE, models=[still, replace(MODEL, name="editor")], num_open_jobs=0, fresh_seed=7)
    refusal = admit(request, terms)
    assert isinstance(refusal, Refusal)
    assert refusal.message == "still cannot edit."
    assert "It can: generate. Models here that do: editor." in refusal.hint


def test_an_edit_is_planned_again_with_its_source_and_told_where_no_model_edits() -> None:
    recipe = Recipe(prompt="make it red", task=Task.EDIT, source="5" * 64, image_guidance=2.0, model=MODEL.name)
    again = plan_again(recipe, [MODEL])
    kept = ("task", "source", "image_guidance")
    assert tuple(again.fields[name] for name in kept) == ("edit", "5" * 64, 2.0)
    assert not again.notes
    other = plan_again(recipe, [replace(MODEL, tasks=(Task.GENERATE,), options=DrawingOptions())])
    assert other.notes == (f"{MODEL.name} cannot edit: choose a model that can.",)
    assert "image_guidance" not in other.fields
