from pathlib import Path

import pytest

from mezzotint.main.verdicts import Verdicts


def test_verdicts_outlive_the_process(tmp_path: Path) -> None:
    first = Verdicts(tmp_path / "verdicts.json")
    first["a"] = "same"
    first["b"] = "wrong"
    assert dict(Verdicts(tmp_path / "verdicts.json")) == {"a": "same", "b": "wrong"}
    assert [path.name for path in tmp_path.iterdir()] == ["verdicts.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 7}', b"\xff"])
def test_a_damaged_file_is_made_anew(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "verdicts.json"
    path.write_bytes(content)
    verdicts = Verdicts(path)
    assert dict(verdicts) == {}
    verdicts["a"] = "same"
    assert dict(Verdicts(path)) == {"a": "same"}


def test_a_file_that_cannot_be_written_costs_nothing_but_memory(tmp_path: Path) -> None:
    verdicts = Verdicts(tmp_path / "no" / "such" / "verdicts.json")
    verdicts["a"] = "same"
    assert verdicts["a"] == "same"
