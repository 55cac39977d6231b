"""The rule by which every route decides who in a tenant sees and changes jobs, pictures, uploads and webhooks."""

from enum import IntEnum
from typing import assert_never

from mezzotint.domain.claims import Claims
from mezzotint.domain.ids import OF_TENANT, OwnerId, TenantId
from mezzotint.domain.tenant import Visibility


class Access(IntEnum):
    """The right of a caller to a resource; each includes those before it."""

    NONE = 0
    SEE = 1
    CHANGE = 2


def decide_access(claims: Claims, tenant: TenantId, owner: OwnerId) -> Access:
    """tenant, owner: whose the thing is."""
    if tenant != claims.tenant:
        return Access.NONE
    if owner in own(claims):
        return Access.CHANGE
    if not sees_tenant(claims):
        return Access.NONE
    return Access.CHANGE if claims.is_manager else Access.SEE


def sees_tenant(claims: Claims) -> bool:
    """Tell whether the caller sees what others of the tenant made."""
    match claims.visibility:
        case Visibility.PRIVATE:
            return False
        case Visibility.MANAGERS:
            return claims.is_manager
        case Visibility.SHARED:
            return True
        case _ as never:
            assert_never(never)


def own(claims: Claims) -> frozenset[OwnerId]:
    """The owners whose things are the caller's own."""
    return frozenset({claims.owner, OF_TENANT})


def visible_owners(claims: Claims) -> frozenset[OwnerId] | None:
    """The owners in the tenant whose things the caller sees; None: all."""
    return None if sees_tenant(claims) else own(claims)
