from datetime import UTC, datetime, timedelta, tzinfo

import jwt
import pytest

from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Issuer
from mezzotint.gateway.auth.tokens import read_algorithm
from tests.fuzzing.corpus import tokens

SECRET = b"k" * 32
NOW = datetime.now(UTC).replace(microsecond=0)
GOOD = {
    "iss": "mezzotint",
    "aud": "mezzotint",
    "sub": "ada",
    "tier": "pro",
    "iat": NOW,
    "exp": NOW + timedelta(hours=1),
}


def signed(secret: bytes = SECRET, algorithm: str = "HS256", **changes: object) -> str:
    claims = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    return jwt.encode(claims, secret, algorithm=algorithm)


def test_a_token_tells_tenant_tier_and_end() -> None:
    issuer = Issuer(SECRET)
    claims = issuer.read(issuer.issue(TenantId("ada"), Tier.PAID, NOW, timedelta(hours=1)))
    assert claims is not None
    assert (claims.tenant, claims.tier, claims.expires_at) == ("ada", Tier.PAID, NOW + timedelta(hours=1))


def test_a_token_of_a_gateway_whose_clock_is_ahead_is_taken() -> None:
    assert Issuer(SECRET).read(signed(iat=NOW + timedelta(seconds=30))) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - timedelta(seconds=1)},
        {"exp": None},
        {"iss": "somebody"},
        {"aud": "another-service"},
        {"aud": None},
        {"tier": "emperor"},
        {"tier": None},
        {"sub": None},
        {"sub": 7},
        {"secret": b"x" * 32},
        {"algorithm": "HS512", "secret": b"k" * 64},
    ],
)
def test_a_token_that_is_not_ours_in_every_respect_is_refused(changes: dict[str, object]) -> None:
    assert Issuer(SECRET).read(signed(**changes)) is None  # type: ignore[arg-type]


def test_a_token_that_was_verified_before_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Later":
            return cls.fromtimestamp(NOW.timestamp() + 3600, tz)

    issuer = Issuer(SECRET)
    token, other = signed(), signed(exp=NOW + timedelta(hours=2))
    for _ in range(2):
        assert None not in (issuer.read(token), issuer.read(other))
    monkeypatch.setattr("mezzotint.gateway.auth.tokens.datetime", Later)
    assert issuer.read(token) is None
    assert issuer.read(other) is not None


def test_few_verified_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mezzotint.gateway.auth.tokens.MAX_KNOWN", 3)
    issuer = Issuer(SECRET)
    valid = [signed(sub=f"t{number}") for number in range(9)]
    for token in [*valid, signed(secret=b"x" * 32), *valid]:
        issuer.read(token)
    assert list(issuer._known) == valid[-3:]


@pytest.mark.parametrize("token", [one for one in tokens(SECRET)])
def test_a_claim_or_header_of_a_wrong_kind_makes_no_token(token: str) -> None:
    assert Issuer(SECRET).read(token) is None
    assert read_algorithm(token) in {"HS256", None}


def test_an_unsigned_token_is_refused() -> None:
    assert Issuer(SECRET).read(jwt.encode(GOOD, None, algorithm="none")) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "x" * 5000, "é.é.é"])
def test_nonsense_is_refused(token: str) -> None:
    assert Issuer(SECRET).read(token) is None
