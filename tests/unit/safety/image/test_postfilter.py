"""The image filter, with its real weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from PIL import Image

from mezzotint.domain.tier import Tier
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.dial import Tightening
from mezzotint.policy.safety.document import SafetyPolicy
from mezzotint.policy.safety.image_classifiers import ClassifierEntry, ImageUse
from mezzotint.policy.safety.overrides import NO_OVERRIDES, SafetyOverrides
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.safety.image.loading import NoClassifier, load_postfilter
from mezzotint.safety.image.perceptual_hash import HashIndex, hash_picture
from mezzotint.safety.image.postfilter import LoadedClassifier, PostFilter
from mezzotint.safety.policy_file import load_policy
from tests.unit.safety.image.conftest import draw_apple

NAN = float("nan")


def make_policy(image: Mapping[str, object], **more: object) -> SafetyPolicy:
    return SafetyPolicy.model_validate({"version": "test", "image": image, **more})


@dataclass
class FixedScores:
    """A classifier that gives every picture the same scores, and counts the pictures."""

    scores: Mapping[str, float]
    name: str = "fixed"
    version: str = "1"
    num_asked: int = 0
    classes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        self.classes = self.classes or tuple(self.scores)

    def score(self, image: Image.Image) -> Mapping[str, float]:
        self.num_asked += 1
        return self.scores


def make_filter(
    policy: SafetyPolicy, *classifiers: FixedScores, overrides: SafetyOverrides = NO_OVERRIDES
) -> PostFilter:
    entry = ClassifierEntry(kind="graphic", uses=tuple(ImageUse))
    loaded = [LoadedClassifier(name=str(number), entry=entry, classifier=one) for number, one in enumerate(classifiers)]
    return PostFilter(loaded, policy, overrides=lambda: overrides)


@pytest.mark.parametrize("side", [16, 64, 256, 500])
def test_a_drawn_apple_passes_at_any_size(postfilter: PostFilter, side: int) -> None:
    verdict = postfilter.check(draw_apple(side))
    assert verdict.verdict is SafetyVerdict.ALLOW
    assert set(verdict.scores) == {"open_nsfw", "graphic"}
    assert all(0 <= score < 0.2 for scores in verdict.scores.values() for score in scores.values())


def test_a_picture_that_a_classifier_takes_for_explicit_is_judged_by_the_policy_of_its_use_and_tier(
    postfilter: PostFilter, suspicious: Image.Image
) -> None:
    score = postfilter.check(suspicious).scores["open_nsfw"]["sexual"]
    assert score > 0.5
    policy = load_policy().model_dump()
    policy["image"]["finished"]["sexual"] = {"review": score / 2, "blur": score, "block": float(np.nextafter(score, 1))}
    policy["tiers"] = {"pro": {"image": {"finished": {"sexual": {"block": score}}}}}
    judging = load_postfilter(SafetyPolicy.model_validate(policy))
    blurred = judging.check(suspicious, Tier.FREE)
    assert (blurred.verdict, blurred.category) == (SafetyVerdict.BLUR, SafetyCategory.SEXUAL)
    assert judging.check(suspicious, Tier.PRO).verdict is SafetyVerdict.BLOCK


def test_the_same_picture_has_the_same_scores_whatever_its_mode(postfilter: PostFilter, apple: Image.Image) -> None:
    scores = postfilter.check(apple).scores
    with_alpha = apple.copy()
    with_alpha.putalpha(255)
    assert postfilter.check(apple).scores == scores
    assert postfilter.check(with_alpha).scores == scores


@pytest.mark.parametrize("colour", ["black", "white", (40, 40, 40), (200, 20, 20), (224, 172, 105)])
@pytest.mark.parametrize("size", [(64, 64), (64, 320), (1, 1), (320, 48)])
def test_pictures_of_one_colour_pass(postfilter: PostFilter, colour: str, size: tuple[int, int]) -> None:
    verdict = postfilter.check(Image.new("RGB", size, colour))
    assert verdict.verdict is SafetyVerdict.ALLOW
    assert verdict.scores["graphic"] == {"sexual": 0.0, "violence": 0.0}


def test_a_preview_is_blocked_from_a_lower_score_than_a_picture(
    postfilter: PostFilter, suspicious: Image.Image
) -> None:
    assert postfilter.check(suspicious).verdict is SafetyVerdict.ALLOW
    assert postfilter.is_preview_blocked(suspicious)
    assert not postfilter.is_preview_blocked(draw_apple(64))


def test_no_preview_is_shown_of_what_would_be_blocked_as_a_picture(apple: Image.Image) -> None:
    policy = make_policy({"finished": {"sexual": 0.4}, "preview": {"sexual": 1}})
    assert make_filter(policy, FixedScores({"sexual": 0.4})).is_preview_blocked(apple)


def test_an_upload_that_is_not_simply_allowed_is_refused(apple: Image.Image) -> None:
    policy = make_policy({"upload": {"violence": {"review": 0.2, "block": 0.9}}})
    assert make_filter(policy, FixedScores({"violence": 0.3})).judge_upload(apple).verdict is not SafetyVerdict.ALLOW
    assert make_filter(policy, FixedScores({"violence": 0.1})).judge_upload(apple).verdict is SafetyVerdict.ALLOW


def test_the_dial_blocks_from_a_lower_score_until_it_gives_back(apple: Image.Image) -> None:
    policy = make_policy({use.value: {"violence": 0.8, "sexual": 0.8} for use in ImageUse})
    scores = FixedScores({"violence": 0.7, "sexual": 0.7})
    assert make_filter(policy, scores).check(apple).verdict is SafetyVerdict.ALLOW
    now = datetime.now(UTC)
    tight = Tightening(
        id="tgt_1",
        category=SafetyCategory.VIOLENCE,
        by=0.2,
        starts_at=now - timedelta(hours=1),
        ends_at=now + timedelta(hours=1),
        author="ops/sub:ops",
        reason="a wave",
    )
    strict = make_filter(policy, scores, overrides=SafetyOverrides(version=1, tightenings=(tight,)))
    verdict = strict.check(apple)
    assert (verdict.verdict, verdict.category) == (SafetyVerdict.BLOCK, SafetyCategory.VIOLENCE)
    assert strict.is_preview_blocked(apple)
    assert strict.judge_upload(apple).verdict is not SafetyVerdict.ALLOW
    over = SafetyOverrides(version=1, tightenings=(replace(tight, ends_at=now),))
    assert make_filter(policy, scores, overrides=over).check(apple).verdict is SafetyVerdict.ALLOW


@pytest.mark.parametrize("scores", [{"sexual": NAN}, {"violence": NAN}, {"hate": NAN, "sexual": 0.0}])
def test_a_score_that_is_not_a_number_blocks_even_without_a_threshold(
    apple: Image.Image, scores: dict[str, float]
) -> None:
    judging = make_filter(make_policy({"finished": {"sexual": 0.8}}), FixedScores({"sexual": 0.0}), FixedScores(scores))
    assert judging.check(apple).verdict is SafetyVerdict.BLOCK


def test_a_classifier_that_leaves_out_a_class_blocks(apple: Image.Image) -> None:
    judging = make_filter(make_policy({"finished": {"sexual": 0.8}}), FixedScores({}, classes=("sexual",)))
    assert judging.check(apple).verdict is SafetyVerdict.BLOCK


def test_the_highest_score_among_classifiers_counts(apple: Image.Image) -> None:
    policy = make_policy({"finished": {"sexual": 0.8, "violence": 0.7}})
    judging = make_filter(policy, FixedScores({"sexual": 0.1, "violence": 0.75}), FixedScores({"sexual": 0.2}))
    verdict = judging.check(apple)
    assert (verdict.verdict, verdict.category) == (SafetyVerdict.BLOCK, SafetyCategory.VIOLENCE)
    assert verdict.scores == {"0": {"sexual": 0.1, "violence": 0.75}, "1": {"sexual": 0.2}}


def test_a_young_face_and_a_sexual_score_far_below_its_threshold_are_blocked_together(apple: Image.Image) -> None:
    policy = make_policy({"finished": {"sexual": 0.8}})
    faces, sexual = FixedScores({"young_face": 0.9}), FixedScores({"sexual": 0.35})
    verdict = make_filter(policy, faces, sexual).check(apple)
    assert (verdict.verdict, verdict.category) == (SafetyVerdict.BLOCK, SafetyCategory.SEXUAL_MINORS)
    assert make_filter(policy, FixedScores({"young_face": 0.1}), sexual).check(apple).verdict is SafetyVerdict.ALLOW


def test_faces_are_not_looked_for_where_nothing_sexual_is_seen(apple: Image.Image) -> None:
    faces = FixedScores({"young_face": 1.0})
    judging = make_filter(make_policy({"finished": {"sexual": 0.8}}), faces, FixedScores({"sexual": 0.1}))
    assert judging.check(apple).verdict is SafetyVerdict.ALLOW
    assert faces.num_asked == 0


def test_a_near_copy_of_a_blocked_picture_is_blocked() -> None:
    grey = np.random.default_rng(7).integers(0, 256, (12, 12), np.uint8)
    noise = Image.fromarray(grey).resize((192, 192), Image.Resampling.BICUBIC).convert("RGB")
    judging = make_filter(make_policy({"finished": {"sexual": 0.8}}), FixedScores({"sexual": 0.0}))
    assert judging.check(noise).verdict is SafetyVerdict.ALLOW
    judging.blocked_pictures = HashIndex([("taken down", hash_picture(noise))])
    mirrored = noise.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((150, 150))
    assert judging.check(mirrored).verdict is SafetyVerdict.BLOCK
    assert judging.judge_upload(mirrored).verdict is not SafetyVerdict.ALLOW


def test_the_version_changes_with_the_policy_and_the_classifiers(apple: Image.Image) -> None:
    policy = make_policy({})
    versions = {
        make_filter(policy, FixedScores({"sexual": 0.0}, version="1")).version,
        make_filter(policy, FixedScores({"sexual": 0.0}, version="2")).version,
        make_filter(SafetyPolicy(version="other"), FixedScores({"sexual": 0.0}, version="1")).version,
    }
    assert len(versions) == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image": {"upload": {"hate": 0.5}}}, "a threshold for hate"),
        ({"image": {"preview": {"violence": 0.5}}}, "a threshold for violence"),
        ({"classifiers": {"open_nsfw": {"uses": ["finished", "preview", "upload"]}}, "image": {}}, "young faces"),
    ],
)
def test_a_policy_that_no_classifier_can_keep_is_refused(change: dict[str, object], says: str) -> None:
    policy = SafetyPolicy.model_validate(load_policy().model_dump() | change)
    with pytest.raises(NoClassifier, match=says):
        load_postfilter(policy)


def test_the_hash_of_a_picture_that_is_delivered_as_it_is_comes_with_its_verdict() -> None:
    policy = make_policy({"finished": {"sexual": {"blur": 0.4, "block": 0.8}}, "preview": {"sexual": 0.9}})
    apple = draw_apple(128)
    seen = make_filter(policy, FixedScores({"sexual": 0.1}))
    known = hash_picture(apple)
    verdict = seen.check(apple)
    assert (verdict.pdq, verdict.pdq_quality) == (known.pdq, known.quality)
    assert seen.check(apple, Tier.FREE, ImageUse.PREVIEW).pdq is None
    assert make_filter(policy, FixedScores({"sexual": 0.5})).check(apple).pdq is None, "it is delivered blurred"
