import json
import time
from dataclasses import replace

import pytest

from mezzotint.domain.drawing.recipe import Recipe
from mezzotint.domain.drawing.sampler import list_samplers
from mezzotint.domain.ids import Sha256
from mezzotint.domain.style import StyleChoice
from mezzotint.domain.task import Task
from mezzotint.media.metadata.infotext import format_infotext, parse_infotext, to_recipe
from mezzotint.media.metadata.recipe_json import format_recipe, parse_recipe
from tests.making import make_parameters

WRITTEN_ELSEWHERE = """masterpiece, a cat, <weird: 1>
in a hat
Negative prompt: blurry,
ugly
Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 965400086, Size: 512x768, Model: "a, b: c", \
TI hashes: "x: 1, y: 2", Version: v1.10.1"""


def test_a_text_of_the_web_ui_is_read() -> None:
    found = parse_infotext(WRITTEN_ELSEWHERE)
    assert found["Prompt"] == "masterpiece, a cat, <weird: 1>\nin a hat"
    assert found["Negative prompt"] == "blurry,\nugly"
    assert (found["Size-1"], found["Size-2"]) == ("512", "768")
    assert found["Model"] == "a, b: c"
    assert found["TI hashes"] == "x: 1, y: 2"
    recipe = to_recipe(found)
    assert recipe is not None
    assert (recipe.sampler, recipe.num_steps, recipe.seed, recipe.height) == ("DPM++ 2M Karras", 20, 965400086, 768)
    assert recipe.software == "v1.10.1"
    assert (found["Schedule type"], found["Version"]) == ("Karras", "v1.10.1")


@pytest.mark.parametrize("prompt", ["a red apple", "a: b, c: d, e: f", 'say "x"', "two\nlines", "Negative: x"])
@pytest.mark.parametrize("negative", ["", "text, blur"])
def test_what_is_written_is_read_back(prompt: str, negative: str) -> None:
    parameters = replace(make_parameters(), prompt=prompt, negative_prompt=negative, sampler="Euler a", strength=0.5)
    found = parse_infotext(format_infotext(Recipe.of(parameters, "a/b, c", "Mezzotint 1")))
    assert (found["Prompt"], found["Negative prompt"]) == (prompt, negative)
    assert (found["Sampler"], found["Seed"], found["Model"]) == ("Euler a", "7", "a/b, c")
    assert (found["Size-1"], found["Denoising strength"]) == ("64", "0.5")


@pytest.mark.parametrize("sampler", list_samplers("EulerDiscreteScheduler", "scaled_linear"))
def test_a_sampler_and_its_schedule_are_written_apart_and_read_together(sampler: str) -> None:
    parameters = replace(make_parameters(), sampler=sampler)
    found = parse_infotext(format_infotext(Recipe.of(parameters, "m", "Mezzotint 1")))
    assert found.get("Schedule type") in {None, "Karras", "Exponential", "SGM Uniform", "Beta"}
    assert f"{found['Sampler']} {found.get('Schedule type', '')}".strip() == sampler
    recipe = to_recipe(found)
    assert recipe is not None
    assert recipe.sampler == sampler


@pytest.mark.parametrize("text", ["", "  ", "only a prompt", "Steps: 1", "a" * 65_000, 'a: "' * 16_000, "a-" * 32_000])
def test_any_other_text_is_a_prompt_and_costs_nothing(text: str) -> None:
    began = time.process_time()
    assert parse_infotext(text).get("Prompt", "") == text.strip()
    assert time.process_time() - began < 5  # it would be hours by a pattern that tries everything


def test_styles_are_written_as_the_web_ui_does_and_read_back() -> None:
    styles = tuple(
        StyleChoice(name=name, weight=weight, sha256=Sha256("ab" * 32))
        for name, weight in (("ink", 0.8), ("oil", -1.0))
    )
    recipe = Recipe.of(replace(make_parameters(), styles=styles), "m", "Mezzotint 1")
    text = format_infotext(recipe)
    assert text.startswith("a red apple <lora:ink:0.8> <lora:oil:-1>\n")
    assert 'Lora hashes: "ink: abababababab, oil: abababababab"' in text
    found = to_recipe(parse_infotext(text))
    assert found is not None
    assert (found.prompt, [(one.name, one.weight) for one in found.styles]) == (
        "a red apple",
        [("ink", 0.8), ("oil", -1.0)],
    )
    kept = parse_recipe(format_recipe(recipe))
    assert kept is not None
    assert kept.styles == styles


@pytest.mark.parametrize(
    "styles", ["ink", [1], [{"name": "ink"}], [{"name": 1, "weight": 1, "sha256": ""}], [{"name": "i", "weight": 1e99}]]
)
def test_styles_of_another_kind_are_left_out(styles: object) -> None:
    found = parse_recipe(json.dumps({"schema": "mezzotint.recipe/1", "prompt": "a cat", "styles": styles}))
    assert found is not None
    assert found.styles == ()


def test_eta_rescale_and_clip_skip_are_written_and_read_in_both_forms() -> None:
    recipe = Recipe.of(replace(make_parameters(), eta=0.5, guidance_rescale=0.7, clip_skip=2), "m", "Mezzotint 1")
    text = format_infotext(recipe)
    assert "Clip skip: 2, Eta DDIM: 0.5, CFG Rescale: 0.7" in text
    for read in (to_recipe(parse_infotext(text)), parse_recipe(format_recipe(recipe))):
        assert read is not None
        assert (read.eta, read.guidance_rescale, read.clip_skip) == (0.5, 0.7, 2)
    usual = Recipe.of(make_parameters(), "m", "Mezzotint 1")
    assert "Eta" not in format_infotext(usual)
    assert "eta" not in format_recipe(usual)


def test_an_edit_is_told_in_the_web_uis_words_and_read_back() -> None:
    recipe = Recipe.of(replace(make_parameters(), task=Task.EDIT, image_guidance=1.5), "m", "Mezzotint 1")
    text = format_infotext(recipe)
    assert "Image CFG scale: 1.5, Task: edit" in text
    read = to_recipe(parse_infotext(text))
    by_web_ui = to_recipe(parse_infotext("make it red\nSteps: 20, Seed: 7, CFG scale: 7.5, Image CFG scale: 1.5"))
    for found in (read, by_web_ui):
        assert found is not None
        assert (found.task, found.image_guidance) == (Task.EDIT, 1.5)
