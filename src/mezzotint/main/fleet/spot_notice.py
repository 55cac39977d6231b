"""A worker stops, as by a signal, when the cloud says that its machine is about to be taken away."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from mezzotint.config import Settings
from mezzotint.domain.errors import StorageUnavailable
from mezzotint.store.fleet.counts import FleetCount, FleetCounts
from mezzotint.worker import Worker
from mezzotint.worker.fleet.spot import EVERY_S, Cloud, SpotPoller, make_metadata_client

log = structlog.get_logger()


@asynccontextmanager
async def watch_for_spot_notice(
    settings: Settings, worker: Worker, stop: Callable[[], None], counts: FleetCounts
) -> AsyncIterator[None]:
    """Ask the cloud until the block ends, where `spot_notice` names one."""
    if settings.spot_notice == "off":
        yield
        return

    async def on_notice(notice: str) -> None:
        log.warning("spot notice: the worker puts its runs aside and ends", why=notice)
        stop()
        if worker.drain is not None:
            with suppress(StorageUnavailable):  # only for whoever looks at the list of workers, and at the metrics
                await worker.drain.workers.want_end(worker.settings.id, worker.now(), notice[:200])
                await counts.add(FleetCount.SPOT_NOTICES, settings.spot_notice)

    cloud = Cloud(settings.spot_notice)
    async with make_metadata_client() as client:
        poller = SpotPoller(cloud=cloud, client=client, on_notice=on_notice, address=settings.spot_notice_url or "")
        async with worker.background.running(worker.background.run_forever("spot notice", EVERY_S[cloud], poller.look)):
            yield
