"""Choose the webhooks whose delivery begins: tenants take turns, those with the fewest deliveries under way first.

A tenant whose receivers hang thus fills its own places and no others.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mezzotint.domain.ids import TenantId, WebhookId


@dataclass(frozen=True, slots=True, kw_only=True)
class DueWebhook:
    """since: when its oldest delivery came due."""

    id: WebhookId
    tenant: TenantId
    since: datetime


def choose_due(
    due: Sequence[DueWebhook], under_way: Mapping[TenantId, int], *, at_once: int, per_tenant: int
) -> list[DueWebhook]:
    """The webhooks of which one delivery each may begin now, in the order of their turns.

    under_way: deliveries by tenant. at_once: most of all tenants together.
    """
    waiting: dict[TenantId, deque[DueWebhook]] = defaultdict(deque)
    for webhook in sorted(due, key=lambda one: one.since):
        waiting[webhook.tenant].append(webhook)
    turns = [(under_way.get(tenant, 0), queue[0].since, tenant) for tenant, queue in waiting.items()]
    heapq.heapify(turns)
    chosen: list[DueWebhook] = []
    room = at_once - sum(under_way.values())
    while turns and len(chosen) < room:
        num, _, tenant = heapq.heappop(turns)
        if num >= per_tenant:
            break  # all others have as many
        queue = waiting[tenant]
        chosen.append(queue.popleft())
        if queue:
            heapq.heappush(turns, (num + 1, queue[0].since, tenant))
    return chosen
