"""The service: everything that the routes use."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import assert_never

from mezzotint.actions.finish import BackingServices
from mezzotint.actions.review import Reviews
from mezzotint.actions.safety.controls import SafetyControls
from mezzotint.actions.submit import Admission
from mezzotint.actions.takedown.work import TakedownWork
from mezzotint.actions.upload import JudgePicture, Uploader
from mezzotint.background import BackgroundTasks
from mezzotint.domain.claims import Claims, Via
from mezzotint.domain.event import LoadProgress
from mezzotint.gateway.auth.guess_limits import GuessLimits
from mezzotint.gateway.auth.oidc import OidcProvider
from mezzotint.gateway.auth.oidc_sign_in import OidcSignIn
from mezzotint.gateway.auth.tokens import Issuer
from mezzotint.gateway.bodies.request_bodies import RequestBodies
from mezzotint.gateway.forecast import Forecast
from mezzotint.gateway.rate_limits import RateLimits
from mezzotint.gateway.streams.open_streams import OpenStreams
from mezzotint.gateway.webhook_delivery import WebhookSender
from mezzotint.provenance import PictureSigner
from mezzotint.store import Changes, Images, Keys, Ledger, Tenants, Users, Workers
from mezzotint.store.fleet.counts import FleetCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Tenants, users and keys. provider: an OIDC provider whose tokens are accepted too; oidc_sign_in: the page's
    way in through it. can_sign_up: anybody may."""

    tenants: Tenants
    users: Users
    keys: Keys
    provider: OidcProvider | None = None
    oidc_sign_in: OidcSignIn | None = None
    can_sign_up: bool = False
    session_lifetime: timedelta = field(default=timedelta(days=14))

    async def refresh_claims(self, known: Sequence[Claims], now: datetime) -> list[Claims | None]:
        """Read again the claims of credentials that were accepted before; None for those that ended.

        A token lasts until its end, unless its tenant is disabled.
        """
        named = {via: {one.credential for one in known if one.via is via} for via in Via}
        sessions = await self.users.present(named[Via.SESSION], now) if named[Via.SESSION] else {}
        keys = await self.keys.present(named[Via.KEY], now) if named[Via.KEY] else {}
        by_token = {one.tenant for one in known if one.via is Via.TOKEN}
        tenants = await self.tenants.find(by_token) if by_token else {}

        def present(one: Claims) -> Claims | None:
            match one.via:
                case Via.SESSION:
                    return sessions.get(one.credential)
                case Via.KEY:
                    return keys.get(one.credential)
                case Via.TOKEN:
                    tenant = tenants.get(one.tenant)
                    if tenant is None or tenant.disabled_at is not None:
                        return one if tenant is None else None
                    return replace(one, visibility=tenant.visibility)
                case _ as never:
                    assert_never(never)

        return [present(one) for one in known]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Everything that the routes use. is_ready: the models that must be warm are loaded. model_states: name -> cold,
    loading or warm, if known. loading: the model that this process loads at the moment. is_dev: the page signs in by
    itself. is_drained: the worker here takes no more jobs. is_stopping: the process ends soon. check_database: raises
    StorageUnavailable if the database does not answer; check_storage: the same for the object store, and StorageFull.

    region: the label of the place where this process runs; empty: none.
    public_url: the URL by which clients reach this server, without a slash at its end; None: the request's own.
    fits_sizes: whether pictures of sizes that a model cannot draw are drawn at its nearest and resized.
    path_prefix: the path under which clients reach it, such as /paint; empty: at the root of its host.
    cors_origins: whose pages may send requests from scripts.
    allowed_hosts: the names that a request's Host header may have beside this machine's own; None: any.
    metrics_token: the bearer token of /metrics; None: only this machine may read it.
    signer: signs files that are made from a stored picture when it is asked for; None: they are not signed.
    trust_anchors: authorities whose signatures count as trusted, PEM.
    """

    admission: Admission
    backing: BackingServices
    images: Images
    ledger: Ledger
    changes: Changes
    webhook_sender: WebhookSender
    forecast: Forecast
    uploader: Uploader
    judge_picture: JudgePicture
    issuer: Issuer
    accounts: Accounts
    workers: Workers
    fleet_counts: FleetCounts
    takedowns: TakedownWork
    reviews: Reviews
    safety: SafetyControls
    now: Callable[[], datetime]
    is_ready: Callable[[], bool]
    check_database: Callable[[], Awaitable[None]]
    check_storage: Callable[[], Awaitable[None]]
    model_states: Callable[[], Mapping[str, str]] = dict
    loading: Callable[[], LoadProgress | None] = lambda: None
    rate_limits: RateLimits = field(default_factory=RateLimits)
    guess_limits: GuessLimits = field(default_factory=GuessLimits)
    streams: OpenStreams = field(default_factory=OpenStreams)
    bodies: RequestBodies = field(default_factory=RequestBodies)
    is_dev: bool = False
    region: str = ""
    is_drained: Callable[[], bool] = lambda: False
    is_stopping: Callable[[], bool] = lambda: False
    background: BackgroundTasks = field(default_factory=BackgroundTasks)
    public_url: str | None = None
    fits_sizes: bool = False
    path_prefix: str = ""
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: frozenset[str] | None = None
    metrics_token: str | None = None
    signer: PictureSigner | None = None
    trust_anchors: str = ""

    @asynccontextmanager
    async def open_stream(self, claims: Claims) -> AsyncIterator[None]:
        """Hold one of the tenant's streams while its credential lasts. Answers 429 beyond the limit, 401 at the end."""
        with self.rate_limits.stream(claims):
            async with self.streams.while_valid(claims, self.now()):
                yield

    def share_read(self, model: str) -> float | None:
        """The share of the model's weights that is read; None unless this process loads it."""
        loading = self.loading()
        return None if loading is None or loading.model != model else loading.share
