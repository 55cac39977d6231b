"""The gateway's parts, put together over a store. `serve`, benchmarks and tests replace what they have of their own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from PIL.Image import Image

from mezzotint.actions.finish import BackingServices
from mezzotint.actions.fleet_placement import FleetPlacement
from mezzotint.actions.overload import Overload
from mezzotint.actions.review import Reviews, with_originals
from mezzotint.actions.safety.controls import SafetyControls
from mezzotint.actions.screen import JudgeText, TextScreen
from mezzotint.actions.submit import Admission
from mezzotint.actions.takedown.work import QUARANTINE, TakedownWork
from mezzotint.actions.upload import Uploader
from mezzotint.domain.model import ModelInfo
from mezzotint.domain.tier import Tier
from mezzotint.gateway.auth.tokens import Issuer
from mezzotint.gateway.forecast import Forecast
from mezzotint.gateway.safe_http import PublicOnlyClient
from mezzotint.gateway.service import Accounts, Service
from mezzotint.gateway.webhook_delivery import WebhookSender
from mezzotint.policy.safety.document import OriginalsPolicy
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.store import EncryptedObjects, Store, read_pressure


class PictureFilter(Protocol):
    """Judges pictures; takes tens of milliseconds, in the caller's thread."""

    def check(self, image: Image, tier: Tier, /) -> ImageVerdict:
        """Judge a finished picture."""
        ...

    def judge_upload(self, image: Image, tier: Tier, /) -> ImageVerdict:
        """Judge a picture that a user brings."""
        ...


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """screen: the text filter. safety: how admins change what the filters refuse."""

    screen: TextScreen
    image_filter: PictureFilter
    safety: SafetyControls


def build_service(
    store: Store, backing: BackingServices, *, issuer: Issuer, models: Sequence[ModelInfo], filters: Filters
) -> Service:
    """A service that is ready at once and has no worker. models: the default first."""
    return Service(
        admission=Admission(
            jobs=store.jobs,
            refusals=store.refusals,
            submissions=store.submissions,
            uploads=store.uploads,
            bus=backing.bus,
            model=models[0],
            others=tuple(models[1:]),
            screen=filters.screen,
            overload=Overload(partial(read_pressure, store.database)),
            metrics=backing.metrics,
            placement=FleetPlacement(rows=store.fleet, workers=store.workers),
        ),
        backing=backing,
        images=store.images,
        ledger=store.ledger,
        changes=store.changes,
        forecast=Forecast(jobs=store.jobs),
        webhook_sender=WebhookSender(
            webhooks=store.webhooks,
            jobs=store.jobs,
            changes=store.changes,
            submissions=store.submissions,
            http_client=PublicOnlyClient(),
            derive=issuer.derive,
            now=utc_now,
        ),
        uploader=Uploader(
            uploads=store.uploads,
            objects=backing.objects,
            refusals=store.refusals,
            judge=filters.image_filter.judge_upload,
            is_listed=store.takedowns.is_listed,
        ),
        judge_picture=filters.image_filter.check,
        issuer=issuer,
        accounts=Accounts(tenants=store.tenants, users=store.users, keys=store.keys),
        workers=store.workers,
        fleet_counts=store.fleet_counts,
        reviews=build_reviews(store, backing, issuer.derive, OriginalsPolicy()),
        takedowns=build_takedowns(store, backing, issuer.derive, filters.screen.judge),
        safety=filters.safety,
        now=utc_now,
        check_database=store.database.check,
        check_storage=backing.objects.check,
        is_ready=lambda: True,
    )


def build_reviews(
    store: Store, backing: BackingServices, derive: Callable[[str], bytes], policy: OriginalsPolicy
) -> Reviews:
    """policy: how long pictures that are not delivered are kept. derive: as of `WebhookSender`."""
    backing = backing if backing.originals else with_originals(backing, derive, policy)
    return Reviews(held=store.held_images, backing=backing, policy=policy, now=utc_now)


def build_takedowns(
    store: Store, backing: BackingServices, derive: Callable[[str], bytes], judge: JudgeText
) -> TakedownWork:
    """Takedowns without caches to purge. derive: as of `WebhookSender`. judge: the text filter."""

    def find_category(prompt: str, negative_prompt: str) -> str | None:
        verdict = judge(prompt, negative_prompt)
        return verdict.category if verdict.is_blocked else None

    return TakedownWork(
        takedowns=store.takedowns,
        backing=backing,
        quarantine=EncryptedObjects(backing.objects, QUARANTINE, derive("quarantine")),
        now=utc_now,
        find_category=find_category,
    )
