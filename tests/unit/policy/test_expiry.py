from datetime import UTC, datetime, timedelta

from mezzotint.domain.tier import Tier
from mezzotint.policy.expiry import expiry_cutoff, explain_expiry

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_free_jobs_expire_after_an_hour_and_others_never() -> None:
    assert expiry_cutoff(Tier.FREE, NOW) == NOW - timedelta(hours=1)
    assert expiry_cutoff(Tier.PAID, NOW) is None
    assert expiry_cutoff(Tier.PRO, NOW) is None


def test_the_owner_reads_why() -> None:
    error = explain_expiry(Tier.FREE)
    assert error.code == "waited_too_long"
    assert error.message == "The job waited more than 60 minutes in the free lane."
    assert error.hint
