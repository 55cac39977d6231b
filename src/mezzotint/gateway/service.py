"""What the routes work with, and who is asking."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, assert_never

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from mezzotint.actions.finish import Desk
from mezzotint.actions.submit import Door
from mezzotint.actions.upload import Intake
from mezzotint.background import BackgroundTasks
from mezzotint.domain.claims import Claims, Scope, Via
from mezzotint.domain.event import LoadProgress
from mezzotint.domain.key import MARK
from mezzotint.gateway.auth import session_cookie
from mezzotint.gateway.auth.guess_limits import Guesses, read_slowly
from mezzotint.gateway.auth.oidc import Provider
from mezzotint.gateway.auth.tokens import Issuer, algorithm_of
from mezzotint.gateway.bodies.request_bodies import RequestBodies
from mezzotint.gateway.errors import GATEWAY_CODES, Answer
from mezzotint.gateway.forecast import Forecast
from mezzotint.gateway.rate_limits import Rates
from mezzotint.gateway.streams.open_streams import OpenStreams
from mezzotint.gateway.webhook_delivery import Courier
from mezzotint.store import Changes, Images, Keys, Ledger, Tenants, Users, Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Who is known here. provider: whose tokens are taken beside our own. can_sign_up: whether strangers may."""

    tenants: Tenants
    users: Users
    keys: Keys
    provider: Provider | None = None
    can_sign_up: bool = False
    session_lifetime: timedelta = field(default=timedelta(days=14))

    async def find_present(self, known: Sequence[Claims], now: datetime) -> list[Claims | None]:
        """What credentials that were let in before are worth at present; None for those that ended.

        A token lasts until its end, unless its tenant is disabled.
        """
        named = {via: {one.credential for one in known if one.via is via} for via in Via}
        sessions = await self.users.present(named[Via.SESSION], now) if named[Via.SESSION] else {}
        keys = await self.keys.present(named[Via.KEY], now) if named[Via.KEY] else {}
        by_token = {one.tenant for one in known if one.via is Via.TOKEN}
        disabled = await self.tenants.disabled_of(by_token) if by_token else set()

        def present(one: Claims) -> Claims | None:
            match one.via:
                case Via.SESSION:
                    return sessions.get(one.credential)
                case Via.KEY:
                    return keys.get(one.credential)
                case Via.TOKEN:
                    return None if one.tenant in disabled else one
                case _ as never:
                    assert_never(never)

        return [present(one) for one in known]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Everything the gateway is given. is_ready: whether the models that are to be warm are loaded. model_states: cold,
    loading or warm, by name, where that is known. loading: the model that is being brought into memory here. is_dev:
    the page signs in by itself. is_drained: whether the worker here is to take no more jobs. check_database:
    raises StorageUnavailable when it does not answer.

    public_url: how clients reach this server, without a slash at its end; None: as the request did.
    allowed_hosts: the names that a request's Host header may have beside this machine's own; None: any.
    metrics_token: what /metrics asks for; None: only this machine may read it.
    """

    door: Door
    desk: Desk
    images: Images
    ledger: Ledger
    changes: Changes
    courier: Courier
    forecast: Forecast
    intake: Intake
    issuer: Issuer
    accounts: Accounts
    workers: Workers
    now: Callable[[], datetime]
    is_ready: Callable[[], bool]
    check_database: Callable[[], Awaitable[None]]
    model_states: Callable[[], Mapping[str, str]] = dict
    loading: Callable[[], LoadProgress | None] = lambda: None
    rates: Rates = field(default_factory=Rates)
    guesses: Guesses = field(default_factory=Guesses)
    streams: OpenStreams = field(default_factory=OpenStreams)
    bodies: RequestBodies = field(default_factory=RequestBodies)
    is_dev: bool = False
    is_drained: Callable[[], bool] = lambda: False
    background: BackgroundTasks = field(default_factory=BackgroundTasks)
    public_url: str | None = None
    allowed_hosts: frozenset[str] | None = None
    metrics_token: str | None = None

    @asynccontextmanager
    async def open_stream(self, claims: Claims) -> AsyncIterator[None]:
        """Hold one of the tenant's streams while its credential lasts. Answers 429 beyond the limit, 401 at the end."""
        with self.rates.stream(claims):
            async with self.streams.while_valid(claims, self.now()):
                yield

    def share_read(self, model: str) -> float | None:
        """Of the model's weights, while it is being loaded here."""
        loading = self.loading()
        return None if loading is None or loading.model != model else loading.share


async def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


The = Annotated[Service, Depends(service_of)]
bearer = HTTPBearer(auto_error=False, description="An API key (`mz_...`) or a token.")
session = APIKeyCookie(
    name=session_cookie.PLAIN, auto_error=False, description="What POST /v1/sign-in sets, for the page."
)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
Cookie = Annotated[str | None, Depends(session)]
HINT = "Send `Authorization: Bearer <key or token>`; `mezzotint token --data DIR --tenant NAME --tier free` prints one."


async def signed_in(request: Request, service: The, _bearer: Bearer, _cookie: Cookie) -> Claims:
    """Who asks, if they may read (GET) or change (all else) what is theirs. Answers 401 or 403 otherwise."""
    claims = await claims_of(service, request, is_safe=request.method in {"GET", "HEAD"})
    await service.rates.count_tenant(request, claims)
    return with_scope(claims, Scope.READ if request.method in {"GET", "HEAD"} else Scope.WRITE)


async def admin_signed_in(request: Request, service: The, _bearer: Bearer, _cookie: Cookie) -> Claims:
    claims = await claims_of(service, request, is_safe=request.method in {"GET", "HEAD"})
    await service.rates.count_tenant(request, claims)
    return with_scope(claims, Scope.ADMIN)


SignedIn = Annotated[Claims, Depends(signed_in)]
Admin = Annotated[Claims, Depends(admin_signed_in)]


async def claims_of(service: Service, connection: HTTPConnection, *, is_safe: bool) -> Claims:
    """Who asks. is_safe: whether the request changes nothing, whichever page made it. Answers 401 or 403 otherwise."""
    scheme, _, credentials = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return await by_bearer(service, connection, credentials.strip())
    secret = session_cookie.secret_in(connection)
    if secret is None:
        raise Answer(401, "token_missing", GATEWAY_CODES["token_missing"], HINT)
    if not is_safe and not session_cookie.is_from_our_page(connection):
        hint = "Use the server's own page, or send an API key instead of the session_cookie."
        raise Answer(403, "cross_site", GATEWAY_CODES["cross_site"], hint)
    return await read_slowly(service.guesses, service.rates, connection, secret, partial(_by_session, service))


async def _by_session(service: Service, secret: str) -> Claims:
    claims = await service.accounts.users.in_session(secret, service.now())
    if claims is None:
        raise Answer(401, "session_invalid", GATEWAY_CODES["session_invalid"], "Sign in again.")
    return claims


async def by_bearer(service: Service, connection: HTTPConnection, credentials: str) -> Claims:
    """Who an API key or a token speaks for. Answers 401 or 403 otherwise, and 429 to one who guesses."""
    return await read_slowly(
        service.guesses, service.rates, connection, credentials, partial(_by_key_or_token, service)
    )


async def _by_key_or_token(service: Service, credentials: str) -> Claims:
    if not (credentials.isascii() and credentials.isprintable()):  # a key is looked up in the database
        raise Answer(401, "token_invalid", GATEWAY_CODES["token_invalid"], HINT)
    if credentials.startswith(MARK):
        claims = await service.accounts.keys.read(credentials, service.now())
        if claims is None:
            raise Answer(401, "key_invalid", GATEWAY_CODES["key_invalid"], "Make another: POST /v1/keys.")
        return claims
    claims = await _in_token(service, credentials)
    if claims is None:
        raise Answer(401, "token_invalid", GATEWAY_CODES["token_invalid"], HINT)
    tenant = await service.accounts.tenants.present(claims.tenant)
    if tenant is None:
        return claims
    if tenant.disabled_at is not None:
        raise Answer(403, "tenant_disabled", GATEWAY_CODES["tenant_disabled"], "Ask who runs this server.")
    return replace(claims, tier=min(claims.tier, tenant.tier, key=lambda tier: tier.rank))


async def _in_token(service: Service, token: str) -> Claims | None:
    provider = service.accounts.provider
    if provider is None:
        return service.issuer.read(token)
    match algorithm_of(token):
        case "HS256":
            return service.issuer.read(token)
        case "RS256" | "ES256":
            return await provider.read(token)
        case _:
            return None


def with_scope(claims: Claims, scope: Scope) -> Claims:
    if scope not in claims.scopes:
        hint = f'It takes a credential with the scope "{scope}"; yours has: {", ".join(sorted(claims.scopes))}.'
        raise Answer(403, "scope_missing", GATEWAY_CODES["scope_missing"], hint)
    return claims
