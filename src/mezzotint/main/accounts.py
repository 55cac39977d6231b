"""Tenants, users, keys and the OIDC provider, as the settings say: for the server and for commands."""

from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from mezzotint.config import Settings, read_settings
from mezzotint.domain.errors import NotKnown, SettingInvalid
from mezzotint.gateway import Accounts, KeySet, OidcConfig, OidcProvider
from mezzotint.gateway.auth.oidc import read_from_file, read_from_url
from mezzotint.gateway.auth.oidc_sign_in import OidcSignIn
from mezzotint.gateway.network.addresses import is_loopback
from mezzotint.main.with_database import with_database
from mezzotint.store import Store

T = TypeVar("T")


def build_accounts(store: Store, settings: Settings) -> Accounts:
    """Raises: SettingInvalid."""
    provider = read_provider(settings)
    return Accounts(
        tenants=store.tenants,
        users=store.users,
        keys=store.keys,
        provider=provider,
        oidc_sign_in=build_oidc_sign_in(provider, settings),
        can_sign_up=settings.sign_up,
        session_lifetime=timedelta(days=settings.session_days),
    )


def read_provider(settings: Settings) -> OidcProvider | None:
    """The OIDC provider that the settings name; None when they name none. Raises: SettingInvalid."""
    given = {
        "oidc_issuer": settings.oidc_issuer,
        "oidc_audience": settings.oidc_audience,
        "oidc_jwks": settings.oidc_jwks,
    }
    missing = [name for name, value in given.items() if not value]
    if len(missing) == len(given):
        return None
    if missing or not (settings.oidc_issuer and settings.oidc_audience and settings.oidc_jwks):
        raise SettingInvalid(f"{missing[0]}: a provider takes {', '.join(given)} together")
    trust = OidcConfig(
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience,
        client_id=settings.oidc_client_id,
        tenant_claim=settings.oidc_tenant_claim,
        tenant_prefix=settings.oidc_tenant_prefix,
        tier_claim=settings.oidc_tier_claim,
        default_tier=settings.oidc_default_tier,
        role_claim=settings.oidc_role_claim,
        admin_role=settings.oidc_admin_role,
        manager_role=settings.oidc_manager_role,
    )
    return OidcProvider(trust, open_key_set(settings.oidc_jwks))


def build_oidc_sign_in(provider: OidcProvider | None, settings: Settings) -> OidcSignIn | None:
    """The page's way in through the provider; None without a client. Raises: SettingInvalid."""
    if settings.oidc_client_id is None:
        return None
    if provider is None or settings.oidc_issuer is None:
        raise SettingInvalid("oidc_client_id: a client takes a provider too: oidc_issuer, oidc_audience, oidc_jwks")
    parts = urlsplit(settings.oidc_issuer)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise SettingInvalid("oidc_issuer: people can only be sent to a provider with an https address")
    secret = settings.oidc_client_secret
    return OidcSignIn(
        provider=provider,
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        secret=secret.get_secret_value() if secret else "",
        fetch=read_from_url(f"{settings.oidc_issuer.rstrip('/')}/.well-known/openid-configuration"),
    )


def open_key_set(place: str) -> KeySet:
    """Raises: SettingInvalid."""
    parts = urlsplit(place)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return KeySet(read_from_url(place))
    if parts.scheme == "http":
        raise SettingInvalid("oidc_jwks: keys that come over plain http can be exchanged on the way; use https")
    if not Path(place).is_file():
        raise SettingInvalid(f"oidc_jwks: there is no file {place}")
    return KeySet(read_from_file(Path(place)))


def with_accounts(data: Path | None, work: Callable[[Accounts], Coroutine[None, None, T]]) -> T:
    """Run a command's work on the accounts; a server may work in the same database."""
    settings = read_settings(data=data)
    return with_database(settings, lambda database: work(build_accounts(Store(database), settings)))


def require_found(found: bool, kind: str, name: str) -> None:
    """Raises: NotKnown."""
    if not found:
        raise NotKnown(f"there is no {kind} {name[:80]!r}", f"{kind.rsplit(maxsplit=1)[-1]}s list")
