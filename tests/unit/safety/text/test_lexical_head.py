"""The lexical head weighs words and runs of letters, of the whole text and of its parts."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from mezzotint.domain.errors import ModelCorrupt
from mezzotint.safety.text.heads_file import FastEntry
from mezzotint.safety.text.lexical_head import LexicalHead
from mezzotint.safety.text.ngrams import NUM_BUCKETS, Ngrams


def write_head(folder: Path, weights: np.ndarray[tuple[int, int], np.dtype[np.int8]]) -> FastEntry:
    path = folder / "lexical_head.npz"
    np.savez_compressed(
        path,
        weights=weights,
        scale=np.float32([0.5, 1.0]),
        bias=np.float32([0.0, -1.0]),
        outputs=np.array(["any", "violence"]),
        calibration=np.float32([[1, 0], [2, 0]]),
    )
    return FastEntry(file=path.name, sha256=sha256(path.read_bytes()).hexdigest())


def number(text: str) -> list[int]:
    return Ngrams(text).list_numbers(0, len(text)).tolist()


@pytest.mark.parametrize(
    "text", ["a red apple", "", "!?", "x", "ein Bär, zwei bären", "红苹果 在 桌上", "\ud800", "don't   stop -- now"]
)
def test_numbers_are_ascending_and_within_bounds(text: str) -> None:
    numbers = number(text)
    assert numbers == sorted(set(numbers))
    assert all(0 <= one < NUM_BUCKETS for one in numbers)


def test_punctuation_and_spaces_change_nothing() -> None:
    assert number("a red apple, on (a) table!") == number("a red apple on a table")
    assert number("a red apple") != number("a red pear")


def test_a_part_has_the_numbers_that_it_has_by_itself_and_those_of_the_space_around_it() -> None:
    text = "calm water. the wound bleeds! calm water again"
    start = text.index("the wound")
    end = start + len("the wound bleeds!")
    part = set(Ngrams(text).list_numbers(start, end).tolist())
    assert part == set(number("the wound bleeds"))
    assert part < set(number(text))


def test_the_logit_is_the_sum_of_the_weights_by_the_root_of_their_number(tmp_path: Path) -> None:
    weights = np.zeros((NUM_BUCKETS, 2), np.int8)
    numbers = number("a wound")
    weights[numbers] = [4, -3]
    head = LexicalHead(tmp_path, write_head(tmp_path, weights))
    root = np.sqrt(len(numbers))
    scores = head.score("a wound", [(0, 7)])
    assert scores == pytest.approx(np.array([[4 * 0.5 * root, 2 * (-3 * root - 1)]]), rel=1e-5)
    assert head.score("", [(0, 0)]) == pytest.approx(np.array([[0.0, -2.0]]))


def test_parts_that_are_scored_together_score_as_each_by_itself(tmp_path: Path) -> None:
    chance = np.random.default_rng(7)
    weights = chance.integers(-128, 128, (NUM_BUCKETS, 2), np.int8)
    head = LexicalHead(tmp_path, write_head(tmp_path, weights))
    text = "calm water, calm   water: the wound bleeds! calm water 红苹果"
    parts = [(0, len(text)), *np.sort(chance.integers(0, len(text) + 1, (40, 2)), axis=1).tolist()]
    together = head.score(text, parts)
    assert np.array_equal(together, np.concatenate([head.score(text, [part]) for part in parts]))
    ngrams = Ngrams(text)
    for (start, end), logits in zip(parts, together, strict=True):
        numbers = ngrams.list_numbers(start, end)
        mean = weights[numbers].sum(axis=0, dtype=np.int64) / np.sqrt(max(len(numbers), 1))
        expected = (mean * [0.5, 1.0] + [0.0, -1.0]) * [1, 2]
        assert logits == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    entry = write_head(tmp_path, np.zeros((10, 2), np.int8))
    with pytest.raises(ModelCorrupt, match="shape"):
        LexicalHead(tmp_path, entry)
