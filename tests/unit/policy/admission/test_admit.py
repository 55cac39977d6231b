"""From a request to a job's parameters, or to a refusal."""

from dataclasses import replace
from functools import partial

import pytest

from mezzotint.domain.ids import Sha256
from mezzotint.domain.job import Parameters
from mezzotint.domain.model import ModelInfo
from mezzotint.domain.prompt import MAX_SEED
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.domain.task import Source, Task
from mezzotint.domain.tier import Tier, limits_of
from mezzotint.policy.admission.admit import Admit, Terms, admit
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.request import JobRequest

MODEL = ModelInfo(
    name="tiny",
    about="",
    native_width=64,
    native_height=64,
    grid_px=16,
    min_px=32,
    max_px=128,
    default_steps=40,
    default_guidance=3.5,
)


def decide(
    request: JobRequest, *, tier: Tier = Tier.PRO, model: ModelInfo = MODEL, num_open_jobs: int = 0
) -> Admit | Refusal:
    return admit(parse_request(request), Terms(tier=tier, models=[model], num_open_jobs=num_open_jobs, fresh_seed=11))


def admitted(request: JobRequest, *, tier: Tier = Tier.PRO, model: ModelInfo = MODEL) -> Parameters:
    decision = decide(request, tier=tier, model=model)
    assert isinstance(decision, Admit), decision
    (plan,) = decision.plans
    assert plan.raw_prompt == request.prompt
    return plan.parameters


def refused(request: JobRequest, *, tier: Tier = Tier.PRO, num_open_jobs: int = 0) -> Refusal:
    decision = decide(request, tier=tier, num_open_jobs=num_open_jobs)
    assert isinstance(decision, Refusal), decision
    assert decision.message
    assert decision.hint
    return decision


def test_a_bare_prompt_gets_every_default() -> None:
    assert admitted(JobRequest(prompt="a red apple")) == Parameters(
        prompt="a red apple", negative_prompt="", seed=11, num_steps=40, guidance_scale=3.5, width=64, height=64
    )


def test_fields_and_prompt_parameters_mean_the_same() -> None:
    in_fields = JobRequest(prompt="a cat", negative_prompt=" text \n people", seed=7, num_steps=20, width=80, height=48)
    in_prompt = JobRequest(prompt="a cat --no text people --seed 7 --steps 20 --ar 3:2")
    assert admitted(in_fields) == admitted(in_prompt)


def test_seed_zero_is_a_seed() -> None:
    assert admitted(JobRequest(prompt="a cat", seed=0)).seed == 0
    assert admitted(JobRequest(prompt="a cat --seed 0")).seed == 0


def test_default_steps_are_capped_by_the_budget() -> None:
    assert admitted(JobRequest(prompt="a cat"), tier=Tier.FREE).num_steps == 30
    assert admitted(JobRequest(prompt="a cat"), tier=Tier.FREE, model=replace(MODEL, default_steps=4)).num_steps == 4


def test_an_empty_negative_prompt_is_none_at_all() -> None:
    assert admitted(JobRequest(prompt="a cat --no text", negative_prompt="")).negative_prompt == "text"


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (JobRequest(prompt="a cat --seed 7", seed=7), ("--seed", '"seed"')),
        (JobRequest(prompt="a cat --steps 7", num_steps=7), ("--steps", '"num_steps"')),
        (JobRequest(prompt="a cat --no text", negative_prompt="people"), ("--no", '"negative_prompt"')),
        (JobRequest(prompt="a cat --ar 3:2", width=64, height=64), ("--ar", '"width"')),
        (JobRequest(prompt="a cat --ar 3:2", height=64), ("--ar", '"height"')),
    ],
)
def test_the_same_thing_given_twice_is_refused_naming_both(request_: JobRequest, names: tuple[str, str]) -> None:
    refusal = refused(request_)
    assert refusal.code == RefusalCode.PARAMETER_REPEATED
    assert all(name in refusal.message for name in names)
    assert refusal.param == names[1].strip('"')


@pytest.mark.parametrize("tier", list(Tier))
def test_the_budget_can_be_used_up_and_not_exceeded(tier: Tier) -> None:
    budget = limits_of(tier).step_budget
    assert admitted(JobRequest(prompt="a cat", num_steps=budget), tier=tier).num_steps == budget
    refusal = refused(JobRequest(prompt="a cat", num_steps=budget + 1), tier=tier)
    assert refusal.code == RefusalCode.STEPS_OVER_BUDGET
    assert refusal.param == "num_steps"
    assert all(part in refusal.message for part in (tier, str(budget), str(budget + 1)))


def test_a_larger_tier_is_named_where_there_is_one() -> None:
    assert "pro 80" in refused(JobRequest(prompt="a cat --steps 60"), tier=Tier.PAID).hint
    assert "tier" not in refused(JobRequest(prompt="a cat --steps 90"), tier=Tier.PRO).hint


def test_steps_in_the_prompt_are_held_to_the_budget_too() -> None:
    refusal = refused(JobRequest(prompt="a cat --steps 31"), tier=Tier.FREE)
    assert (refusal.code, refusal.param) == (RefusalCode.STEPS_OVER_BUDGET, "prompt")


@pytest.mark.parametrize("num_steps", [0, -1, -(10**30)])
def test_less_than_one_step_is_refused(num_steps: int) -> None:
    refusal = refused(JobRequest(prompt="a cat", num_steps=num_steps))
    assert (refusal.code, refusal.param) == (RefusalCode.PARAMETER_INVALID, "num_steps")


@pytest.mark.parametrize("seed", [-1, 2**64, 10**30])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    refusal = refused(JobRequest(prompt="a cat", seed=seed))
    assert (refusal.code, refusal.param) == (RefusalCode.PARAMETER_INVALID, "seed")


@pytest.mark.parametrize("seed", [2**32, 2**32 + 7, 2**64 - 1])
def test_a_seed_beyond_32_bits_is_taken_modulo_two_to_the_32(seed: int) -> None:
    for request in (JobRequest(prompt="a cat", seed=seed), JobRequest(prompt=f"a cat --seed {seed}")):
        assert [seed for _, seed in plans(request)] == [seed % 2**32]


@pytest.mark.parametrize(("field", "missing"), [("width", "height"), ("height", "width")])
def test_one_side_alone_is_refused(field: str, missing: str) -> None:
    only = JobRequest(prompt="a cat", width=64) if field == "width" else JobRequest(prompt="a cat", height=64)
    refusal = refused(only)
    assert (refusal.code, refusal.param) == (RefusalCode.SIZE_INVALID, missing)


def test_a_size_off_the_grid_is_refused() -> None:
    assert refused(JobRequest(prompt="a cat", width=65, height=64)).code == RefusalCode.SIZE_INVALID


def test_a_ratio_that_the_model_cannot_make_is_refused_not_bent() -> None:
    refusal = refused(JobRequest(prompt="a cat --ar 5:1"))
    assert refusal.code == RefusalCode.PARAMETER_INVALID
    assert "5:1" in refusal.message
    assert "4 times" in refusal.hint
    assert admitted(JobRequest(prompt="a cat --ar 4:1")).width == 128


def test_a_prompt_that_cannot_be_read_is_refused_as_the_parser_says() -> None:
    assert refused(JobRequest(prompt="a cat --weird 5")).code == RefusalCode.PARAMETER_UNSUPPORTED


@pytest.mark.parametrize(
    ("negative_prompt", "code"),
    [("te\x00xt", RefusalCode.PROMPT_CONTROL_CHARACTER), ("t" * 2001, RefusalCode.PROMPT_TOO_LONG)],
)
def test_the_negative_prompt_is_held_to_the_rules_of_text(negative_prompt: str, code: RefusalCode) -> None:
    refusal = refused(JobRequest(prompt="a cat", negative_prompt=negative_prompt))
    assert (refusal.code, refusal.param) == (code, "negative_prompt")
    assert "negative prompt" in refusal.message


def test_open_jobs_are_bounded_by_the_tier() -> None:
    most = limits_of(Tier.FREE).max_open_jobs
    assert isinstance(decide(JobRequest(prompt="a cat"), tier=Tier.FREE, num_open_jobs=most - 1), Admit)
    refusal = refused(JobRequest(prompt="a cat"), tier=Tier.FREE, num_open_jobs=most)
    assert refusal.code == RefusalCode.TOO_MANY_OPEN_JOBS
    assert str(most) in refusal.message


def test_a_bad_request_is_told_what_is_wrong_before_the_queue_is_full() -> None:
    assert refused(JobRequest(prompt=""), num_open_jobs=10**6).code == RefusalCode.PROMPT_EMPTY


def plans(request: JobRequest, *, tier: Tier = Tier.PRO) -> list[tuple[str, int]]:
    decision = decide(request, tier=tier)
    assert isinstance(decision, Admit), decision
    return [(plan.raw_prompt, plan.parameters.seed) for plan in decision.plans]


def test_choices_become_a_job_each_that_says_what_it_is_of() -> None:
    assert plans(JobRequest(prompt="a {red, green} cat --ar {1:1, 2:1} --seed 7")) == [
        ("a red cat --ar 1:1 --seed 7", 7),
        ("a red cat --ar 2:1 --seed 7", 7),
        ("a green cat --ar 1:1 --seed 7", 7),
        ("a green cat --ar 2:1 --seed 7", 7),
    ]


def test_repeats_count_the_seed_on_and_begin_again_after_the_largest() -> None:
    wanted = [("a cat --seed 4294967295", seed) for seed in (MAX_SEED, 0, 1)]
    assert plans(JobRequest(prompt=f"a cat --repeat 3 --seed {MAX_SEED}")) == wanted
    assert [seed for _, seed in plans(JobRequest(prompt="a cat", repeat=3))] == [11, 12, 13]


def test_jobs_of_one_request_without_a_seed_have_seeds_of_their_own() -> None:
    seeds = [seed for _, seed in plans(JobRequest(prompt="a {red, green} cat --repeat 2"))]
    assert len(set(seeds)) == 4


def test_literal_braces_are_kept_in_what_a_job_says_of_itself() -> None:
    assert plans(JobRequest(prompt=r"a \{cat\} {a, b} --seed 1"))[0] == (r"a \{cat\} a --seed 1", 1)


def test_a_plain_request_has_no_choices() -> None:
    plan = decide(JobRequest(prompt="{a, b}", is_plain=True))
    assert isinstance(plan, Admit)
    assert [one.parameters.prompt for one in plan.plans] == ["{a, b}"]


def test_more_jobs_than_a_request_may_have_are_refused() -> None:
    assert len(plans(JobRequest(prompt="{a, b} cat --repeat 20"))) == 40
    refusal = refused(JobRequest(prompt="{a, b, c} cat --repeat 20"))
    assert refusal.code == RefusalCode.TOO_MANY_JOBS_AT_ONCE
    assert "60" in refusal.message


def test_every_job_of_a_request_counts_against_the_open_jobs() -> None:
    most = limits_of(Tier.FREE).max_open_jobs
    request = JobRequest(prompt="a cat", repeat=4)
    assert isinstance(decide(request, tier=Tier.FREE, num_open_jobs=most - 4), Admit)
    refusal = refused(request, tier=Tier.FREE, num_open_jobs=most - 3)
    assert refusal.code == RefusalCode.TOO_MANY_OPEN_JOBS
    assert "makes 4 jobs" in refusal.message


def test_one_bad_choice_refuses_the_whole_request() -> None:
    assert refused(JobRequest(prompt="a cat --ar {1:1, 5:1}")).code == RefusalCode.PARAMETER_INVALID


def test_repeat_in_the_prompt_and_as_a_field_is_refused() -> None:
    assert refused(JobRequest(prompt="a cat --repeat 2", repeat=2)).param == "repeat"


@pytest.mark.parametrize("prompt", ["a {red, green cat", "a red} cat", "{" * 9 + "a" + "}" * 9])
def test_braces_that_do_not_match_are_refused(prompt: str) -> None:
    assert refused(JobRequest(prompt=prompt)).code == RefusalCode.PERMUTATION_INVALID


@pytest.mark.parametrize(("written", "num_steps"), [("--q .5", 20), ("--draft", 20), ("--q 2", 80), ("--q .1", 4)])
def test_quality_counts_from_the_usual_steps(written: str, num_steps: int) -> None:
    assert admitted(JobRequest(prompt=f"a cat {written}")).num_steps == num_steps


def test_quality_is_held_to_the_budget_like_steps() -> None:
    assert admitted(JobRequest(prompt="a cat --q .5"), tier=Tier.FREE).num_steps == 15
    assert refused(JobRequest(prompt="a cat --q 2"), tier=Tier.FREE).code == RefusalCode.STEPS_OVER_BUDGET


@pytest.mark.parametrize("written", ["--q 1 --steps 5", "--draft --steps 5", "--draft --q .25"])
def test_two_parameters_that_decide_the_steps_are_refused(written: str) -> None:
    assert refused(JobRequest(prompt=f"a cat {written}")).code == RefusalCode.PARAMETER_REPEATED


@pytest.mark.parametrize(
    ("written", "field"),
    [("--q 1", {"num_steps": 5}), ("--draft", {"num_steps": 5}), ("--s 200", {"guidance_scale": 5.0})],
)
def test_a_parameter_and_the_field_it_decides_are_refused(written: str, field: dict[str, float]) -> None:
    refusal = refused(JobRequest(prompt=f"a cat {written}", **field))  # type: ignore[arg-type]
    assert (refusal.code, refusal.param) == (RefusalCode.PARAMETER_REPEATED, next(iter(field)))


def test_guidance_comes_from_the_field_or_from_stylize() -> None:
    assert admitted(JobRequest(prompt="a cat", guidance_scale=7.5)).guidance_scale == 7.5
    assert admitted(JobRequest(prompt="a cat --stylize 0")).guidance_scale == 1
    assert admitted(JobRequest(prompt="a cat --stylize 1000")).guidance_scale == pytest.approx(10.5)


@pytest.mark.parametrize("guidance_scale", [-1.0, 31.0, float("nan"), float("inf")])
def test_a_guidance_out_of_range_is_refused(guidance_scale: float) -> None:
    assert refused(JobRequest(prompt="a cat", guidance_scale=guidance_scale)).code == RefusalCode.PARAMETER_INVALID


@pytest.mark.parametrize(
    "request_", [JobRequest(prompt="a cat --stylize 50"), JobRequest(prompt="a cat", guidance_scale=3.0)]
)
def test_a_model_without_guidance_refuses_it(request_: JobRequest) -> None:
    decision = decide(request_, model=replace(MODEL, default_guidance=0.0))
    assert isinstance(decision, Refusal)
    assert decision.code == RefusalCode.PARAMETER_UNSUPPORTED


def grid(prompt: str, **fields: object) -> list[tuple[int, float, str]]:
    """Seed, guidance and own prompt of each picture."""
    decision = decide(JobRequest(prompt=prompt, **fields))  # type: ignore[arg-type]
    assert isinstance(decision, Admit), decision
    return [(plan.parameters.seed, plan.parameters.guidance_scale, plan.raw_prompt) for plan in decision.plans]


def test_chaos_sends_the_guidance_of_a_grid_apart_and_each_picture_says_how_to_draw_it_alone() -> None:
    drawn = grid("a cat --repeat 5 --chaos 50 --seed 7")
    assert [prompt for _, _, prompt in drawn] == [
        f"a cat --seed 7 --stylize {stylize}" for stylize in (100, 50, 550, 75, 325)
    ]
    assert [seed for seed, _, _ in drawn] == [7, 8, 9, 10, 11]
    assert drawn[0][1] == MODEL.default_guidance
    for seed, guidance, prompt in drawn:
        assert admitted(JobRequest(prompt=prompt)).guidance_scale == guidance, seed
    assert drawn == grid("a cat --chaos 50 --seed 7", repeat=5)


def test_chaos_of_100_reaches_both_ends_of_the_scale_and_0_none() -> None:
    assert [guidance for _, guidance, _ in grid("a cat --r 3 --c 100")] == [3.5, 1.0, 10.5]
    assert {guidance for _, guidance, _ in grid("a cat --r 3 --c 0")} == {3.5}
    assert "--stylize 0" in grid("a cat --r 2 --c 100 --s 600")[1][2]


@pytest.mark.parametrize(
    ("request_", "code", "word"),
    [
        (JobRequest(prompt="a cat --chaos 20"), RefusalCode.PARAMETER_MISSING, "--repeat"),
        (
            JobRequest(prompt="a cat --chaos 20", guidance_scale=2.0, repeat=2),
            RefusalCode.PARAMETER_REPEATED,
            "--chaos",
        ),
        (JobRequest(prompt="a cat --iw 1"), RefusalCode.PARAMETER_UNSUPPORTED, "--iw"),
        (JobRequest(prompt="a cat --version x", model="x"), RefusalCode.PARAMETER_REPEATED, "--version"),
    ],
)
def test_what_a_request_cannot_use_is_refused_by_name(request_: JobRequest, code: RefusalCode, word: str) -> None:
    refusal = refused(request_)
    assert refusal.code is code
    assert word in refusal.message + refusal.hint


def test_the_image_weight_is_a_strength(picture: Source) -> None:
    able = replace(MODEL, tasks=(Task.GENERATE, Task.VARIATION, Task.INPAINT))
    asked = partial(JobRequest, task=Task.VARIATION, source=picture.content)
    terms = Terms(tier=Tier.PRO, models=[able], num_open_jobs=0, fresh_seed=1, source=picture)

    def strength(request: JobRequest) -> float | None:
        decision = admit(parse_request(request), terms)
        assert isinstance(decision, Admit), decision
        return decision.plans[0].parameters.strength

    assert strength(asked(prompt="a cat --iw 1")) == strength(asked(prompt="a cat"))
    weights = [strength(asked(prompt=f"a cat --iw {iw}")) for iw in ("0", ".5", "1", "2", "3")]
    assert weights == sorted(weights, reverse=True)  # type: ignore[type-var]
    assert weights[0] == 1.0
    both = admit(parse_request(asked(prompt="a cat --iw 1", strength=0.5)), terms)
    assert isinstance(both, Refusal)
    assert both.code is RefusalCode.PARAMETER_REPEATED


@pytest.fixture
def picture() -> Source:
    return Source(content=Sha256("ab" * 32), width=64, height=64)


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (JobRequest(prompt="a cat --no text"), "prompt"),
        (JobRequest(prompt="a cat", negative_prompt="text"), "negative_prompt"),
    ],
)
def test_a_model_without_negative_prompts_refuses_them_at_the_door(request_: JobRequest, param: str) -> None:
    deaf = replace(MODEL, takes_negative_prompt=False)
    decision = decide(request_, model=deaf)
    assert isinstance(decision, Refusal)
    assert (decision.code, decision.param) == (RefusalCode.PARAMETER_UNSUPPORTED, param)
    assert "tiny" in decision.message
    assert isinstance(decide(JobRequest(prompt="a cat", negative_prompt=""), model=deaf), Admit)


def test_the_model_is_named_by_the_field_or_by_the_prompt() -> None:
    models = [MODEL, replace(MODEL, name="ink"), replace(MODEL, name="oil")]

    def choose(request: JobRequest) -> str | Refusal:
        decision = admit(parse_request(request), Terms(tier=Tier.PRO, models=models, num_open_jobs=0, fresh_seed=1))
        return decision.model.name if isinstance(decision, Admit) else decision

    assert choose(JobRequest(prompt="a cat")) == "tiny"
    assert choose(JobRequest(prompt="a cat --v ink")) == choose(JobRequest(prompt="a cat", model="ink")) == "ink"
    assert choose(JobRequest(prompt="a {cat, dog} --version ink")) == "ink"
    several = choose(JobRequest(prompt="a cat --version {ink, oil}"))
    assert isinstance(several, Refusal)
    assert "several models" in several.message
    assert isinstance(choose(JobRequest(prompt="")), Refusal)


def test_a_stop_ends_the_run_early_and_costs_so_much_less() -> None:
    stopped, whole = admitted(JobRequest(prompt="a cat --stop 60")), admitted(JobRequest(prompt="a cat"))
    assert (stopped.num_steps, stopped.num_sampled) == (40, 24)
    assert stopped.cost == pytest.approx(0.6 * whole.cost)
    assert admitted(JobRequest(prompt="a cat --stop 10 --steps 1")).num_sampled == 1
    refusal = decide(JobRequest(prompt="a cat --stop 60"), model=replace(MODEL, can_stop=False))
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.param) == (RefusalCode.PARAMETER_UNSUPPORTED, "prompt")
    assert "--stop" in refusal.message
