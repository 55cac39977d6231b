"""Schedules: a part of a sampler's name here, a choice for all models in the web UI's clients."""

import pytest

from mezzotint.domain.drawing.sampler import list_samplers
from mezzotint.gateway.automatic1111.samplers import choose_sampler, list_schedulers

USUAL = list_samplers("EulerDiscreteScheduler", "scaled_linear")
NOISY = list_samplers("DDIMScheduler", "squaredcos_cap_v2")


@pytest.mark.parametrize(
    ("name", "schedule", "chosen"),
    [
        ("", "", None),
        ("", "Automatic", None),
        ("Euler a", "", "Euler a"),
        ("DPM++ 2M", "Karras", "DPM++ 2M Karras"),
        ("dpm++ 2m", "karras", "DPM++ 2M Karras"),
        ("DPM++ 2M Karras", "", "DPM++ 2M Karras"),
        ("DPM++ 2M Karras", "Karras", "DPM++ 2M Karras"),
        ("DPM++ 2M Karras", "Automatic", "DPM++ 2M Karras"),
        ("k_dpmpp_2m_ka", "", "DPM++ 2M Karras"),
        ("k_euler", "karras", "Euler Karras"),
        ("Euler", "exponential", "Euler Exponential"),
        ("Euler a", "sgm_uniform", "Euler a SGM Uniform"),
        ("UniPC", "SGM Uniform", "UniPC SGM Uniform"),
        ("Euler", "beta", "Euler Beta"),
        ("DPM++ 2M Karras", "exponential", "DPM++ 2M Exponential"),
        ("DPM++ 2M SGM Uniform", "", "DPM++ 2M SGM Uniform"),
        ("DPM++ 9Z", "", "DPM++ 9Z"),
    ],
)
def test_what_the_model_has_is_chosen_without_a_comment(name: str, schedule: str, chosen: str | None) -> None:
    assert choose_sampler(name, schedule, USUAL) == (chosen, "")


@pytest.mark.parametrize(
    ("name", "schedule", "offered", "chosen"),
    [
        ("Euler", "polyexponential", USUAL, "Euler"),
        ("Euler a", "beta", USUAL, "Euler a"),
        ("DPM++ 2M", "beta", USUAL, "DPM++ 2M"),
        ("Euler a", "Karras", USUAL, "Euler a"),
        ("DDIM", "normal", USUAL, "DDIM"),
        ("", "karras", USUAL, None),
        ("DPM++ 2M", "Karras", NOISY, "DPM++ 2M"),
        ("DPM++ 2M Karras", "", NOISY, "DPM++ 2M"),
        ("", "x" * 5000, USUAL, None),
        ("", "karras", (), None),
    ],
)
def test_a_schedule_that_the_sampler_lacks_is_ignored_and_told(
    name: str, schedule: str, offered: tuple[str, ...], chosen: str | None
) -> None:
    sampler, comment = choose_sampler(name, schedule, offered)
    assert sampler == chosen
    assert "was ignored" in comment
    assert len(comment) < 200


def test_schedules_are_listed_where_a_sampler_has_them() -> None:
    assert [one.name for one in list_schedulers(USUAL)] == [
        "automatic",
        "karras",
        "exponential",
        "sgm_uniform",
        "beta",
    ]
    assert [one.label for one in list_schedulers(USUAL)][3] == "SGM Uniform"
    assert [one.name for one in list_schedulers(())] == ["automatic"]
    assert "DPM++ 2M Karras" in USUAL
