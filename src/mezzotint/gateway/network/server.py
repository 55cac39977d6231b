"""The HTTP server: uvicorn with this project's protocols and limits."""

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from mezzotint.background import handle_stop_signals
from mezzotint.config import Settings
from mezzotint.gateway.network.connections import ConnectionLimits, OpenConnections
from mezzotint.gateway.network.descriptors import raise_descriptor_limit, share_descriptors
from mezzotint.gateway.network.forwarded import ForwardedClient, TrustedProxies
from mezzotint.gateway.network.protocols import STRANGERS, HttpProtocol, WebSocketProtocol
from mezzotint.metrics import Metrics

GRACE_S = 2
"""Longest time that open connections (event streams above all) delay a stop."""


class Server(uvicorn.Server):
    """Stops by SIGINT and SIGTERM; uvicorn's own handlers would raise the signal again afterwards."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        handle_stop_signals(lambda: self.handle_exit(signal.SIGTERM, None))
        yield


def build_server(app: ASGIApp, settings: Settings, proxies: TrustedProxies, metrics: Metrics) -> Server:
    """A server for one process. It raises the process's limit of open files."""
    most, backlog = share_descriptors(raise_descriptor_limit())
    limits = ConnectionLimits(
        in_all=min(settings.max_connections or most, most),
        per_address=settings.connections_per_address,
        client_timeout_s=settings.client_timeout_s,
        proxies=proxies,
    )
    open_connections = OpenConnections(limits=limits, metrics=metrics)
    return Server(configure(ForwardedClient(app, proxies), open_connections, backlog=backlog))


def configure(app: ASGIApp, open_connections: OpenConnections, **more: Any) -> uvicorn.Config:
    """uvicorn's configuration with the protocols of this project. more: further options of uvicorn's."""

    def made_by(protocol: Callable[..., asyncio.Protocol]) -> type[asyncio.Protocol]:
        """uvicorn asks for a class and only calls it."""
        return cast(type[asyncio.Protocol], partial(protocol, open_connections=open_connections))

    logging.getLogger("uvicorn.error").addFilter(STRANGERS)
    return uvicorn.Config(
        app,
        http=made_by(HttpProtocol),
        ws=made_by(WebSocketProtocol),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # ForwardedClient reads them
        ws_max_size=64 * 1024,
        timeout_graceful_shutdown=GRACE_S,
        **more,
    )
