"""Recipes in files: written, read back, read by others, and read from files that nobody can trust."""

import json
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from sd_parsers import ParserManager

from mezzotint.domain.drawing.recipe import Recipe
from mezzotint.domain.task import Task
from mezzotint.media.metadata import Origin, convert_to_avif, embed_recipe, read_metadata
from mezzotint.media.metadata.exif import MARK, build_exif, read_comment
from mezzotint.media.metadata.infotext import parse_infotext
from mezzotint.media.metadata.recipe_json import MAX_CHARACTERS, SCHEMA, format_recipe, parse_recipe
from mezzotint.media.metadata.xmp import build_packet, read_packet
from mezzotint.media.uploads import Undecodable
from tests.making_pictures import encode, noise, png_chunk, with_chunks

FORMS = ("PNG", "WEBP", "JPEG")
ALL_FORMS = (*FORMS, "AVIF")
RECIPE = Recipe(
    prompt='a (red:1.2) apple, <b> & "grün" 🍎',
    negative_prompt="text, blur",
    model="owner/model",
    seed=4_000_000_000,
    num_steps=30,
    guidance_scale=3.5,
    width=64,
    height=48,
    sampler="DPM++ 2M Karras",
    strength=0.6,
    task=Task.VARIATION,
    source="ab" * 32,
    software="Mezzotint 0.1.0",
)
PNG = encode(noise(64, 48), "PNG")
WEB_UI = """a cat
Negative prompt: blurry
Steps: 20, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7, Seed: 965400086, Size: 512x768, Version: v1.10.1"""


def tell(form: str) -> bytes:
    """A file with the recipe inside."""
    return convert_to_avif(PNG, RECIPE) if form == "AVIF" else embed_recipe(encode(noise(64, 48), form), RECIPE)


def test_an_avif_is_made_with_the_recipe_of_the_same_pixels() -> None:
    told, plain = convert_to_avif(PNG, RECIPE), convert_to_avif(PNG, None)
    found = read_metadata(told)
    assert (found.kind, found.origin, found.recipe) == ("AVIF", Origin.MEZZOTINT, RECIPE)
    assert read_metadata(plain).recipe is None
    assert RECIPE.prompt not in plain.decode("utf-8", "replace")
    with Image.open(BytesIO(told)) as after, Image.open(BytesIO(plain)) as before:
        assert after.format == "AVIF"
        assert after.tobytes() == before.tobytes()


@pytest.mark.parametrize("change", ["iinf", "iloc", "meta", "infe", "idat"])
def test_an_avif_whose_boxes_claim_too_much_is_refused_or_read_without(change: str) -> None:
    told = tell("AVIF")
    at = told.find(change.encode())
    hostile = [told[: at - 4] + size + told[at:] for size in (b"\xff" * 4, bytes(4), b"\0\0\0\1", b"\0\0\0\2")]
    hostile += [told[: at + 8] + b"\xff" * 8 + told[at + 16 :]]
    for file in hostile:
        with suppress(Undecodable):
            read_metadata(file)


@pytest.mark.parametrize("form", FORMS)
def test_a_recipe_is_read_back_and_the_pixels_stay(form: str) -> None:
    file = encode(noise(64, 48), form)
    told = embed_recipe(file, RECIPE)
    found = read_metadata(told)
    assert (found.kind, found.origin, found.recipe) == (form, Origin.MEZZOTINT, RECIPE)
    with Image.open(BytesIO(told)) as after, Image.open(BytesIO(file)) as before:
        assert after.convert("RGB").tobytes() == before.convert("RGB").tobytes()


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_a_recipe_takes_the_place_of_the_one_before(form: str) -> None:
    plain = encode(noise(64, 48), form)
    once = embed_recipe(plain, Recipe(prompt="other", seed=1, num_steps=2))
    assert embed_recipe(once, RECIPE) == embed_recipe(plain, RECIPE)


@pytest.mark.parametrize("form", FORMS)
def test_a_public_reader_of_the_web_uis_format_reads_it(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{form.lower()}"
    path.write_bytes(tell(form))
    found = ParserManager().parse(path)
    assert found is not None
    (sampler,) = found.samplers
    assert [one.value for one in (*found.prompts, *found.negative_prompts)] == [RECIPE.prompt, RECIPE.negative_prompt]
    assert sampler.name == "DPM++ 2M"
    assert sampler.parameters == {"scheduler": "Karras", "cfg_scale": "3.5", "seed": "4000000000", "steps": "30"}
    assert sampler.model is not None
    assert (sampler.model.name, found.metadata["Size"]) == ("owner/model", "64x48")


@pytest.mark.parametrize("form", ALL_FORMS)
def test_a_file_of_the_web_ui_is_read(form: str) -> None:
    buffer = BytesIO()
    picture = noise(64, 48)
    if form == "PNG":
        buffer.write(with_chunks(encode(picture, form), png_chunk(b"tEXt", b"parameters\0" + WEB_UI.encode())))
    else:
        picture.save(buffer, form, exif=MARK + build_exif(WEB_UI))
    found = read_metadata(buffer.getvalue())
    assert (found.origin, found.pairs["Schedule type"]) == (Origin.AUTOMATIC1111, "Automatic")
    assert found.recipe is not None
    assert (found.recipe.prompt, found.recipe.negative_prompt) == ("a cat", "blurry")
    assert (found.recipe.sampler, found.recipe.width, found.recipe.seed) == ("Euler a", 512, 965400086)


@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + "a cat".encode("utf-16-be"),
        b"UNICODE\0" + "a cat".encode("utf-16-le"),
        b"UNICODE\0" + "a cat".encode("utf-16"),
        b"ASCII\0\0\0a cat",
        bytes(8) + b"a cat\0",
    ],
)
def test_comments_of_all_codes_are_read(comment: bytes) -> None:
    tags = Image.Exif()
    tags.get_ifd(0x8769)[0x9286] = comment
    assert read_comment(tags.tobytes()) == "a cat"


def test_a_packet_that_another_program_wrote_anew_is_read() -> None:
    packet = build_packet('{"a": "<b>"}').decode()
    attribute = packet.replace("<mezzotint:recipe>", ' mezzotint:recipe="').replace("</mezzotint:recipe>", '"')
    assert read_packet(attribute.replace('{"a": "&lt;b&gt;"}', "{&quot;a&quot;: &quot;&lt;b&gt;&quot;}").encode()) == (
        '{"a": "<b>"}'
    )


@pytest.mark.parametrize("form", ALL_FORMS)
def test_files_without_a_recipe_and_texts_of_others_say_so(form: str) -> None:
    assert read_metadata(encode(noise(64, 48), form)).recipe is None
    png = with_chunks(encode(noise(64, 48), "PNG"), png_chunk(b"tEXt", b"workflow\0{}"))
    assert (read_metadata(png).recipe, read_metadata(png).others) == (None, ("workflow",))


@pytest.mark.parametrize("form", ALL_FORMS)
def test_damaged_files_are_read_as_far_as_they_go_or_refused(form: str) -> None:
    whole = tell(form)
    for at in range(0, len(whole), 97):
        for file in (whole[:at], whole[:at] + b"\xff\xff\xff\xff" + whole[at + 4 :]):
            try:
                read_metadata(file)
            except Undecodable:
                continue


@pytest.mark.parametrize("file", [b"", b"GIF89a", b"%PDF-1.7", b"RIFF\0\0\0\0WEBX", b"\0" * 1000])
def test_other_files_are_refused(file: bytes) -> None:
    with pytest.raises(Undecodable, match="PNG, JPEG, WebP or AVIF"):
        read_metadata(file)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[" * 100_000,
        "[]",
        '{"schema": "other/1", "prompt": "x"}',
        f'{{"schema": "{SCHEMA}"}}',
        f'{{"schema": "{SCHEMA}", "prompt": 7}}',
        f'{{"schema": "{SCHEMA}", "prompt": "{"x" * MAX_CHARACTERS}"}}',
        f'{{"schema": "{SCHEMA}", "prompt": "x", "seed": {"9" * 5000}}}',
    ],
)
def test_what_is_no_recipe_is_none(text: str) -> None:
    assert parse_recipe(text) is None


def test_values_of_another_kind_and_unknown_fields_are_left_out() -> None:
    hostile = {"schema": "mezzotint.recipe/9", "prompt": "x", "seed": True, "width": 1e300, "guidance_scale": "7"}
    hostile |= {"height": -5, "task": "destroy", "later": [1], "num_steps": None, "sampler": ["Euler"]}
    assert parse_recipe(json.dumps(hostile)) == Recipe(prompt="x", height=-5)
    assert parse_recipe('{"schema": "mezzotint.recipe/1", "prompt": "x", "strength": NaN}') == Recipe(prompt="x")
    assert parse_recipe(format_recipe(RECIPE)) == RECIPE


@pytest.mark.parametrize("file", [b"", b"\x89PNG", b"\xff\xd8", b"text"])
def test_a_stored_file_that_is_no_picture_any_more_comes_back_as_it_is(file: bytes) -> None:
    assert embed_recipe(file, RECIPE) == file


def test_half_a_character_is_left_out() -> None:
    half = "\ud800"
    styles = [{"name": half, "weight": 1, "sha256": ""}]
    record = {"schema": SCHEMA, "prompt": "a cat", "negative_prompt": half, "styles": styles}
    assert parse_recipe(json.dumps(record)) == Recipe(prompt="a cat")
    assert parse_recipe(json.dumps(record | {"prompt": half})) is None
    assert parse_infotext('a cat\nSteps: 4, Seed: 1, Model: "\\ud800"')["Model"] == '"\\ud800"'
