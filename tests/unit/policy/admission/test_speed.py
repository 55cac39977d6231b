"""The speed of a job: what is asked for, what the model can do, and what the tier gets and may ask for."""

from dataclasses import replace

import pytest

from mezzotint.domain.ids import Sha256
from mezzotint.domain.model import ForecastPolicy, Speed
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.domain.task import Source, Task
from mezzotint.domain.tier import Tier
from mezzotint.policy.admission.admit import Admit, Terms, admit
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.request import JobRequest
from tests.making import make_model

BOTH = ForecastPolicy(bounds={Speed.BALANCED: 0.05, Speed.FAST: 0.2})


def ask(
    prompt: str = "a cat", *, forecast: ForecastPolicy = BOTH, tier: Tier = Tier.FREE, **fields: object
) -> Admit | Refusal:
    request = JobRequest(prompt=prompt, **fields)  # type: ignore[arg-type]
    model = replace(make_model(), forecast=forecast, tasks=tuple(Task))
    source = None if request.source is None else Source(content=Sha256("5" * 64), width=64, height=64, num_bytes=9)
    terms = Terms(tier=tier, models=[model], upscaler="up", num_open_jobs=0, fresh_seed=7, source=source)
    return admit(parse_request(request), terms)


def chosen(outcome: Admit | Refusal) -> tuple[Speed, float | None]:
    assert isinstance(outcome, Admit), outcome
    parameters = outcome.plans[0].parameters
    return parameters.speed, parameters.forecast


def refused(outcome: Admit | Refusal) -> Refusal:
    assert isinstance(outcome, Refusal)
    return outcome


@pytest.mark.parametrize("speed", Speed)
def test_a_speed_is_taken_from_the_field_or_from_the_prompt(speed: Speed) -> None:
    expected = (speed, BOTH.bounds.get(speed))
    assert chosen(ask(speed=speed)) == expected
    assert chosen(ask(f"a cat --speed {speed}")) == expected


def test_a_speed_that_is_said_twice_is_refused() -> None:
    refusal = refused(ask("a cat --speed fast", speed=Speed.FAST))
    assert (refusal.code, refusal.param) == (RefusalCode.PARAMETER_REPEATED, "speed")


def test_the_default_is_exact() -> None:
    assert chosen(ask()) == (Speed.EXACT, None)


def test_a_tier_has_a_default_and_bounds_of_its_own() -> None:
    policy = replace(BOTH, defaults={Tier.FREE: Speed.FAST}, allowed={Tier.FREE: (Speed.BALANCED, Speed.FAST)})
    assert chosen(ask(forecast=policy)) == (Speed.FAST, 0.2)
    assert chosen(ask(forecast=policy, tier=Tier.PRO)) == (Speed.EXACT, None)
    assert chosen(ask(forecast=policy, tier=Tier.PRO, speed=Speed.FAST)) == (Speed.FAST, 0.2)
    refusal = refused(ask(forecast=policy, speed=Speed.EXACT))
    assert refusal.code is RefusalCode.PARAMETER_UNSUPPORTED
    assert "free tier" in refusal.message
    assert refusal.hint == "Choose of: balanced, fast."


def test_a_model_that_cannot_foretell_draws_exactly_and_refuses_other_speeds_by_name() -> None:
    none = ForecastPolicy(defaults={Tier.FREE: Speed.FAST}, allowed={Tier.FREE: (Speed.FAST,)})
    assert chosen(ask(forecast=none)) == (Speed.EXACT, None)
    refusal = refused(ask("a cat --speed fast", forecast=none))
    assert (refusal.code, refusal.param) == (RefusalCode.PARAMETER_UNSUPPORTED, "prompt")
    assert make_model().name in refusal.message
    one = ForecastPolicy(bounds={Speed.BALANCED: 0.05})
    assert refused(ask(forecast=one, speed=Speed.FAST)).hint == "Choose of: exact, balanced."


def test_an_upscale_has_no_speed() -> None:
    always = replace(BOTH, defaults={Tier.FREE: Speed.FAST})
    upscale = ask("", task=Task.UPSCALE, source="job_0", forecast=always)
    assert chosen(upscale) == (Speed.EXACT, None)
    refusal = refused(ask("", task=Task.UPSCALE, source="job_0", speed=Speed.FAST))
    assert (refusal.code, refusal.param) == (RefusalCode.PARAMETER_UNSUPPORTED, "speed")


@pytest.mark.parametrize("name", ["fast", "relax", "turbo"])
def test_the_names_of_lanes_stay_free(name: str) -> None:
    assert refused(ask(f"a cat --{name}")).code is RefusalCode.PARAMETER_UNSUPPORTED


@pytest.mark.parametrize("value", ["", "slow", "FAST", "1"])
def test_what_is_no_speed_is_answered_with_those_there_are(value: str) -> None:
    refusal = refused(ask(f"a cat --speed {value}"))
    assert refusal.code is RefusalCode.PARAMETER_INVALID
    assert "exact, balanced or fast" in refusal.message
