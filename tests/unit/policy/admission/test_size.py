"""Sizes on a model's grid."""

import pytest

from mezzotint.domain.model import ModelInfo
from mezzotint.domain.prompt import AspectRatio
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.policy.admission.size import can_shape, check_size, size_for


def a_model(*, native: int = 64, grid: int = 16, low: int = 32, high: int = 128) -> ModelInfo:
    return ModelInfo(
        name="tiny",
        about="",
        native_width=native,
        native_height=native,
        grid_px=grid,
        min_px=low,
        max_px=high,
        default_steps=20,
        default_guidance=3.5,
    )


LARGE = a_model(native=1024, grid=8, low=512, high=2048)


def test_no_ratio_gives_the_native_size() -> None:
    assert size_for(a_model(), None) == (64, 64)


@pytest.mark.parametrize(
    ("ratio", "size"),
    [
        ((1, 1), (1024, 1024)),
        ((3, 2), (1248, 832)),
        ((2, 3), (832, 1248)),
        ((16, 9), (1368, 768)),
        ((32, 18), (1368, 768)),
    ],
)
def test_a_ratio_keeps_the_native_area_and_the_grid(ratio: tuple[int, int], size: tuple[int, int]) -> None:
    assert size_for(LARGE, AspectRatio(width=ratio[0], height=ratio[1])) == size


def test_a_coarse_grid_keeps_the_shape_before_the_area() -> None:
    assert size_for(a_model(), AspectRatio(width=4, height=3)) == (64, 48)


def test_a_ratio_is_scaled_down_when_its_longer_side_would_not_fit() -> None:
    assert size_for(a_model(native=1024, grid=8, low=256, high=1024), AspectRatio(width=2, height=1)) == (1024, 512)


def test_a_ratio_is_scaled_up_when_its_shorter_side_would_not_fit() -> None:
    assert size_for(a_model(native=512, grid=8, low=512, high=2048), AspectRatio(width=1, height=2)) == (512, 1024)


def test_a_ratio_beyond_the_bounds_is_clamped() -> None:
    narrow = AspectRatio(width=999, height=1)
    assert not can_shape(LARGE, narrow)
    assert size_for(LARGE, narrow) == (2048, 512)


def test_the_widest_ratio_of_the_bounds_can_be_shaped() -> None:
    assert can_shape(LARGE, AspectRatio(width=1, height=4))
    assert not can_shape(LARGE, AspectRatio(width=10, height=41))


@pytest.mark.parametrize("size", [(64, 64), (32, 128), (48, 112)])
def test_a_size_on_the_grid_and_in_bounds_passes(size: tuple[int, int]) -> None:
    assert check_size(a_model(), *size) is None


@pytest.mark.parametrize(
    ("size", "param", "nearest"),
    [
        ((70, 64), "width", ["64 x 64", "80 x 64"]),
        ((64, 70), "height", ["64 x 64", "64 x 80"]),
        ((130, 500), "width", ["128 x 128"]),
        ((16, 64), "width", ["32 x 64"]),
        ((0, 64), "width", ["32 x 64"]),
        ((64, -64), "height", ["64 x 32"]),
        ((10**30, 64), "width", ["128 x 64"]),
    ],
)
def test_a_refused_size_is_answered_with_the_grid_and_the_nearest(
    size: tuple[int, int], param: str, nearest: list[str]
) -> None:
    refusal = check_size(a_model(), *size)
    assert isinstance(refusal, Refusal)
    assert refusal.code == RefusalCode.SIZE_INVALID
    assert refusal.param == param
    assert "multiples of 16 px from 32 to 128 px" in refusal.message
    assert refusal.hint == f"Nearest that work: {', '.join(nearest)}."


def test_bounds_off_the_grid_are_drawn_in_to_it() -> None:
    model = a_model(low=20, high=100)
    assert check_size(model, 32, 96) is None
    refusal = check_size(model, 16, 112)
    assert isinstance(refusal, Refusal)
    assert refusal.hint == "Nearest that work: 32 x 96."
