"""Decide what an audit reports of a picture."""

from math import isnan

from mezzotint.domain.safety.picture_audit import AuditCriteria, AuditFinding, FoundIn
from mezzotint.domain.safety.takedown import StoredPicture
from mezzotint.policy.safety.images import YOUNG_FACE, ImageVerdict, find_highest
from mezzotint.policy.safety.verdicts import SafetyVerdict


def find_faults(
    criteria: AuditCriteria, picture: StoredPicture, prompt_category: str | None, verdict: ImageVerdict | None
) -> AuditFinding | None:
    """The finding about a drawn picture; None: it passes today, too.

    prompt_category: what the text filter stops its prompt for. verdict: None where the file could not be read.
    """
    in_prompt = prompt_category is not None and _counts(criteria, prompt_category)
    seen = None if verdict is None else _look_at_verdict(criteria, verdict)
    if picture.job is None or picture.created_at is None or not (in_prompt or seen):
        return None
    category, score = seen or (prompt_category or "", None)
    now = SafetyVerdict.BLOCK if in_prompt or verdict is None else verdict.verdict
    return AuditFinding(
        picture=picture.seq,
        job=picture.job,
        tenant=picture.tenant,
        png=picture.png,
        made_at=picture.created_at,
        found_in=FoundIn.PROMPT if seen is None else FoundIn.BOTH if in_prompt else FoundIn.PICTURE,
        category=category,
        score=score,
        verdict_before=picture.verdict,
        verdict_now=now.value,
        score_before=picture.prompt_scores.get(category) if seen is None else _find_kept(picture, category),
    )


def _find_kept(picture: StoredPicture, category: str) -> float | None:
    """The picture's score of the category when it was delivered."""
    kept = [one[category] for one in picture.scores.values() if category in one]
    return max((score for score in kept if score is not None), default=None)


def _look_at_verdict(criteria: AuditCriteria, verdict: ImageVerdict) -> tuple[str, float | None] | None:
    """The category and the score for which the picture is reported; None: it is not."""
    highest = {name: score for name, score in find_highest(verdict.scores).items() if name != YOUNG_FACE}
    if verdict.verdict is not SafetyVerdict.ALLOW and _counts(criteria, verdict.category or ""):
        score = highest.get(verdict.category or "", max(highest.values(), default=None))
        return verdict.category or "", None if score is None or isnan(score) else score
    if criteria.score_over is None:
        return None
    over = {name: score for name, score in highest.items() if _counts(criteria, name) and score > criteria.score_over}
    name = max(over, key=lambda name: over[name], default=None)
    return None if name is None else (name, over[name])


def _counts(criteria: AuditCriteria, category: str) -> bool:
    return not criteria.categories or category in criteria.categories
