"""Decide about takedowns: whether a selection can be used, how much it takes, and who learns that a picture is gone."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from mezzotint.domain.claims import Claims
from mezzotint.domain.ids import JobId, OwnerId, Sha256, TenantId
from mezzotint.domain.safety.takedown import (
    PictureKind,
    PictureSelection,
    StoredPicture,
    Takedown,
    TakedownPhase,
    TakedownPlan,
)
from mezzotint.domain.tenant import is_tenant_name
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.visibility import Access, decide_access

MAX_NAMED = 1000
"""Pictures that one takedown names one by one."""
MAX_WORDS = 8
MAX_WORD_LETTERS = 200
CONTENT = re.compile(r"[0-9a-f]{64}")
ADDRESS = re.compile(r"(?:.*/i/)?([0-9a-fA-F]{64})(?:\.(?:webp|png)(?:[?#].*)?)?", re.DOTALL)
JOB = re.compile(r"(?:.*/jobs/)?(job_[0-9a-f]{24})(?:[/?#].*)?", re.DOTALL)


class SelectionInvalid(ValueError):
    """A selection cannot be used. param: the condition that is wrong."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


def read_picture_names(names: Iterable[str]) -> tuple[tuple[Sha256, ...], tuple[JobId, ...]]:
    """The hashes and the jobs that an admin names: by address, by SHA-256 of a file, or by the id of a job.

    Programs write hashes in small or in capital letters.

    Raises: SelectionInvalid.
    """
    contents: list[Sha256] = []
    jobs: list[JobId] = []
    for name in names:
        if match := JOB.fullmatch(name.strip()):
            jobs.append(JobId(match[1]))
        elif match := ADDRESS.fullmatch(name.strip()):
            contents.append(Sha256(match[1].lower()))
        else:
            message = f"{name[:100]!r} is no picture: use its address (/i/...), the SHA-256 of its file, or a job's id."
            raise SelectionInvalid(message, "pictures")
    return tuple(dict.fromkeys(contents)), tuple(dict.fromkeys(jobs))


def check_selection(selection: PictureSelection) -> None:
    """Refuse a selection that takes everything, or that holds what cannot be. Raises: SelectionInvalid."""
    if selection == PictureSelection():
        message = "It selects everything: name pictures, near hashes, a tenant, words, categories or a time."
        raise SelectionInvalid(message, "pictures")
    if len(selection.contents) + len(selection.jobs) + len(selection.near) > MAX_NAMED:
        raise SelectionInvalid(f"It names more than {MAX_NAMED} pictures: make several takedowns.", "pictures")
    if any(not CONTENT.fullmatch(one) for one in selection.near):
        raise SelectionInvalid("A perceptual hash is PDQ's, in 64 hexadecimal digits.", "near")
    if selection.tenant is not None and not is_tenant_name(selection.tenant):
        raise SelectionInvalid("There is no tenant of such a name.", "tenant")
    if len(selection.words) > MAX_WORDS or any(not 0 < len(word) <= MAX_WORD_LETTERS for word in selection.words):
        raise SelectionInvalid(f"Use at most {MAX_WORDS} words of 1 to {MAX_WORD_LETTERS} letters.", "words")
    for name in selection.categories:
        if name not in list(SafetyCategory):
            raise SelectionInvalid(f"{name[:40]!r} is no category: {', '.join(SafetyCategory)}.", "categories")
    if selection.since and selection.until and selection.since >= selection.until:
        raise SelectionInvalid("The time ends before it begins.", "until")


def is_named(selection: PictureSelection, picture: StoredPicture) -> bool:
    """Tell whether the selection names the picture by its hash or job."""
    return picture.png in selection.contents or picture.webp in selection.contents or picture.job in selection.jobs


def extend_plan(plan: TakedownPlan, pictures: Sequence[StoredPicture], num_bytes: int) -> TakedownPlan:
    """The plan with more pictures, none of them counted before."""
    drawn = Counter(one.tenant for one in pictures if one.kind is PictureKind.DRAWN)
    uploaded = Counter(one.tenant for one in pictures if one.kind is PictureKind.UPLOADED)
    return replace(
        plan,
        pictures_of=Counter(plan.pictures_of) + drawn,
        uploads_of=Counter(plan.uploads_of) + uploaded,
        num_bytes=plan.num_bytes + num_bytes,
    )


def sees_tombstone(claims: Claims, owners: Iterable[tuple[TenantId, OwnerId]]) -> bool:
    """Tell whether a caller is told that a picture was taken down: as those are who saw it in their lists before."""
    return any(decide_access(claims, tenant, owner) is not Access.NONE for tenant, owner in owners)


def can_undo(takedown: Takedown, now: datetime) -> bool:
    """Tell whether a takedown that is done can still be undone."""
    return takedown.phase in {TakedownPhase.PURGING, TakedownPhase.DONE} and now < takedown.ends_at
