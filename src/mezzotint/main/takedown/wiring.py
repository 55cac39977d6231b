"""The stores, filter and clock of takedowns, as the settings say: for the server and for commands."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import TypeVar

from mezzotint.actions.safety.overrides import OverridesFollower
from mezzotint.actions.screen import JudgeText
from mezzotint.actions.takedown.blocklist import REFRESH_S, BlocklistReader
from mezzotint.actions.takedown.work import TakedownWork
from mezzotint.background import BackgroundTasks
from mezzotint.config import Settings
from mezzotint.domain.errors import SettingInvalid
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Issuer
from mezzotint.gateway.cache_purge import CachePurger
from mezzotint.gateway.safe_http import Allowlist, PublicOnlyClient
from mezzotint.gateway.wiring import build_takedowns, utc_now
from mezzotint.main.data_folder import load_secret
from mezzotint.main.filters.text_screen import build_text_filter
from mezzotint.main.stores import open_backing
from mezzotint.main.with_database import with_database
from mezzotint.metrics import Metrics
from mezzotint.policy.safety.text_verdict import TextVerdict
from mezzotint.safety.image.perceptual_hash import HashIndex
from mezzotint.safety.image.postfilter import PostFilter
from mezzotint.safety.text.text_filter import TextFilter
from mezzotint.store import Database, Store, Takedowns

T = TypeVar("T")


def read_http_client(settings: Settings) -> PublicOnlyClient:
    """The client for URLs of webhooks and of the order to purge. Raises: SettingInvalid."""
    client = PublicOnlyClient(allowlist=Allowlist.read(settings.webhook_inside))
    if settings.purge_url is not None and (fault := client.find_url_fault(settings.purge_url)):
        raise SettingInvalid(f"purge_url: {fault} `webhook_inside` names private hosts that it may reach.")
    return client


def build_blocklist_reader(takedowns: Takedowns, image_filter: PostFilter) -> BlocklistReader:
    """Build the reader by which the image filter blocks copies of pictures that any process took down."""

    def apply(index: HashIndex) -> None:
        image_filter.blocked_pictures = index

    return BlocklistReader(takedowns, apply)


def follow_blocklist(reader: BlocklistReader, background: BackgroundTasks) -> Coroutine[None, None, None]:
    """Build the task by which previews and uploads know of takedowns; finished pictures have it read for each."""
    return background.run_forever("blocklist", REFRESH_S, reader.refresh)


def configure_takedowns(
    work: TakedownWork, settings: Settings, client: PublicOnlyClient, derive: Callable[[str], bytes]
) -> TakedownWork:
    """Takedowns as the settings want them. derive: as of `WebhookSender`."""
    configured = replace(work, keep_for=timedelta(days=settings.takedown_days))
    if settings.purge_url is None:
        return configured
    base_url = settings.public_url or settings.root_path
    purger = CachePurger(url=settings.purge_url, base_url=base_url, http_client=client, derive=derive, now=work.now)
    return replace(configured, purge=purger.purge)


def with_takedowns(settings: Settings, work: Callable[[Store, TakedownWork], Coroutine[None, None, T]]) -> T:
    """Run a command's work on the store that the settings name, and its takedowns.

    Raises: DatabaseMissing, StoreUnusable, SettingInvalid, RulesInvalid.
    """
    client = read_http_client(settings)
    derive = Issuer(load_secret(settings, make=False)).derive

    async def work_on(database: Database) -> T:
        store = Store(database)
        judge = await follow_text_filter(settings, store)
        takedowns = build_takedowns(store, open_backing(settings, store, Metrics()), derive, judge)
        return await work(store, configure_takedowns(takedowns, settings, client, derive))

    return with_database(settings, work_on)


async def follow_text_filter(settings: Settings, store: Store) -> JudgeText:
    """The text filter with the rules and the dial as admins have set them, loaded when it is asked for the first time.

    Raises: StorageUnavailable.
    """
    follower = OverridesFollower(overrides=store.overrides, now=utc_now)
    await follower.refresh()

    @cache
    def load() -> TextFilter:
        return build_text_filter(settings, follower.read_current)

    def judge(prompt: str, negative_prompt: str = "", tier: Tier = Tier.FREE) -> TextVerdict:
        return load().judge(prompt, negative_prompt, tier)

    return judge
