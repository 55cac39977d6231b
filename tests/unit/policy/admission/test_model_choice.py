from dataclasses import replace

from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.domain.task import Task
from mezzotint.policy.admission.model_choice import choose_model
from tests.making import make_model

MODELS = (make_model(), replace(make_model(), name="ink"))


def test_the_first_is_the_default_and_others_are_asked_for_by_name() -> None:
    assert choose_model(MODELS, None, Task.GENERATE, "") is MODELS[0]
    assert choose_model(MODELS, "ink", Task.VARIATION, "") is MODELS[1]


def test_an_unknown_one_is_refused_with_the_list() -> None:
    refusal = choose_model(MODELS, "Ink", Task.GENERATE, "")
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.param) == (RefusalCode.MODEL_NOT_FOUND, "model")
    assert "mezzotint-starter, ink" in refusal.hint


def test_an_upscale_takes_no_model_but_the_upscaler() -> None:
    assert choose_model(MODELS, None, Task.UPSCALE, "up") is MODELS[0]
    assert choose_model(MODELS, "up", Task.UPSCALE, "up") is MODELS[0]
    refusal = choose_model(MODELS, "ink", Task.UPSCALE, "up")
    assert isinstance(refusal, Refusal)
    assert "up" in refusal.hint
