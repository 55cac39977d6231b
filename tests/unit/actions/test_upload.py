"""How many pictures from outside are decoded at once."""

import pytest

from mezzotint.actions.upload import count_decoders


@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (2, 1), (3, 2), (64, 2)])
def test_decoding_leaves_a_core_to_requests(cores: int, expected: int) -> None:
    assert count_decoders(cores) == expected


def test_this_machine_decodes_at_least_one_picture_at_once() -> None:
    assert count_decoders() in {1, 2}
