from mezzotint.domain.tier import Tier, limits_of
from mezzotint.policy.admission.quota import LaneAssignment, assign_lane


def test_a_tenant_within_its_quota_waits_in_its_tiers_lane() -> None:
    assert assign_lane(Tier.PRO, used_s=0.0) == LaneAssignment(lane=Tier.PRO)
    assert assign_lane(Tier.PAID, used_s=99.0, quota_s=100.0) == LaneAssignment(lane=Tier.PAID)


def test_beyond_the_quota_jobs_go_to_the_free_lane_and_are_not_refused() -> None:
    quota_s = limits_of(Tier.PRO).quota_s
    assert quota_s is not None
    assert assign_lane(Tier.PRO, used_s=quota_s) == LaneAssignment(lane=Tier.FREE, is_over_quota=True)
    assert assign_lane(Tier.PAID, used_s=0.0, quota_s=0.0) == LaneAssignment(lane=Tier.FREE, is_over_quota=True)


def test_free_has_no_lower_lane() -> None:
    assert assign_lane(Tier.FREE, used_s=1e9) == LaneAssignment(lane=Tier.FREE)
    assert assign_lane(Tier.FREE, used_s=1e9, quota_s=1.0) == LaneAssignment(lane=Tier.FREE)
