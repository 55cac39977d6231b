"""Appeals: a refused user asks an admin to look at a refusal again."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mezzotint.domain.ids import OwnerId, TenantId
from mezzotint.domain.refusal import SafetyEvidence

PICTURE = "picture"
"""The stage of a refusal whose finished picture was blocked; others are of prompts."""
MAX_OPEN = 100
"""Open appeals of one tenant."""


class AppealState(StrEnum):
    """UPHELD: the refusal was right. OVERTURNED: it was wrong."""

    OPEN = "open"
    UPHELD = "upheld"
    OVERTURNED = "overturned"


TRANSITIONS: dict[AppealState, dict[AppealState, str]] = {
    AppealState.OPEN: {
        AppealState.UPHELD: "an admin decides that the refusal was right",
        AppealState.OVERTURNED: "an admin decides that the refusal was wrong",
    },
    AppealState.UPHELD: {AppealState.OVERTURNED: "an admin decides anew"},
    AppealState.OVERTURNED: {AppealState.UPHELD: "an admin decides anew"},
}
"""The states that may follow each state, with the cause."""
LABELS = {AppealState.UPHELD: "unsafe", AppealState.OVERTURNED: "safe"}
"""Decided state -> label of the prompt for the evaluation harness."""


def can_decide(state: AppealState, outcome: AppealState) -> bool:
    return outcome in TRANSITIONS[state]


@dataclass(frozen=True, slots=True, kw_only=True)
class Appeal:
    """refusal: id of the refusal it is about, or of the job whose picture was blocked. text_hash: SHA-256 of the
    prompt. explanation: the user's words. prompt: as it was refused, where the user gave it or the server kept it.
    note: the admin's words.
    """

    id: str
    refusal: str
    tenant: TenantId
    owner: OwnerId
    evidence: SafetyEvidence
    text_hash: str
    explanation: str
    prompt: str | None
    state: AppealState
    created_at: datetime
    decided_at: datetime | None = None
    decided_by: str | None = None
    note: str | None = None
