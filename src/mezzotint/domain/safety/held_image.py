"""A finished picture that is not delivered: blocked, or kept back until an admin looks at it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mezzotint.domain.ids import JobId


class HeldState(StrEnum):
    BLOCKED = "blocked"
    REVIEW = "review"
    RELEASED = "released"
    DENIED = "denied"


HELD_TRANSITIONS: dict[HeldState, dict[HeldState, str]] = {
    HeldState.BLOCKED: {},
    HeldState.REVIEW: {
        HeldState.RELEASED: "an admin releases the job's pictures: they are delivered",
        HeldState.DENIED: "an admin denies them, or nobody looked at them in time",
    },
    HeldState.RELEASED: {},
    HeldState.DENIED: {},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldImage:
    """category: why, as the safety policy names it; empty where no category is. scores: by classifier and class;
    None: not a number.
    filter_version: of the classifiers and the policy. key: of the encrypted original in the object store; None where
    it is not kept. Sizes in px.
    """

    job: JobId
    position: int
    state: HeldState
    category: str
    scores: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    filter_version: str
    key: str | None = None
    seed: int
    width: int
    height: int
    created_at: datetime
    decided_at: datetime | None = None
    decided_by: str | None = None
