"""A takedown: pictures are withdrawn from everybody, for some time reversibly.

Its phases and their transitions stand in one table; `docs/states.md` is generated from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mezzotint.domain.ids import JobId, OwnerId, Sha256, TakedownId, TenantId
from mezzotint.domain.tier import Tier


class TakedownPhase(StrEnum):
    WITHDRAWING = "withdrawing"
    QUARANTINING = "quarantining"
    PURGING = "purging"
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"
    ERASED = "erased"

    @property
    def is_under_way(self) -> bool:
        """Tell whether there is work left that a process does by itself."""
        return self in UNDER_WAY


UNDER_WAY = (TakedownPhase.WITHDRAWING, TakedownPhase.QUARANTINING, TakedownPhase.PURGING, TakedownPhase.UNDOING)
TAKEDOWN_TRANSITIONS: dict[TakedownPhase, dict[TakedownPhase, str]] = {
    TakedownPhase.WITHDRAWING: {
        TakedownPhase.QUARANTINING: "every picture that it selects has left all lists, and its bytes are blocked",
    },
    TakedownPhase.QUARANTINING: {
        TakedownPhase.PURGING: "all bytes are encrypted in quarantine, and nowhere else",
    },
    TakedownPhase.PURGING: {
        TakedownPhase.DONE: "caches took the order to purge, there are none, or they were asked for the last time",
        TakedownPhase.UNDOING: "an admin undoes it",
    },
    TakedownPhase.DONE: {
        TakedownPhase.UNDOING: "an admin undoes it in time",
        TakedownPhase.ERASED: "its time is over: what is in quarantine is deleted",
    },
    TakedownPhase.UNDOING: {
        TakedownPhase.UNDONE: "all bytes and rows are back",
    },
    TakedownPhase.UNDONE: {},
    TakedownPhase.ERASED: {},
}


class PictureKind(StrEnum):
    """The origin of a picture: a job drew it, or somebody uploaded it."""

    DRAWN = "drawn"
    UPLOADED = "uploaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSelection:
    """The pictures that meet every condition that is given.

    contents (hashes of a picture's PNG or WebP, or of an upload), jobs and near (PDQ hashes) are one condition: named
    in any of these ways. words: each stands in the prompt. categories: what today's text filter finds in the
    prompt, any of them. since, until: when the picture was made or the upload last used; until is not part of it.
    """

    contents: tuple[Sha256, ...] = ()
    jobs: tuple[JobId, ...] = ()
    near: tuple[str, ...] = ()
    tenant: TenantId | None = None
    words: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    @property
    def blocks_what_it_names(self) -> bool:
        """Tell whether everything that it names goes on the blocklist, were it there or not: nothing narrows it."""
        return self == PictureSelection(contents=self.contents, jobs=self.jobs, near=self.near)

    @property
    def is_of_prompts(self) -> bool:
        """Tell whether it looks at prompts, which uploads do not have."""
        return bool(self.words or self.categories)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPicture:
    """A picture as its row has it. webp: None for an upload. seq: its place among those of its kind. tier: of its
    job. pdq, pdq_quality: as in `PictureHash`; None of uploads, and of pictures from before they were kept. verdict,
    scores: of the image filter when it was delivered. prompt_scores: of the text filter when its job was admitted.
    """

    seq: int
    kind: PictureKind
    tenant: TenantId
    owner: OwnerId
    png: Sha256
    webp: Sha256 | None = None
    job: JobId | None = None
    prompt: str = ""
    negative_prompt: str = ""
    tier: Tier = Tier.FREE
    pdq: str | None = None
    pdq_quality: int | None = None
    created_at: datetime | None = None
    verdict: str = "allow"
    scores: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    prompt_scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakedownPlan:
    """The amount that a takedown would take. pictures_of, uploads_of: by tenant. num_bytes: of all files.

    num_open_jobs: of the named ones, those that have not ended.
    """

    pictures_of: Mapping[TenantId, int] = field(default_factory=dict)
    uploads_of: Mapping[TenantId, int] = field(default_factory=dict)
    num_bytes: int = 0
    num_open_jobs: int = 0

    @property
    def num_pictures(self) -> int:
        return sum(self.pictures_of.values())

    @property
    def num_uploads(self) -> int:
        return sum(self.uploads_of.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Takedown:
    """cursor: the last row that its present phase looked at. last_seq: the newest picture when it began. ends_at: until
    when it can be undone. num_moved: withdrawn pictures whose bytes are in quarantine. attempts, next_at, failure: of
    the order to purge caches.
    """

    id: TakedownId
    phase: TakedownPhase
    selection: PictureSelection
    reason: str
    made_by: str
    created_at: datetime
    ends_at: datetime
    last_seq: int
    cursor: int = 0
    num_seen: int = 0
    num_pictures: int = 0
    num_uploads: int = 0
    num_moved: int = 0
    num_bytes: int = 0
    attempts: int = 0
    next_at: datetime | None = None
    failure: str | None = None
    undone_at: datetime | None = None
    undone_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawnPicture:
    """A picture that a takedown took. seq: its place among all withdrawn ones."""

    seq: int
    takedown: TakedownId
    picture: StoredPicture


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedPicture:
    """A picture on the blocklist, whatever its file. pixels, pdq, quality: as in `PictureHash`; pixels is empty where
    an admin knew the PDQ hash alone."""

    pixels: str
    pdq: str
    quality: int
