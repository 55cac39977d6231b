"""`mezzotint worker`, a worker in a process of its own; `mezzotint serve` builds its worker from the same parts."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

import structlog
from prometheus_client import start_http_server

from mezzotint.actions.finish import BackingServices
from mezzotint.actions.maintain import delete_unreferenced_checkpoints
from mezzotint.actions.region_routing import RegionRouting
from mezzotint.actions.review import with_originals
from mezzotint.actions.safety.overrides import REFRESH_S, OverridesFollower
from mezzotint.background import BackgroundTasks, end_process, handle_stop_signals
from mezzotint.config import Settings
from mezzotint.domain.errors import SettingInvalid, StorageUnavailable
from mezzotint.domain.gpu import GpuReading
from mezzotint.domain.ids import WorkerId
from mezzotint.fleet.worker_control import WorkerControl
from mezzotint.gateway import Issuer
from mezzotint.main.data_folder import load_secret, prepare_data_folder
from mezzotint.main.drawing.served_styles import find_styles, group_files
from mezzotint.main.filters.text_screen import build_text_filter
from mezzotint.main.fleet.claim_limits import limit_models, read_labels
from mezzotint.main.fleet.spot_notice import watch_for_spot_notice
from mezzotint.main.log import configure_log
from mezzotint.main.provenance.signing import Signing, find_signer
from mezzotint.main.safety.controls import follow_overrides
from mezzotint.main.served_models import (
    Findings,
    build_catalog,
    find_models,
    find_upscaler,
    find_weights,
    make_upscaler_loader,
    upscaler_name,
)
from mezzotint.main.stores import check_objects, make_worker_id, migrate_database, open_backing, open_database
from mezzotint.main.takedown.wiring import build_blocklist_reader, follow_blocklist
from mezzotint.metrics import Metrics
from mezzotint.policy.fleet.reconcile import ActorReport, WorkerStage
from mezzotint.provenance import JobProvenance
from mezzotint.safety.image.loading import load_postfilter
from mezzotint.safety.image.postfilter import PostFilter
from mezzotint.safety.policy_file import load_policy
from mezzotint.store import Database, Devices, FleetRows, Regions, Store, Workers
from mezzotint.worker import (
    Catalog,
    CheckpointInterval,
    DeviceThread,
    Drain,
    Uptime,
    Worker,
    WorkerSettings,
)

if TYPE_CHECKING:
    from mezzotint.engine.device.sensors import GpuSensors

log = structlog.get_logger()
SENSORS_EVERY_S = 10.0


def run_worker(settings: Settings, control: WorkerControl | None = None) -> None:
    """Run until a signal, then preempt the runs with checkpoints. Raises: StartError.

    control: stops it instead of signals, which only the main thread of a process gets.
    """
    configure_log(settings)
    found, upscaler = find_models(settings), find_upscaler(settings)
    names = limit_models(settings, {*(one.entry.name for one in found), upscaler_name(upscaler)} - {""})
    offers = tuple(one for one in found if one.entry.name in names) or found[:1]
    prepare_data_folder(settings.data)
    styles = group_files(find_styles(settings, offers))
    catalog = build_catalog(settings, offers, Findings.of(settings.data), styles)
    signing = Signing(signer=find_signer(settings), places=find_weights(offers, upscaler))
    ended = asyncio.run(_run_worker(settings, catalog, upscaler, signing, control))
    if ended.broken_by is not None:
        raise ended.broken_by
    if ended.is_device_busy:
        end_process(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEnd:
    """broken_by: why the worker could not go on. is_device_busy: its thread still computes, and cannot be joined."""

    broken_by: BaseException | None
    is_device_busy: bool


async def _run_worker(
    settings: Settings, catalog: Catalog, upscaler: Path | None, signing: Signing, control: WorkerControl | None
) -> WorkerEnd:
    metrics = Metrics()
    database = open_database(settings, metrics)
    if not database.is_postgres:
        raise SettingInvalid("a worker of its own needs --database postgresql://...; SQLite has its worker in `serve`")
    await migrate_database(settings, database)
    store = Store(database)
    backing = open_backing(settings, store, metrics)
    policy = load_policy(settings.safety_policy)
    if policy.keeps_originals and settings.token_secret is None:
        raise SettingInvalid("token_secret: the safety policy keeps pictures: gateways and workers need the same one")
    derive = Issuer(load_secret(settings)).derive
    backing = with_originals(backing, derive, policy.originals)
    await check_objects(settings, backing.objects)
    broken: list[BaseException] = []
    stop = asyncio.Event()
    if control is None:
        handle_stop_signals(stop.set)

    def on_broken(error: BaseException) -> None:
        broken.append(error)
        stop.set()

    background = BackgroundTasks(on_restart=metrics.count_restart)
    models = find_worker_models(settings, catalog, upscaler)
    follower = await follow_overrides(store, metrics)
    image_filter = await load_image_filter(settings, metrics, follower)
    blocklist = build_blocklist_reader(store.takedowns, image_filter)
    finishing = FinishingTools(
        image_filter=image_filter,
        refresh_blocklist=blocklist.refresh,
        job_provenance=signing.build_job_provenance(settings, store.tenants),
    )
    worker = build_worker(settings, database, backing, models=models, finishing=finishing, background=background)
    if worker.drain is not None:
        worker.drain.on_end = stop.set
    if control is not None:
        control.attach(stop.set, lambda: report_worker(worker))
    worker.find_device = partial(identify_device, settings, worker.settings.id)
    try:
        if settings.worker_metrics_port:
            start_http_server(settings.worker_metrics_port, addr="127.0.0.1", registry=metrics.registry)
        async with (
            backing.bus.running(background),
            background.running(follow_blocklist(blocklist, background)),
            background.running(background.run_forever("safety overrides", REFRESH_S, follower.refresh)),
            start_worker(settings, worker, catalog, upscaler, on_broken),
            watch_for_spot_notice(settings, worker, stop.set, store.fleet_counts),
        ):
            print(f"worker {worker.settings.id} draws with {', '.join(catalog.num_bytes)}", flush=True)  # noqa: T201
            await stop.wait()
    finally:
        await database.close()
    return WorkerEnd(broken_by=broken[0] if broken else None, is_device_busy=worker.is_device_busy)


def report_worker(worker: Worker) -> ActorReport:
    """Report the worker's stage to the fleet's controller."""
    counts = worker.health
    return ActorReport(
        stage=WorkerStage.READY if worker.is_ready else WorkerStage.STARTING,
        worker=worker.settings.id,
        num_running=worker.num_running,
        num_runs=counts.num_runs,
        num_failed=counts.num_failed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishingTools:
    """The steps that finished pictures pass."""

    image_filter: PostFilter
    refresh_blocklist: Callable[[], Awaitable[None]]
    job_provenance: JobProvenance


async def load_image_filter(settings: Settings, metrics: Metrics, follower: OverridesFollower) -> PostFilter:
    """Load the post-filter on a thread. follower: of the dial that tightens its thresholds."""

    def load() -> PostFilter:
        overrides = follower.read_current
        policy = load_policy(settings.safety_policy)
        return load_postfilter(policy, metrics, overrides, lambda: build_text_filter(settings, overrides).judge)

    return await asyncio.to_thread(load)


def find_worker_models(settings: Settings, catalog: Catalog, upscaler: Path | None) -> frozenset[str]:
    """The names of the models whose jobs a worker claims. Raises: SettingInvalid."""
    return limit_models(settings, {*catalog.num_bytes, upscaler_name(upscaler)} - {""})


def build_worker(
    settings: Settings,
    database: Database,
    backing: BackingServices,
    *,
    models: frozenset[str],
    finishing: FinishingTools,
    background: BackgroundTasks,
) -> Worker:
    """Build a worker from the settings. Raises: SettingInvalid."""
    labels = read_labels(settings, models)
    worker_settings = WorkerSettings(
        id=make_worker_id(database),
        max_runs=settings.max_runs,
        lease_s=settings.lease_s,
        max_attempts=settings.max_attempts,
        shutdown_s=settings.shutdown_s,
        models=models,
        lanes=labels.lanes,
        tenants=labels.tenants,
        region=labels.region,
        is_alone=not database.is_postgres,
        reuses_pictures=settings.reuse,
        reuse_charge=settings.reuse_charge,
        light_first=settings.light_first,
    )
    every = None if settings.checkpoint_every == "auto" else settings.checkpoint_every
    interval = CheckpointInterval(every=every, uptime=Uptime(settings.data / "uptime.json"), metrics=backing.metrics)
    workers, routing = Workers(database), None
    if labels.region and database.is_postgres:
        routing = RegionRouting(region=labels.region, regions=Regions(database), rows=FleetRows(database))
    drain = Drain(workers, worker_settings.id, utc_now, labels)
    backing.metrics.set_worker_labels(pool=labels.pool, region=labels.region, version=labels.version)
    return Worker(
        backing,
        finishing.image_filter,
        worker_settings,
        utc_now,
        interval,
        drain,
        fleet=(workers, Devices(database)) if database.is_postgres else None,
        routing=routing,
        job_provenance=finishing.job_provenance,
        refresh_blocklist=finishing.refresh_blocklist,
        background=background,
    )


@asynccontextmanager
async def start_worker(
    settings: Settings,
    worker: Worker,
    catalog: Catalog,
    upscaler: Path | None,
    on_broken: Callable[[BaseException], None],
) -> AsyncIterator[None]:
    """Run the worker until the block ends, then stop it."""
    if worker.settings.is_alone:
        try:
            await delete_unreferenced_checkpoints(worker.backing)
        except StorageUnavailable as error:  # the next start finds it
            log.warning("checkpoints not swept", why=str(error))
    device = DeviceThread(
        catalog,
        worker.reporter(),
        worker.wants_preview,
        worker.interval,
        make_upscaler_loader(settings, upscaler),
        run_bytes=settings.run_memory_mb << 20,
    )
    sensors = SensorWatch(settings, worker)
    with worker.interval.uptime:
        async with (
            worker.running(device, on_broken),
            worker.background.running(
                worker.background.run_forever("gpu sensors", SENSORS_EVERY_S, sensors.read_when_ready)
            ),
        ):
            yield


def identify_device(settings: Settings, worker: WorkerId) -> str:
    """The name by which the device is known again after a restart; CPUs are shared, so that each process is one."""
    from mezzotint.engine.device.choice import list_gpus, process_device

    if settings.device_name:
        return settings.device_name
    device = process_device(settings.device)
    if device == "cpu":
        return str(worker)
    return f"{socket.gethostname()[:60]}/{list_gpus()[int(device.removeprefix('cuda:'))]}"


@dataclass(slots=True)
class SensorWatch:
    """Opens the sensors once the worker is ready, which chose its device by then. Without any it reads nothing."""

    settings: Settings
    worker: Worker
    _is_opened: bool = False
    _device: str = ""
    _sensors: "GpuSensors | None" = field(default=None)

    async def read_when_ready(self) -> None:
        if not self.worker.is_ready:
            return
        reading = await asyncio.to_thread(self._read)
        if reading is not None:
            if self.worker.drain is not None:
                self.worker.drain.health.record_sensors(reading)
            self.worker.backing.metrics.gpu(self._device, reading)

    def _read(self) -> GpuReading | None:
        if not self._is_opened:
            self._open()
        return None if self._sensors is None else self._sensors.read()

    def _open(self) -> None:
        from mezzotint.engine.device.choice import process_device
        from mezzotint.engine.device.sensors import GpuSensors, SensorsUnavailable

        self._is_opened, self._device = True, process_device(self.settings.device)
        if self._device == "cpu":
            return
        try:
            self._sensors = GpuSensors.open(self._device)
        except SensorsUnavailable as error:
            log.info("no metrics of the GPU's sensors", why=str(error))


def utc_now() -> datetime:
    return datetime.fromtimestamp(time(), UTC)
