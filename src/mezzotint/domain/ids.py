"""Ids are opaque strings; `NewType` keeps one kind from standing where another belongs."""

from typing import NewType

JobId = NewType("JobId", str)
TenantId = NewType("TenantId", str)
UserId = NewType("UserId", str)
KeyId = NewType("KeyId", str)
OwnerId = NewType("OwnerId", str)
"""The owner of a resource within its tenant: a user's id, or the subject of a token."""
WebhookId = NewType("WebhookId", str)
WorkerId = NewType("WorkerId", str)
TakedownId = NewType("TakedownId", str)
AuditId = NewType("AuditId", str)
Sha256 = NewType("Sha256", str)
"""64 lower-case hex digits."""
OF_TENANT = OwnerId("")
"""The owner of rows from before there were owners: they are the whole tenant's, as they were then."""
