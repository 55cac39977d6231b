"""`mezzotint serve`: everything in one process."""

import asyncio
import errno
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from mezzotint import __version__
from mezzotint.actions.maintain import Maintenance, maintain_queue
from mezzotint.actions.retention import SWEEP_S, enforce_retention
from mezzotint.actions.review import with_originals
from mezzotint.background import BackgroundTasks, end_process
from mezzotint.config import Settings
from mezzotint.domain.errors import PortInUse, SettingInvalid
from mezzotint.domain.model import ModelInfo
from mezzotint.domain.style import StyleInfo
from mezzotint.domain.task import Task
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Issuer, create_app
from mezzotint.gateway.bodies.request_bodies import RequestBodies
from mezzotint.gateway.middleware.cross_origin import read_origins
from mezzotint.gateway.network.addresses import is_loopback
from mezzotint.gateway.network.forwarded import TrustedProxies
from mezzotint.gateway.network.hosts import read_hosts
from mezzotint.gateway.network.path_prefix import read_prefix
from mezzotint.gateway.network.server import build_server
from mezzotint.gateway.rate_limits import RateLimits
from mezzotint.gateway.routes.about import DEV_LIFETIME, DEV_TENANT
from mezzotint.gateway.wiring import Filters, build_service
from mezzotint.main.accounts import build_accounts, read_provider
from mezzotint.main.data_folder import load_secret, lock_data_folder, prepare_data_folder
from mezzotint.main.drawing.served_styles import find_styles, group_files
from mezzotint.main.filters.text_screen import build_screen, build_text_filter
from mezzotint.main.log import configure_log
from mezzotint.main.models import choose_speeds
from mezzotint.main.provenance.signing import Signing, find_signer, read_anchors
from mezzotint.main.safety.controls import build_controls, follow_overrides
from mezzotint.main.served_models import (
    Findings,
    build_catalog,
    find_models,
    find_upscaler,
    find_weights,
    freeze_collector,
    upscaler_name,
)
from mezzotint.main.stores import check_objects, migrate_database, open_backing, open_database, read_retention
from mezzotint.main.takedown.wiring import (
    build_blocklist_reader,
    configure_takedowns,
    follow_blocklist,
    read_http_client,
)
from mezzotint.main.worker import (
    FinishingTools,
    build_worker,
    find_worker_models,
    load_image_filter,
    start_worker,
    utc_now,
)
from mezzotint.media.uploads.decoder_pool import DecoderPool
from mezzotint.metrics import Metrics
from mezzotint.policy.safety.document import OriginalsPolicy
from mezzotint.safety.policy_file import load_policy
from mezzotint.store import Database, LocalBuckets, Objects, RateBuckets, Store, ValkeyBuckets
from mezzotint.store.objects import check_room
from mezzotint.worker import Catalog


def serve(settings: Settings) -> None:
    """Serve until a signal. Raises: StartError."""
    if settings.dev and not is_loopback(settings.host):
        raise SettingInvalid(f"--dev hands out tokens; it works on loopback addresses only, not on {settings.host}")
    configure_log(settings)
    for read in (
        read_provider,
        read_trusted_proxies,
        read_allowed_hosts,
        read_path_prefix,
        read_cors_origins,
        read_http_client,
    ):
        read(settings)  # wrong settings stop the start before anything is made
    with bind_socket(settings.host, settings.port) as listener:
        offers = choose_speeds(settings, find_models(settings))
        upscaler = find_upscaler(settings)
        infos = [offer.info for offer in offers]
        if upscaler is not None:
            infos = [replace(info, tasks=(*info.tasks, Task.UPSCALE)) for info in infos]
        styles = find_styles(settings, offers)
        with hold_data_folder(settings):
            catalog = build_catalog(settings, offers, Findings.of(settings.data), group_files(styles))
            signing = Signing(signer=find_signer(settings), places=find_weights(offers, upscaler))
            server = ServerProcess(
                settings=settings,
                infos=infos,
                styles=tuple(style.info for style in styles),
                catalog=catalog,
                upscaler=upscaler,
                signing=signing,
            )
            with asyncio.Runner(loop_factory=pick_event_loop()) as runner:
                runner.run(server.run(listener))
    if server.broken_by is not None:
        raise server.broken_by
    if server.is_device_busy:
        end_process(0)


async def prepare_store(settings: Settings, database: Database) -> Store:
    """Bring the tables up to date, and name this gateway's region in them. Raises: StartError."""
    await migrate_database(settings, database)
    store = Store(database, read_retention(settings))
    if settings.region:
        await store.regions.add(settings.region)
    return store


@dataclass(kw_only=True)
class ServerProcess:
    """A process with a gateway, a store and, unless the settings say otherwise, a worker.

    is_device_busy: after its end, whether the device's thread still computes and cannot be joined.
    """

    settings: Settings
    infos: Sequence[ModelInfo]
    styles: tuple[StyleInfo, ...] = ()
    catalog: Catalog
    upscaler: Path | None
    signing: Signing = field(default_factory=Signing)
    broken_by: BaseException | None = None
    is_device_busy: bool = False
    issuer: Issuer = field(init=False)
    kept: OriginalsPolicy = field(init=False)

    def __post_init__(self) -> None:
        self.issuer = Issuer(load_secret(self.settings))
        self.kept = load_policy(self.settings.safety_policy).originals

    async def run(self, listener: socket.socket) -> None:
        """Serve on a bound socket until a signal, or until the worker breaks (then `broken_by` says by what)."""
        settings = self.settings
        proxies, hosts = read_trusted_proxies(settings), read_allowed_hosts(settings)
        metrics = Metrics()
        database = open_database(settings, metrics)
        store = await prepare_store(settings, database)
        backing = with_originals(open_backing(settings, store, metrics), self.issuer.derive, self.kept)
        await check_objects(settings, backing.objects)
        background = BackgroundTasks(on_restart=metrics.count_restart)
        follower = await follow_overrides(store, metrics)
        text_filter = build_text_filter(settings, follower.read_current)
        screen = build_screen(settings, text_filter)
        image_filter = await load_image_filter(settings, metrics, follower)
        blocklist = build_blocklist_reader(store.takedowns, image_filter)
        worker = None
        if settings.worker:
            finishing = FinishingTools(
                image_filter=image_filter,
                refresh_blocklist=blocklist.refresh,
                job_provenance=self.signing.build_job_provenance(settings, store.tenants),
            )
            worker = build_worker(
                settings,
                database,
                backing,
                models=find_worker_models(settings, self.catalog, self.upscaler),
                finishing=finishing,
                background=background,
            )
        http_client = read_http_client(settings)
        buckets = open_rate_buckets(settings)
        decoders = DecoderPool(on_lost=metrics.decoders_lost.inc)
        service = build_service(
            store,
            backing,
            issuer=self.issuer,
            models=self.infos,
            filters=Filters(
                screen=screen,
                image_filter=image_filter,
                safety=build_controls(store, follower, text_filter),
            ),
        )
        service = replace(
            service,
            admission=replace(
                service.admission,
                upscaler=upscaler_name(self.upscaler),
                styles=self.styles,
                region=settings.region,
            ),
            uploader=replace(service.uploader, decoders=decoders),
            webhook_sender=replace(service.webhook_sender, http_client=http_client),
            reviews=replace(service.reviews, policy=self.kept),
            takedowns=configure_takedowns(service.takedowns, settings, http_client, self.issuer.derive),
            accounts=build_accounts(store, settings),
            is_ready=lambda: worker is None or worker.is_ready,
            model_states=lambda: {} if worker is None else worker.model_states(),
            is_drained=lambda: worker is not None and worker.is_drained,
            background=background,
            loading=lambda: None if worker is None else worker.loading,
            rate_limits=RateLimits(buckets=buckets, scale=settings.rate_scale, per_address=settings.rate_per_address),
            bodies=RequestBodies(
                client_timeout_s=settings.client_timeout_s,
                deadline_s=settings.body_timeout_s,
                memory_bytes=settings.body_memory_mb * 2**20,
            ),
            is_dev=settings.dev,
            region=settings.region,
            public_url=settings.public_url,
            fits_sizes=settings.fit_sizes,
            path_prefix=read_path_prefix(settings),
            cors_origins=read_cors_origins(settings),
            check_storage=partial(check_storage, settings, backing.objects),
            signer=self.signing.signer,
            trust_anchors=read_anchors(settings),
            is_stopping=lambda: server.is_stopping,
            allowed_hosts=hosts,
            metrics_token=settings.metrics_token.get_secret_value() if settings.metrics_token else None,
        )

        @asynccontextmanager
        async def run_tasks() -> AsyncIterator[None]:
            freeze_collector()
            sweep = background.run_forever(
                "retention", SWEEP_S, lambda: enforce_retention(store.retention_sweep, utc_now())
            )
            async with (
                backing.bus.running(background),
                background.running(sweep, follow_blocklist(blocklist, background)),
            ):
                if worker is None:
                    maintenance = Maintenance(
                        backing=backing,
                        max_attempts=settings.max_attempts,
                        now=utc_now,
                        lease_s=settings.lease_s,
                        fleet=(store.workers, store.devices),
                    )
                    async with background.running(*maintain_queue(background, maintenance)):
                        yield
                else:
                    async with start_worker(settings, worker, self.catalog, self.upscaler, on_broken):
                        yield

        app = create_app(service, run_tasks)
        server = build_server(app, settings, proxies, metrics, on_stop=service.streams.end_all)

        def on_broken(error: BaseException) -> None:
            self.broken_by = self.broken_by or error
            server.should_exit = True

        await asyncio.to_thread(text_filter.wait_until_loaded)
        print_start_message(settings, self.infos, self.issuer, listener.getsockname()[1])
        try:
            await server.serve(sockets=[listener])
        finally:
            self.is_device_busy = worker is not None and worker.is_device_busy
            decoders.close()
            await screen.close()
            await buckets.close()
            await database.close()


def pick_event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where there is one; None: asyncio's own."""
    try:
        import uvloop
    except ImportError:  # on Windows
        return None
    return uvloop.new_event_loop


def read_trusted_proxies(settings: Settings) -> TrustedProxies:
    """Raises: SettingInvalid."""
    try:
        return TrustedProxies.read(settings.trusted_proxies)
    except ValueError as error:
        raise SettingInvalid(f"trusted_proxies: {error}; it takes addresses, networks, or * alone") from error


def read_allowed_hosts(settings: Settings) -> frozenset[str] | None:
    """Raises: SettingInvalid."""
    try:
        return read_hosts(settings.allowed_hosts)
    except ValueError as error:
        raise SettingInvalid(f"allowed_hosts: {error}") from error


def read_path_prefix(settings: Settings) -> str:
    """Raises: SettingInvalid."""
    try:
        return read_prefix(settings.root_path or urlsplit(settings.public_url or "").path)
    except ValueError as error:
        raise SettingInvalid(f"root_path: {error}") from error


def read_cors_origins(settings: Settings) -> tuple[str, ...]:
    """Raises: SettingInvalid."""
    try:
        return read_origins(settings.cors_origins)
    except ValueError as error:
        raise SettingInvalid(f"cors_origins: {error}") from error


async def check_storage(settings: Settings, objects: Objects) -> None:
    """Raises: StorageUnavailable, StorageFull: pictures or rows cannot be kept at the moment."""
    await objects.check()
    check_room(settings.data)


def open_rate_buckets(settings: Settings) -> RateBuckets:
    """Raises: SettingInvalid."""
    if settings.valkey is None:
        return LocalBuckets()
    try:
        return ValkeyBuckets(settings.valkey.get_secret_value())
    except (ImportError, ValueError) as error:
        raise SettingInvalid(f"valkey: {error}; it takes the package `valkey` and an address valkey://...") from error


@contextmanager
def hold_data_folder(settings: Settings) -> Iterator[None]:
    """The data folder, locked where the database lies in it. Raises: StartError."""
    if settings.database is None:
        if not settings.worker:
            raise SettingInvalid("--no-worker needs --database postgresql://..., where other processes draw")
        with lock_data_folder(settings.data):
            yield
    else:
        prepare_data_folder(settings.data)
        yield


@contextmanager
def bind_socket(host: str, port: int) -> Iterator[socket.socket]:
    """A bound socket. Raises: PortInUse, SettingInvalid."""
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise SettingInvalid(f"host {host!r} is not an address of this machine") from error
    with socket.socket(family, kind) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(2048)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(f"port {port} of {host} is already in use") from error
            raise SettingInvalid(f"cannot listen on {host}:{port}: {error.strerror}") from error
        yield listener


def command_name() -> str:
    """The command as a person types it: `mezzotint` where the shell finds it, else its path."""
    path, found = Path(sys.argv[0]), shutil.which("mezzotint")
    if path.name != "mezzotint":
        return f"{sys.executable} -m mezzotint"
    return "mezzotint" if found is not None and Path(found).resolve() == path.resolve() else str(path)


def print_start_message(settings: Settings, infos: Sequence[ModelInfo], issuer: Issuer, port: int) -> None:
    """Print the address, the data folder and the next step to standard output."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{port}"
    drawing = "the page is up at once; the first picture waits until its model is loaded"
    if not settings.worker:
        drawing = "drawn by `mezzotint worker`s on the same database, not here"
    lines = [
        f"Mezzotint {__version__} serves on {url}",
        f"  model  {', '.join(info.name for info in infos)} ({drawing})",
        f"  data   {settings.data.resolve()}",
    ]
    if settings.dev:
        token = issuer.issue(DEV_TENANT, Tier.PRO, utc_now(), DEV_LIFETIME)
        lines += [
            f"  token  {token}",
            "         (for development: tier pro, 30 days; the page signs in with one by itself)",
            f"Next: open {url} and write a prompt, or in another terminal:",
            f"  {command_name()} imagine 'a red apple --seed 7' --out apple.png --server {url}",
        ]
    else:
        lines += [
            "Next: make a token and open the page with it:",
            f"  {command_name()} token --data {settings.data} --tenant NAME --tier free|paid|pro",
            f"  {url}/#token=<the token>",
            "or let people sign in there by name and password:",
            f"  {command_name()} tenants create TENANT --data {settings.data}",
            f"  {command_name()} users create NAME --tenant TENANT --data {settings.data}",
        ]
    print("\n".join(lines), flush=True)  # noqa: T201 - the command's output
