"""`mezzotint inspect` prints how a picture was drawn."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mezzotint.domain.drawing.recipe import Recipe
from mezzotint.domain.task import Task
from mezzotint.main.commands import app
from mezzotint.main.options import print_table
from mezzotint.media.metadata import embed_recipe
from mezzotint.media.metadata.png_text import add_text
from tests.making import make_parameters
from tests.making_pictures import encode, noise

RECIPE = Recipe.of(make_parameters(), "starter", "Mezzotint 0.1.0")


def inspect(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["inspect", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_a_recipe_is_printed_with_the_command_that_draws_it_again(tmp_path: Path) -> None:
    file = tmp_path / "apple.webp"
    file.write_bytes(embed_recipe(encode(noise(64, 48), "WEBP"), RECIPE))
    code, out, _ = inspect(str(file))
    assert code == 0
    assert "WEBP, written by mezzotint  Mezzotint 0.1.0" in out
    assert "mezzotint imagine 'a red apple --seed 7 --steps 30 --version starter' --out again.png" in out
    found = json.loads(inspect(str(file), "--json")[1])
    assert (found["schema"], found["prompt"], found["seed"]) == ("mezzotint.recipe/1", "a red apple", 7)


def test_an_edit_tells_its_guidance_and_that_it_began_with_a_picture(tmp_path: Path) -> None:
    edit = replace(RECIPE, task=Task.EDIT, source="5" * 64, image_guidance=2.0)
    file = tmp_path / "pear.png"
    file.write_bytes(embed_recipe(encode(noise(64, 48), "PNG"), edit))
    out = inspect(str(file))[1]
    assert "  task     edit\n" in out
    assert "  img cfg  2.0\n" in out
    assert "imagine" not in out
    assert "with the picture as source" in out


def test_texts_of_a_strangers_file_do_nothing_to_the_terminal(tmp_path: Path) -> None:
    odd = replace(RECIPE, prompt="a \x1b[2Jcat", model="m\x9b1m", software="S\x1b]0;title\x07")
    file, other = tmp_path / "odd.png", tmp_path / "other.png"
    file.write_bytes(embed_recipe(encode(noise(64, 48), "PNG"), odd))
    other.write_bytes(add_text(encode(noise(64, 48), "PNG"), "work\x1b[1mflow", "x"))
    for told in (*inspect(str(file))[1:], inspect(str(other))[2]):
        assert not [letter for letter in told if not letter.isprintable() and letter != "\n"]
    assert "work [1mflow" in inspect(str(other))[2]


def test_a_table_keeps_its_lines_whatever_strangers_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("why",), [("a\nb\x1b[1m",)])
    assert capsys.readouterr().out == "why\na b [1m\n"


def test_files_that_tell_nothing_or_are_no_picture_are_named(tmp_path: Path) -> None:
    plain, text = tmp_path / "plain.png", tmp_path / "text.txt"
    plain.write_bytes(encode(noise(64, 48), "PNG"))
    text.write_text("words")
    told = {
        str(plain): (1, "recipe_missing"),
        str(text): (2, "PNG, JPEG, WebP or AVIF"),
        "gone.png": (2, "cannot be read"),
    }
    for file, (code, words) in told.items():
        found = inspect(file)
        assert found[0] == code
        assert words in found[2]
