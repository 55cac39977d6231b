"""A finding of an audit says how the picture was judged when it was delivered, and how it is judged now."""

from dataclasses import replace

import pytest

from mezzotint.domain.ids import JobId, OwnerId, Sha256, TenantId
from mezzotint.domain.safety.picture_audit import AuditCriteria, FoundIn
from mezzotint.domain.safety.takedown import PictureKind, StoredPicture
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.policy.safety.picture_audit import find_faults
from mezzotint.policy.safety.verdicts import SafetyVerdict
from tests.making import NOW

PICTURE = StoredPicture(
    seq=1,
    kind=PictureKind.DRAWN,
    tenant=TenantId("ada"),
    owner=OwnerId(""),
    png=Sha256("0" * 64),
    job=JobId("job_1"),
    created_at=NOW,
    verdict="blur",
    scores={"one": {"violence": 0.4, "sexual": None}, "two": {"violence": 0.5}},
    prompt_scores={"hate": 0.25, "violence": 0.1},
)
ALLOWED = ImageVerdict(verdict=SafetyVerdict.ALLOW, scores={"one": {"violence": 0.45}}, version="2")
BLOCKED = replace(
    ALLOWED, verdict=SafetyVerdict.BLOCK, category=SafetyCategory.VIOLENCE, scores={"one": {"violence": 0.9}}
)
SCORED = AuditCriteria(score_over=0.3)


@pytest.mark.parametrize(
    ("criteria", "prompt", "verdict", "found_in", "category", "now", "before"),
    [
        (AuditCriteria(), None, BLOCKED, FoundIn.PICTURE, "violence", "block", 0.5),
        (AuditCriteria(), "hate", BLOCKED, FoundIn.BOTH, "violence", "block", 0.5),
        (AuditCriteria(), "hate", ALLOWED, FoundIn.PROMPT, "hate", "block", 0.25),
        (AuditCriteria(), "hate", None, FoundIn.PROMPT, "hate", "block", 0.25),
        (AuditCriteria(), "self_harm", ALLOWED, FoundIn.PROMPT, "self_harm", "block", None),
        (SCORED, None, ALLOWED, FoundIn.PICTURE, "violence", "allow", 0.5),
    ],
)
def test_it_names_both_verdicts_and_the_score_of_the_class_then(
    criteria: AuditCriteria,
    prompt: str | None,
    verdict: ImageVerdict | None,
    found_in: FoundIn,
    category: str,
    now: str,
    before: float | None,
) -> None:
    found = find_faults(criteria, PICTURE, prompt, verdict)
    assert found is not None
    assert (found.found_in, found.category) == (found_in, category)
    assert (found.verdict_before, found.verdict_now, found.score_before) == ("blur", now, before)


def test_a_class_that_no_classifier_scored_then_has_no_score() -> None:
    sexual = replace(BLOCKED, category=SafetyCategory.SEXUAL, scores={"one": {"sexual": 0.9}})
    found = find_faults(AuditCriteria(), PICTURE, None, sexual)
    assert found is not None
    assert (found.score, found.score_before) == (0.9, None)
