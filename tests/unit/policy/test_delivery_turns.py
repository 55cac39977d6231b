"""Turns of webhook deliveries: no tenant waits behind another's backlog."""

from collections import Counter
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from mezzotint.domain.ids import TenantId, WebhookId
from mezzotint.policy.delivery_turns import DueWebhook, choose_due
from tests.making import NOW


def due(tenant: str, number: int, age_s: int = 0) -> DueWebhook:
    since = NOW - timedelta(seconds=age_s)
    return DueWebhook(id=WebhookId(f"{tenant}{number}"), tenant=TenantId(tenant), since=since)


def test_a_tenant_with_nothing_under_way_comes_before_older_deliveries_of_a_busy_one() -> None:
    waiting = [*(due("eve", number, age_s=900) for number in range(9)), due("ada", 0)]
    chosen = choose_due(waiting, {TenantId("eve"): 2}, at_once=4, per_tenant=4)
    assert [one.tenant for one in chosen] == ["ada", "eve"]


def test_the_oldest_of_a_tenant_comes_first() -> None:
    chosen = choose_due([due("ada", 1), due("ada", 2, age_s=5), due("ada", 3, age_s=9)], {}, at_once=9, per_tenant=2)
    assert [one.id for one in chosen] == ["ada3", "ada2"]


NUMBERS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9))


@given(NUMBERS, NUMBERS, st.integers(1, 12), st.integers(1, 5))
def test_places_are_used_fairly_and_never_exceeded(
    waits: dict[str, int], runs: dict[str, int], at_once: int, per_tenant: int
) -> None:
    waiting = [due(tenant, number) for tenant, num in waits.items() for number in range(num)]
    before = Counter({TenantId(tenant): min(num, per_tenant) for tenant, num in runs.items()})
    chosen = choose_due(waiting, before, at_once=at_once, per_tenant=per_tenant)
    assert len({one.id for one in chosen}) == len(chosen)
    served = Counter(one.tenant for one in chosen)
    after = before + served
    assert max(after.values(), default=0) <= per_tenant
    assert len(chosen) <= max(0, at_once - before.total())
    hungry = [TenantId(tenant) for tenant, num in waits.items() if num > served[TenantId(tenant)]]
    if after.total() < at_once:
        assert all(after[tenant] == per_tenant for tenant in hungry), "a place was left empty"
    for tenant in hungry:
        assert all(after[other] <= after[tenant] + 1 for other in served), "somebody was served before his turn"
