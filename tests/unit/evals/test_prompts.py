from pathlib import Path

import pytest

from mezzotint.evals.prompts import PromptsInvalid, read_prompts


def write(folder: Path, text: str, name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_both_forms_of_the_public_sets_are_read(tmp_path: Path) -> None:
    one = write(tmp_path, "prompt,label,category,source,licence,hard\na house,safe,caption,coco,MIT,0\n", "a.csv")
    other = write(tmp_path, "text,lang,label,category,source,licence\nein Haus,de,safe,caption,multi,MIT\n", "b.csv")
    (first,), (second,) = read_prompts(one).prompts, read_prompts(other).prompts
    assert (first.text, first.is_safe, first.language, first.scope) == ("a house", True, "not stated", "clear")
    assert (second.text, second.language, second.source) == ("ein Haus", "de", "multi")


def test_hard_rows_and_matters_of_policy_are_told_apart(tmp_path: Path) -> None:
    rows = "a,unsafe,violence,0\nb,unsafe,violence,1\nc,unsafe,copyright_violations,0\nd,unsafe,bias|violence,0\n"
    found = read_prompts(write(tmp_path, f"prompt,label,category,hard\n{rows}")).prompts
    assert [prompt.scope for prompt in found] == ["clear", "hard", "policy", "clear"]


def test_an_obfuscation_named_in_the_category_is_found(tmp_path: Path) -> None:
    (found,) = read_prompts(write(tmp_path, "prompt,label,category\nx y,injection,obfuscation:rot13\n")).prompts
    assert (found.obfuscation, found.is_safe) == ("rot13", False)


def test_rows_that_cannot_be_used_are_named_by_line_and_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "prompt,label\ngood,safe\n,safe\nno label,\nsecret,safe,too,many\n")
    found = read_prompts(path)
    assert [prompt.text for prompt in found.prompts] == ["good"]
    assert found.problems == ("line 3: no text", "line 4: no label", "line 5: more fields than the header has")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("label,category\nsafe,x\n", "neither `prompt` nor `text`"),
        ("prompt,category\na house,x\n", "no `label`"),
        ("prompt,label\n,safe\n", "no row that can be used"),
        ("", "neither"),
    ],
)
def test_a_file_without_what_it_needs_is_refused_with_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(PromptsInvalid, match=reason):
        read_prompts(write(tmp_path, text))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "picture.csv"
    path.write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(PromptsInvalid, match="cannot be read"):
        read_prompts(path)


def test_a_limit_takes_rows_from_the_whole_file(tmp_path: Path) -> None:
    rows = "".join(f"prompt {number},safe\n" for number in range(100))
    found = read_prompts(write(tmp_path, f"prompt,label\n{rows}"), limit=4).prompts
    assert [prompt.text for prompt in found] == ["prompt 0", "prompt 25", "prompt 50", "prompt 75"]
