from pathlib import Path

import pytest

from mezzotint.main.json_cache import JsonCache


def test_what_was_found_outlives_the_process(tmp_path: Path) -> None:
    first = JsonCache(tmp_path / "verdicts.json")
    first["a"] = "same"
    first["b"] = "wrong"
    assert dict(JsonCache(tmp_path / "verdicts.json")) == {"a": "same", "b": "wrong"}
    assert [path.name for path in tmp_path.iterdir()] == ["verdicts.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 7}', b"\xff"])
def test_a_damaged_file_is_made_anew(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "verdicts.json"
    path.write_bytes(content)
    verdicts = JsonCache(path)
    assert dict(verdicts) == {}
    verdicts["a"] = "same"
    assert dict(JsonCache(path)) == {"a": "same"}


def test_a_file_that_cannot_be_written_costs_nothing_but_memory(tmp_path: Path) -> None:
    verdicts = JsonCache(tmp_path / "no" / "such" / "verdicts.json")
    verdicts["a"] = "same"
    assert verdicts["a"] == "same"
