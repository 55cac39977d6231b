"""Which stored pictures may answer a request, and by what they are found."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mezzotint.domain.claims import Claims
from mezzotint.domain.ids import Sha256, TenantId
from mezzotint.domain.job import Parameters, ReuseScope
from mezzotint.domain.style import StyleChoice
from mezzotint.domain.task import Task
from mezzotint.domain.tenant import Visibility
from mezzotint.domain.tier import Tier
from mezzotint.policy.reuse import choose_reuse_scope, make_reuse_key
from tests.making import make_parameters

ADA = Claims(tenant=TenantId("acme"), tier=Tier.FREE, expires_at=datetime(2030, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("visibility", "scope"),
    [
        (Visibility.PRIVATE, ReuseScope.OWN),
        (Visibility.MANAGERS, ReuseScope.OWN),
        (Visibility.SHARED, ReuseScope.TENANT),
    ],
)
def test_a_request_with_a_fixed_seed_may_be_answered_by_what_its_asker_sees(
    visibility: Visibility, scope: ReuseScope
) -> None:
    claims = replace(ADA, visibility=visibility)
    assert choose_reuse_scope(claims, has_fixed_seed=True, is_new=False) is scope


@pytest.mark.parametrize(("has_fixed_seed", "is_new"), [(False, False), (True, True), (False, True)])
def test_a_random_seed_or_a_wish_for_a_new_picture_is_drawn(has_fixed_seed: bool, is_new: bool) -> None:
    assert choose_reuse_scope(ADA, has_fixed_seed=has_fixed_seed, is_new=is_new) is None


def test_whatever_decides_the_bytes_decides_the_key() -> None:
    usual = make_parameters()
    others: list[Parameters] = [
        replace(usual, prompt="a green apple"),
        replace(usual, negative_prompt="text"),
        replace(usual, seed=8),
        replace(usual, num_steps=29),
        replace(usual, guidance_scale=3.0),
        replace(usual, width=96),
        replace(usual, sampler="heun"),
        replace(usual, stop=50),
        replace(usual, styles=(StyleChoice(name="ink", weight=1.0, sha256=Sha256("7" * 64)),)),
        replace(usual, styles=(StyleChoice(name="ink", weight=0.5, sha256=Sha256("7" * 64)),)),
        replace(usual, styles=(StyleChoice(name="ink", weight=1.0, sha256=Sha256("8" * 64)),)),
        replace(usual, task=Task.VARIATION, source=Sha256("5" * 64), strength=0.5),
        replace(usual, task=Task.VARIATION, source=Sha256("6" * 64), strength=0.5),
    ]
    keys = {make_reuse_key("m", "f", parameters, "signed") for parameters in (usual, *others)}
    keys |= {make_reuse_key("n", "f", usual, "signed"), make_reuse_key("m", "g", usual, "signed")}
    keys.add(make_reuse_key("m", "f", usual, ""))
    assert len(keys) == len(others) + 4
    assert make_reuse_key("m", "f", make_parameters(), "signed") in keys
