"""A worker: beside the gateway in `mezzotint serve`, or alone in a process of its own, `mezzotint worker`."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import time

import structlog
from prometheus_client import start_http_server

from mezzotint.actions.finish import Desk
from mezzotint.actions.sweep import sweep
from mezzotint.background import BackgroundTasks
from mezzotint.config import Settings
from mezzotint.domain.errors import SettingInvalid, StorageUnavailable
from mezzotint.main.data import make
from mezzotint.main.desk import open_database, open_desk, worker_id
from mezzotint.main.log import configure_log
from mezzotint.main.wiring import Findings, find_models, find_upscaler, stock_of, upscaler_loader, upscaler_name
from mezzotint.metrics import Metrics
from mezzotint.safety.postfilter import PostFilter
from mezzotint.store import Database, Workers
from mezzotint.worker import Cadence, Developer, Device, Drain, Habits, Stock, Uptime, Worker

log = structlog.get_logger()


def work(settings: Settings) -> None:
    """Draw until a signal, then put the runs aside with checkpoints. Raises: StartError."""
    configure_log(settings)
    offers = find_models(settings)
    make(settings.data)
    stock = stock_of(settings, offers, Findings.of(settings.data))
    broken_by = asyncio.run(_work(settings, stock, find_upscaler(settings)))
    if broken_by is not None:
        raise broken_by


async def _work(settings: Settings, stock: Stock, upscaler: Path | None) -> BaseException | None:
    metrics = Metrics()
    database = open_database(settings, metrics)
    if not database.is_postgres:
        raise SettingInvalid("a worker of its own needs --database postgresql://...; SQLite has its worker in `serve`")
    await asyncio.to_thread(database.migrate)
    desk = open_desk(settings, database, metrics)
    broken: list[BaseException] = []
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    def on_broken(error: BaseException) -> None:
        broken.append(error)
        stop.set()

    background = BackgroundTasks(on_restart=metrics.count_restart)
    models, eyes = names(stock, upscaler), await looking(settings)
    worker = hire(settings, database, desk, models=models, eyes=eyes, background=background)
    try:
        _show(metrics, settings.worker_metrics_port)
        async with desk.bus.running(background), working(settings, worker, stock, upscaler, on_broken):
            print(f"worker {worker.habits.id} draws with {', '.join(stock.num_bytes)}", flush=True)  # noqa: T201
            await stop.wait()
    finally:
        await database.close()
    return broken[0] if broken else None


async def looking(settings: Settings) -> PostFilter:
    """The image filter."""
    return await asyncio.to_thread(
        PostFilter, threshold=settings.nsfw_threshold, preview_threshold=settings.preview_nsfw_threshold
    )


def names(stock: Stock, upscaler: Path | None) -> frozenset[str]:
    """Of the models whose jobs a worker takes."""
    return frozenset({*stock.num_bytes, upscaler_name(upscaler)} - {""})


def hire(
    settings: Settings,
    database: Database,
    desk: Desk,
    *,
    models: frozenset[str],
    eyes: PostFilter,
    background: BackgroundTasks,
) -> Worker:
    """A worker by the settings."""
    habits = Habits(
        id=worker_id(database),
        max_runs=settings.max_runs,
        lease_s=settings.lease_s,
        max_attempts=settings.max_attempts,
        models=models,
        is_alone=not database.is_postgres,
    )
    every = None if settings.checkpoint_every == "auto" else settings.checkpoint_every
    cadence = Cadence(every=every, uptime=Uptime(settings.data / "uptime.json"), metrics=desk.metrics)
    drain = Drain(Workers(database), habits.id, now)
    developer = Developer(objects=desk.objects, is_blocked=eyes.is_blocked, is_preview_blocked=eyes.is_preview_blocked)
    return Worker(desk, developer, habits, now, cadence, drain, background)


@asynccontextmanager
async def working(
    settings: Settings,
    worker: Worker,
    stock: Stock,
    upscaler: Path | None,
    on_broken: Callable[[BaseException], None],
) -> AsyncIterator[None]:
    """The worker works until the block ends, then parks."""
    if worker.habits.is_alone:
        try:
            await sweep(worker.desk)
        except StorageUnavailable as error:  # the next start finds it
            log.warning("checkpoints not swept", why=str(error))
    device = Device(
        stock,
        worker.reporter(),
        worker.wants_preview,
        worker.cadence,
        upscaler_loader(settings, upscaler),
        run_bytes=settings.run_memory_mb << 20,
    )
    with worker.cadence.uptime:
        async with worker.running(device, on_broken):
            yield


def _show(metrics: Metrics, port: int) -> None:
    """The worker's own meter on 127.0.0.1, where a port is set."""
    if port:
        start_http_server(port, addr="127.0.0.1", registry=metrics.registry)


def now() -> datetime:
    return datetime.fromtimestamp(time(), UTC)
