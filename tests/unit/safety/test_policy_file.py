"""The file of the safety policy is read, and a wrong one stops the start with a reason."""

from pathlib import Path

import pytest

from mezzotint.domain.tier import Tier
from mezzotint.policy.safety.categories import ANY, SafetyCategory
from mezzotint.policy.safety.document import ImageUse, LanguageGroup
from mezzotint.safety.policy_file import SafetyPolicyInvalid, load_policy


def test_the_built_in_policy_has_a_threshold_for_each_category_and_language_group() -> None:
    policy = load_policy()
    for group in LanguageGroup:
        names = policy.text_thresholds(group, Tier.FREE)
        assert set(names) == {ANY, *(category for category in SafetyCategory if category.has_threshold)}
    for use in ImageUse:
        assert policy.image_thresholds(use, Tier.FREE)["sexual"].block is not None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('version = "1"\n[text.english]\nsexual_minors = 0.5', "always blocked"),
        ('version = "1"\n[text.english]\nhate = "high"', "hate"),
        ("version = ", "Invalid value"),
        ("", "version"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_what_is_wrong(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(SafetyPolicyInvalid) as raised:
        load_policy(path)
    assert str(path) in str(raised.value)
    assert reason in str(raised.value)


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SafetyPolicyInvalid, match="absent"):
        load_policy(tmp_path / "absent.toml")
