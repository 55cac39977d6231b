"""One function decides who in a tenant may see and change whose things."""

import pytest

from mezzotint.domain.claims import Claims, Role, scopes_of
from mezzotint.domain.ids import OF_TENANT, OwnerId, TenantId, UserId
from mezzotint.domain.tenant import Visibility
from mezzotint.domain.tier import Tier
from mezzotint.policy.visibility import Access, decide_access, own, visible_owners

ACME, ADA = TenantId("acme"), OwnerId("usr_ada")
TABLE = {
    # setting: what a colleague, a manager and an admin of the same tenant may do with what ada made
    Visibility.PRIVATE: (Access.NONE, Access.NONE, Access.NONE),
    Visibility.MANAGERS: (Access.NONE, Access.CHANGE, Access.CHANGE),
    Visibility.SHARED: (Access.SEE, Access.CHANGE, Access.CHANGE),
}


def claims(
    user: str | None,
    role: Role = Role.USER,
    visibility: Visibility = Visibility.PRIVATE,
    *,
    tenant: str = "acme",
    subject: str = "",
) -> Claims:
    return Claims(
        tenant=TenantId(tenant),
        tier=Tier.FREE,
        expires_at=None,
        scopes=scopes_of(role),
        user=None if user is None else UserId(user),
        subject=subject,
        visibility=visibility,
    )


@pytest.mark.parametrize("visibility", Visibility)
def test_the_setting_decides_what_others_of_the_tenant_may_do(visibility: Visibility) -> None:
    told = tuple(decide_access(claims("usr_bob", role, visibility), ACME, ADA) for role in Role)
    assert told == TABLE[visibility]


@pytest.mark.parametrize("visibility", Visibility)
@pytest.mark.parametrize("role", Role)
def test_an_owner_changes_and_a_stranger_sees_nothing_whatever_the_setting(role: Role, visibility: Visibility) -> None:
    assert decide_access(claims("usr_ada", role, visibility), ACME, ADA) is Access.CHANGE
    assert decide_access(claims("usr_ada", role, visibility, tenant="other"), ACME, ADA) is Access.NONE
    assert decide_access(claims(None, role, visibility, tenant="other"), ACME, OF_TENANT) is Access.NONE


def test_what_has_no_owner_is_everybodys_of_the_tenant() -> None:
    assert decide_access(claims("usr_bob"), ACME, OF_TENANT) is Access.CHANGE


def test_credentials_without_a_user_make_things_of_one_owner_and_people_of_a_provider_have_their_own() -> None:
    token, person, other = claims(None), claims(None, subject="oidc:1"), claims(None, subject="oidc:2")
    assert token.owner == "sub:acme"
    assert decide_access(token, ACME, claims(None).owner) is Access.CHANGE
    assert decide_access(person, ACME, other.owner) is Access.NONE
    assert decide_access(claims("usr_ada"), ACME, token.owner) is Access.NONE


@pytest.mark.parametrize("visibility", Visibility)
@pytest.mark.parametrize("role", Role)
def test_the_owners_whose_things_are_found_are_those_that_may_be_seen(role: Role, visibility: Visibility) -> None:
    bob = claims("usr_bob", role, visibility)
    owners = visible_owners(bob)
    is_seen = decide_access(bob, ACME, ADA) >= Access.SEE
    assert is_seen == (owners is None or ADA in owners)
    assert owners is None or owners == own(bob)
