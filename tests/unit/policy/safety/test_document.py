"""The safety policy's document: what it takes, what it refuses, and which thresholds hold for whom."""

import pytest
from pydantic import ValidationError

from mezzotint.domain.tier import Tier
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.document import ImageUse, LanguageGroup, SafetyPolicy
from mezzotint.policy.safety.verdicts import Thresholds


def read(**fields: object) -> SafetyPolicy:
    return SafetyPolicy.model_validate({"version": "1", **fields})


def test_a_bare_number_is_the_score_from_which_is_blocked() -> None:
    policy = read(text={"english": {"hate": 0.7, "any": {"review": 0.3, "block": 0.9}}})
    assert policy.text_thresholds(LanguageGroup.ENGLISH, Tier.FREE) == {
        "hate": Thresholds(block=0.7),
        "any": Thresholds(review=0.3, block=0.9),
    }
    assert policy.text_thresholds(LanguageGroup.UNKNOWN, Tier.FREE) == {}


def test_a_tier_replaces_entries_of_the_common_tables_and_keeps_the_rest() -> None:
    pro = {"image": {"finished": {"violence": 0.9}}, "text": {"known": {"hate": 0.95}}}
    policy = read(
        text={"known": {"hate": 0.5, "sexual": 0.6}}, image={"finished": {"violence": 0.4}}, tiers={"pro": pro}
    )
    assert policy.text_thresholds(LanguageGroup.KNOWN, Tier.PRO) == {
        "hate": Thresholds(block=0.95),
        "sexual": Thresholds(block=0.6),
    }
    assert policy.text_thresholds(LanguageGroup.KNOWN, Tier.FREE)["hate"] == Thresholds(block=0.5)
    assert policy.image_thresholds(ImageUse.FINISHED, Tier.PRO) == {"violence": Thresholds(block=0.9)}
    assert policy.image_thresholds(ImageUse.FINISHED, Tier.PAID) == {"violence": Thresholds(block=0.4)}


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"text": {"english": {"sexual_minors": 0.9}}}, "always blocked"),
        ({"tiers": {"pro": {"image": {"finished": {"sexual_minors": 0.9}}}}}, "always blocked"),
        ({"text": {"english": {"naughtiness": 0.9}}}, "is no category"),
        ({"text": {"english": {"hate": {"blur": 0.9}}}}, "cannot be blurred"),
        ({"text": {"english": {"hate": {"review": 0.8, "block": 0.8}}}}, "review must be below block"),
        ({"image": {"finished": {"hate": {"review": 0.8, "blur": 0.5}}}}, "review must be below blur"),
        ({"text": {"english": {"hate": 1.2}}}, "less than or equal to 1"),
        ({"text": {"elvish": {"hate": 0.5}}}, "english"),
        ({"thresholds": {}}, "Extra inputs"),
        ({"version": ""}, "at least 1 character"),
        ({"grey": {"high": 0.5}}, "greater than or equal to 1"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(fields: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        read(**fields)


def test_every_category_has_words_for_its_refusal() -> None:
    for category in SafetyCategory:
        assert category.about
        assert category.hint.endswith((".", "country."))
