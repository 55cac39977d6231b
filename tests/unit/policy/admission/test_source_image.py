"""What a task needs of a request, and where its source comes to lie."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.domain.ids import Sha256
from mezzotint.domain.job import Parameters
from mezzotint.domain.model import MAX_SIDE_PX
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.domain.task import Source, Task
from mezzotint.domain.tier import Tier
from mezzotint.policy.admission.admit import Admit, Terms, admit
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.request import JobRequest
from mezzotint.policy.admission.size import check_size
from tests.making import make_model

MODEL = replace(make_model(), tasks=tuple(Task))
SOURCE = Source(content=Sha256("a" * 64), width=64, height=64)
MASK = Source(content=Sha256("b" * 64), width=64, height=64)
TERMS = Terms(tier=Tier.PRO, models=[MODEL], num_open_jobs=0, fresh_seed=11)


def decide(request: JobRequest, source: Source | None = SOURCE, mask: Source | None = MASK) -> Parameters | Refusal:
    terms = replace(TERMS, source=source if request.source else None, mask=mask if request.mask else None)
    decision = admit(parse_request(request), terms)
    return decision.plans[0].parameters if isinstance(decision, Admit) else decision


def admitted(request: JobRequest, source: Source = SOURCE) -> Parameters:
    parameters = decide(request, source)
    assert isinstance(parameters, Parameters), parameters
    return parameters


def refused(request: JobRequest, source: Source | None = SOURCE, mask: Source | None = MASK) -> tuple[str, str | None]:
    refusal = decide(request, source, mask)
    assert isinstance(refusal, Refusal), refusal
    assert refusal.message
    assert refusal.hint
    return refusal.code, refusal.param


VARY = JobRequest(prompt="a cat", task=Task.VARIATION, source="s")
INPAINT = JobRequest(prompt="a cat", task=Task.INPAINT, source="s", mask="m")
OUTPAINT = JobRequest(prompt="a cat", task=Task.OUTPAINT, source="s")
UPSCALE = JobRequest(prompt="", task=Task.UPSCALE, source="s")


def test_a_variation_has_the_size_of_its_source_and_costs_the_steps_it_makes() -> None:
    parameters = admitted(replace(VARY, strength=0.5), replace(SOURCE, width=96, height=48))
    assert (parameters.width, parameters.height, parameters.num_sampled) == (96, 48, 15)
    assert parameters.cost == pytest.approx(15 * 96 * 48 / 1e6)


def test_a_source_that_the_model_cannot_draw_is_fitted_to_the_nearest_shape() -> None:
    parameters = admitted(VARY, replace(SOURCE, width=1500, height=1000))
    assert (parameters.width, parameters.height) == (80, 48)


def test_an_outpaint_keeps_the_source_in_the_middle_of_a_larger_canvas() -> None:
    parameters = admitted(replace(OUTPAINT, zoom=2.0))
    assert (parameters.width, parameters.height, parameters.left, parameters.top) == (128, 128, 32, 32)
    assert (parameters.source_width, parameters.source_height) == (64, 64)


def test_an_outpaint_grows_only_the_sides_asked_for() -> None:
    parameters = admitted(replace(OUTPAINT, left=16, bottom=32))
    assert (parameters.width, parameters.height, parameters.left, parameters.top) == (80, 96, 16, 0)


def test_an_upscale_needs_no_prompt_and_counts_as_one_step() -> None:
    parameters = admitted(replace(UPSCALE, scale=4))
    assert (parameters.width, parameters.height, parameters.scale, parameters.num_steps) == (256, 256, 4, 1)


def test_a_variation_needs_no_words() -> None:
    assert admitted(replace(VARY, prompt=" ")).prompt == ""


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (replace(VARY, source=None), (RefusalCode.PARAMETER_MISSING, "source")),
        (replace(INPAINT, mask=None), (RefusalCode.PARAMETER_MISSING, "mask")),
        (replace(VARY, mask="m"), (RefusalCode.PARAMETER_UNSUPPORTED, "mask")),
        (JobRequest(prompt="a cat", strength=0.5), (RefusalCode.PARAMETER_UNSUPPORTED, "strength")),
        (replace(VARY, strength=0.0), (RefusalCode.PARAMETER_INVALID, "strength")),
        (replace(VARY, strength=1.5), (RefusalCode.PARAMETER_INVALID, "strength")),
        (replace(VARY, strength=0.01), (RefusalCode.PARAMETER_INVALID, "strength")),
        (replace(VARY, strength=float("nan")), (RefusalCode.PARAMETER_INVALID, "strength")),
        (replace(INPAINT, prompt=" "), (RefusalCode.PROMPT_EMPTY, "prompt")),
        (replace(UPSCALE, scale=3), (RefusalCode.PARAMETER_INVALID, "scale")),
        (replace(UPSCALE, width=64, height=64), (RefusalCode.PARAMETER_UNSUPPORTED, "width")),
        (replace(OUTPAINT, prompt="a cat --ar 3:2"), (RefusalCode.PARAMETER_UNSUPPORTED, "prompt")),
        (replace(OUTPAINT, zoom=1.0), (RefusalCode.PARAMETER_INVALID, "zoom")),
        (replace(OUTPAINT, zoom=1.01), (RefusalCode.PARAMETER_INVALID, "zoom")),
        (replace(OUTPAINT, zoom=4.0), (RefusalCode.SIZE_INVALID, "width")),
        (replace(OUTPAINT, zoom=2.0, left=16), (RefusalCode.PARAMETER_INVALID, "zoom")),
        (replace(OUTPAINT, left=-16), (RefusalCode.PARAMETER_INVALID, "left")),
        (replace(OUTPAINT, left=7), (RefusalCode.SIZE_INVALID, "width")),
    ],
)
def test_what_does_not_fit_the_task_is_refused_by_name(request_: JobRequest, expected: tuple[str, str]) -> None:
    assert refused(request_) == expected


def test_a_picture_of_somebody_else_is_not_found() -> None:
    assert refused(VARY, source=None) == (RefusalCode.SOURCE_NOT_FOUND, "source")
    assert refused(INPAINT, mask=None) == (RefusalCode.SOURCE_NOT_FOUND, "mask")


def test_a_mask_must_be_of_the_sources_size() -> None:
    assert refused(INPAINT, mask=replace(MASK, width=32)) == (RefusalCode.PARAMETER_INVALID, "mask")


def test_a_task_that_the_model_lacks_is_refused_before_anything_is_read() -> None:
    decision = admit(parse_request(VARY), replace(TERMS, models=[make_model()], source=SOURCE))
    assert isinstance(decision, Refusal)
    assert (decision.code, decision.param) == (RefusalCode.TASK_UNSUPPORTED, "task")


def test_an_upscale_beyond_the_bound_is_refused() -> None:
    huge = replace(SOURCE, width=2048, height=2048)
    assert refused(replace(UPSCALE, scale=4), huge) == (RefusalCode.SIZE_INVALID, "scale")


@pytest.mark.parametrize(("width", "height", "scale"), [(8200, 8, 2), (8, 8192, 2), (4096, 256, 4), (16, 4096, 4)])
def test_an_upscale_with_a_side_that_no_webp_can_have_is_refused(width: int, height: int, scale: int) -> None:
    thin = replace(SOURCE, width=width, height=height)
    assert refused(replace(UPSCALE, scale=scale), thin) == (RefusalCode.SIZE_INVALID, "scale")


def test_an_upscale_up_to_the_longest_side_is_admitted() -> None:
    thin = replace(SOURCE, width=MAX_SIDE_PX // 2, height=8)
    assert admitted(replace(UPSCALE, scale=2), thin).width == MAX_SIDE_PX - 1


@given(st.sampled_from(Task), st.integers(1, 5000), st.integers(1, 5000), st.floats(1.01, 4))
def test_whatever_is_admitted_lies_inside_a_canvas_that_the_model_can_draw(
    task: Task, width: int, height: int, zoom: float
) -> None:
    request = {
        Task.GENERATE: JobRequest(prompt="a cat"),
        Task.VARIATION: VARY,
        Task.INPAINT: INPAINT,
        Task.OUTPAINT: replace(OUTPAINT, zoom=zoom),
        Task.EDIT: replace(VARY, task=Task.EDIT),
        Task.UPSCALE: UPSCALE,
    }[task]
    source = replace(SOURCE, width=width, height=height)
    parameters = decide(request, source, mask=source)
    if isinstance(parameters, Refusal):
        assert parameters.code is RefusalCode.SIZE_INVALID or parameters.param == "zoom"
        return
    if task is not Task.UPSCALE:
        assert check_size(MODEL, parameters.width, parameters.height) is None
    if task is not Task.GENERATE:
        assert (parameters.left or 0) + (parameters.source_width or 0) <= parameters.width
        assert (parameters.top or 0) + (parameters.source_height or 0) <= parameters.height
