"""What takedowns work with, as the settings say: for the server and for commands."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta

from mezzotint.actions.takedown.blocklist import REFRESH_S, BlocklistReader
from mezzotint.actions.takedown.work import TakedownWork
from mezzotint.background import BackgroundTasks
from mezzotint.config import Settings
from mezzotint.domain.errors import SettingInvalid
from mezzotint.gateway.cache_purge import CachePurger
from mezzotint.gateway.safe_http import Allowlist, PublicOnlyClient
from mezzotint.safety.image.perceptual_hash import HashIndex
from mezzotint.safety.image.postfilter import PostFilter
from mezzotint.store import Takedowns


def read_http_client(settings: Settings) -> PublicOnlyClient:
    """The client for URLs of webhooks and of the order to purge. Raises: SettingInvalid."""
    client = PublicOnlyClient(allowlist=Allowlist.read(settings.webhook_inside))
    if settings.purge_url is not None and (fault := client.find_url_fault(settings.purge_url)):
        raise SettingInvalid(f"purge_url: {fault} `webhook_inside` names private hosts that it may reach.")
    return client


def follow_blocklist(
    takedowns: Takedowns, image_filter: PostFilter, background: BackgroundTasks
) -> Coroutine[None, None, None]:
    """The task by which the image filter blocks copies of pictures that any process took down."""

    def apply(index: HashIndex) -> None:
        image_filter.blocked_pictures = index

    return background.run_forever("blocklist", REFRESH_S, BlocklistReader(takedowns, apply).refresh)


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
