"""Plain values for tests: a job with everything filled in but what the test is about."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

from mezzotint.actions.screen import TextScreen
from mezzotint.domain.fleet.desired_fleet import DesiredFleet, FleetPhase
from mezzotint.domain.ids import JobId, OwnerId, Sha256, TenantId
from mezzotint.domain.job import Ending, Image, Job, JobState, Parameters, Timings
from mezzotint.domain.model import ModelInfo
from mezzotint.domain.tier import Tier
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.hard_rules import HardRule
from mezzotint.policy.safety.text_verdict import TextStage, TextVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_numbers = count(1)


def make_parameters(*, num_steps: int = 30, width: int = 64, height: int = 64, seed: int = 7) -> Parameters:
    return Parameters(
        prompt="a red apple",
        negative_prompt="",
        seed=seed,
        num_steps=num_steps,
        guidance_scale=3.5,
        width=width,
        height=height,
    )


def make_job(
    *,
    tenant: str = "ada",
    owner: str = "",
    tier: Tier = Tier.FREE,
    id: str | None = None,
    parameters: Parameters | None = None,
) -> Job:
    return Job(
        id=JobId(id or f"job_{next(_numbers):024x}"),
        tenant=TenantId(tenant),
        owner=OwnerId(owner),
        tier=tier,
        state=JobState.QUEUED,
        raw_prompt="a red apple --seed 7",
        parameters=parameters or make_parameters(),
        model="mezzotint-starter",
        created_at=NOW,
    )


def make_image(job: Job, content: str = "ab") -> Image:
    return Image(
        job=job.id,
        position=0,
        png=Sha256(content * 32),
        webp=Sha256(content[::-1] * 32),
        seed=4294967295,
        width=64,
        height=64,
        created_at=NOW,
    )


def make_ending(
    job: Job,
    state: JobState = JobState.SUCCEEDED,
    images: tuple[Image, ...] = (),
    cost_s: float = 0.0,
    resumed_cost_s: float = 0.0,
) -> Ending:
    return Ending(
        state=state,
        at=NOW,
        timings=Timings(queue_s=0.5),
        step=job.parameters.num_steps,
        images=images,
        cost_s=cost_s,
        resumed_cost_s=resumed_cost_s,
    )


def make_rule(
    *groups: str, none_of: tuple[str, ...] = (), id: str | None = None, expires_at: datetime | None = None
) -> HardRule:
    """A rule on one term of each group."""
    return HardRule(
        id=id or f"rule_{next(_numbers):016x}",
        category=SafetyCategory.DECEPTION,
        all_of=tuple((term,) for term in groups),
        none_of=none_of,
        author="ops/sub:ops",
        reason="an incident",
        created_at=NOW,
        expires_at=expires_at,
    )


def make_model() -> ModelInfo:
    return ModelInfo(
        name="mezzotint-starter",
        about="draws emoji",
        native_width=64,
        native_height=64,
        grid_px=16,
        min_px=32,
        max_px=128,
        default_steps=30,
        default_guidance=3.5,
        knows=("fruit",),
        examples=("a red apple",),
    )


def make_desired_fleet(*pools: dict[str, Any]) -> DesiredFleet:
    return DesiredFleet(
        document={"pools": list(pools)},
        digest="d",
        phase=FleetPhase.UP,
        namespace="n",
        ray_address="127.0.0.1:1",
        version="0.1.0",
        changed_at=NOW,
    )


def make_text_verdict(*, is_blocked: bool = False, **changes: Any) -> TextVerdict:
    verdict = TextVerdict(
        verdict=SafetyVerdict.BLOCK if is_blocked else SafetyVerdict.ALLOW,
        category=SafetyCategory.SEXUAL if is_blocked else "",
        about="something" if is_blocked else "",
        hint="Describe something else." if is_blocked else "",
        stage=TextStage.RULES,
        text_hash="0" * 64,
        policy_version="1",
        rules_version="1",
    )
    return replace(verdict, **changes)


def make_screen(is_blocked: Callable[[str], bool] = lambda prompt: False) -> TextScreen:
    """A text filter that blocks the prompts for which the function holds."""
    return TextScreen(
        judge=lambda prompt, negative_prompt="", tier=Tier.FREE: make_text_verdict(is_blocked=is_blocked(prompt))
    )
