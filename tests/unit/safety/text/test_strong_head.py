"""The strong head is loaded from an ONNX file and its tokenizer, whose hashes are checked."""

from hashlib import sha256
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from mezzotint.domain.errors import ModelCorrupt
from mezzotint.safety.text.heads_file import StrongEntry
from mezzotint.safety.text.strong_head import StrongHead
from tests.unit.safety.text.onnx_file import write_strong_head


@pytest.fixture
def entry(tmp_path: Path) -> StrongEntry:
    write_strong_head(tmp_path / "head.onnx", [1.0, -0.5])
    words = {"[UNK]": 0, "calm": 2, "cruel": 8}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    hashes = {name: sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("head.onnx", "tokenizer.json")}
    return StrongEntry(
        file="head.onnx",
        sha256=hashes["head.onnx"],
        tokenizer="tokenizer.json",
        tokenizer_sha256=hashes["tokenizer.json"],
        outputs=("any", "violence"),
        calibration=((2.0, -1.0), (1.0, 0.0)),
        max_tokens=8,
    )


def test_its_logits_are_calibrated_for_each_output(tmp_path: Path, entry: StrongEntry) -> None:
    head = StrongHead(tmp_path, entry)
    assert head.score("cruel calm").tolist() == [2 * 5 - 1, -2.5]
    assert head.outputs == ("any", "violence")
    assert head.languages == {"en"}


def test_a_long_text_is_cut_to_its_tokens(tmp_path: Path, entry: StrongEntry) -> None:
    head = StrongHead(tmp_path, entry)
    assert head.score("calm " * 8 + "cruel " * 100).tolist() == head.score("calm").tolist()


def test_another_file_than_the_one_that_was_named_is_refused(tmp_path: Path, entry: StrongEntry) -> None:
    write_strong_head(tmp_path / "head.onnx", [1.0, 0.5])
    with pytest.raises(ModelCorrupt, match="damaged"):
        StrongHead(tmp_path, entry)
