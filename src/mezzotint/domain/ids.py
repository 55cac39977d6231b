"""Ids are opaque strings; `NewType` keeps one kind from standing where another belongs."""

from typing import NewType

JobId = NewType("JobId", str)
TenantId = NewType("TenantId", str)
UserId = NewType("UserId", str)
KeyId = NewType("KeyId", str)
WebhookId = NewType("WebhookId", str)
WorkerId = NewType("WorkerId", str)
Sha256 = NewType("Sha256", str)
"""64 lower-case hex digits."""
