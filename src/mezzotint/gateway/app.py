"""The HTTP application: routes, limits and headers."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse

from mezzotint import __version__
from mezzotint.actions.review import SWEEP_S as HELD_SWEEP_S
from mezzotint.actions.review import sweep_held_pictures
from mezzotint.actions.safety.overrides import REFRESH_S
from mezzotint.actions.takedown.execute import (
    LATE_ARRIVALS_EVERY_S,
    TAKEDOWNS_EVERY_S,
    run_open_takedowns,
    withdraw_late_arrivals,
)
from mezzotint.actions.upload import SWEEP_S, sweep_uploads
from mezzotint.gateway import automatic1111, openai
from mezzotint.gateway.api_description import describe_api
from mezzotint.gateway.automatic1111.progress import WaitingJobs
from mezzotint.gateway.bodies.request_bodies import RequestBodies
from mezzotint.gateway.error_handlers import install_error_handlers
from mezzotint.gateway.middleware.compression import Compression
from mezzotint.gateway.middleware.cross_origin import CrossOrigin
from mezzotint.gateway.middleware.head_requests import HeadRequests
from mezzotint.gateway.middleware.request_checks import AddressCheck, format_response
from mezzotint.gateway.middleware.security_headers import SecurityHeaders
from mezzotint.gateway.middleware.size_limits import BodyLimit, UrlLimit
from mezzotint.gateway.network.hosts import HostCheck
from mezzotint.gateway.network.path_prefix import PathPrefix, set_prefix
from mezzotint.gateway.rate_limits import RateLimitMiddleware, RateLimits
from mezzotint.gateway.routes import (
    about,
    admin,
    appeals,
    images,
    jobs,
    keys,
    metrics,
    operations,
    provenance,
    provider_sign_in,
    recipes,
    reviews,
    safety,
    sign_in,
    styles,
    takedowns,
    uploads,
    usage,
    webhooks,
)
from mezzotint.gateway.schemas import describe_errors
from mezzotint.gateway.service import Service
from mezzotint.gateway.static_page import CompressedPage
from mezzotint.gateway.streams import websocket
from mezzotint.gateway.streams.change_poller import POLL_EVERY_S, ChangePoller
from mezzotint.gateway.streams.open_streams import CHECK_S
from mezzotint.gateway.webhook_delivery import DELIVER_EVERY_S

PAGE = Path(str(files("mezzotint.gateway"))) / "page"
NO_PAGE = "<!doctype html><title>Mezzotint</title><p>The page is not built: run <code>make web</code>."


@asynccontextmanager
async def run_nothing() -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def run_background_tasks(service: Service | None) -> AsyncIterator[None]:
    """Run the gateway's background tasks while it serves."""
    if service is None:
        yield
        return
    run, webhook_sender = service.background.run_forever, service.webhook_sender
    streams, accounts = service.streams, service.accounts

    async def check_credentials() -> None:
        await streams.check(lambda known: accounts.refresh_claims(known, service.now()))

    change_poller = ChangePoller(service.backing.bus, service.changes)
    async with (
        webhook_sender.cancel_at_end(),
        service.background.running(
            run("change poller", POLL_EVERY_S, change_poller.poll),
            run("webhook delivery", DELIVER_EVERY_S, webhook_sender.deliver_due, wake=webhook_sender.has_room),
            run("credential check", CHECK_S, check_credentials, wake=streams.changed),
            run("log sweep", SWEEP_S, webhook_sender.sweep),
            run("safety overrides", REFRESH_S, service.safety.follower.refresh),
            run("upload sweep", SWEEP_S, lambda: sweep_uploads(service.uploader, service.now())),
            run("held pictures", HELD_SWEEP_S, lambda: sweep_held_pictures(service.reviews)),
            run("takedowns", TAKEDOWNS_EVERY_S, lambda: run_open_takedowns(service.takedowns)),
            run("late arrivals", LATE_ARRIVALS_EVERY_S, lambda: withdraw_late_arrivals(service.takedowns)),
        ),
    ):
        yield


def create_app(
    service: Service | None, running: Callable[[], AbstractAsyncContextManager[None]] = run_nothing
) -> FastAPI:
    """Build the application. running: a context that is open while it serves (the worker). Without a service the
    application only describes its OpenAPI."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        set_prefix(service.path_prefix if service is not None else "")
        async with running(), run_background_tasks(service):
            yield

    app = FastAPI(
        title="Mezzotint",
        version=__version__,
        summary="Serves diffusion models to many people at once.",
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        openapi_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.service = service
    app.state.waiting_jobs = WaitingJobs()
    install_error_handlers(app, format_response)
    errors_of_all = describe_errors(414, 429)
    # a request is compared with each route until one matches: those that are asked for most come first; the framework
    # builds a route when it is compared first, and a load balancer's first question for health builds all before it
    for module in (jobs, images):
        app.include_router(module.router, responses=errors_of_all)
    for router in (*openai.ROUTERS, *automatic1111.ROUTERS):
        app.include_router(router)
    for module in (uploads, recipes, provenance, usage, webhooks, sign_in, provider_sign_in, keys, appeals):
        app.include_router(module.router, responses=errors_of_all)
    for module in (admin, operations, safety, takedowns, reviews, about, styles, metrics):
        app.include_router(module.router, responses=errors_of_all)
    app.include_router(websocket.router)
    app.openapi = partial(describe_api, app)  # type: ignore[method-assign]  # as FastAPI says to extend it
    # no coroutine: making the description takes a fifth of a second, in a thread
    app.add_api_route("/openapi.json", lambda: JSONResponse(app.openapi()), include_in_schema=False)
    if (PAGE / "index.html").exists():
        app.mount("/", CompressedPage(PAGE), name="page")
    else:
        app.add_api_route("/", lambda: HTMLResponse(NO_PAGE), include_in_schema=False)
    app.add_middleware(Compression)
    app.add_middleware(BodyLimit, bodies=service.bodies if service is not None else RequestBodies())
    app.add_middleware(HeadRequests)
    app.add_middleware(AddressCheck)
    app.add_middleware(UrlLimit)
    app.add_middleware(RateLimitMiddleware, rate_limits=service.rate_limits if service is not None else RateLimits())
    app.add_middleware(HostCheck, names=find_allowed_hosts(service))
    if service is not None and service.cors_origins:
        app.add_middleware(CrossOrigin, origins=service.cors_origins)
    app.add_middleware(PathPrefix, prefix=service.path_prefix if service is not None else "")
    app.add_middleware(SecurityHeaders)
    return app


def find_allowed_hosts(service: Service | None) -> frozenset[str] | None:
    """The host names served beside this machine's own; None: any. With --dev only this machine's own are served."""
    if service is None:
        return None
    return frozenset() if service.is_dev else service.allowed_hosts
