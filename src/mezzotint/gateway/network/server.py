"""The HTTP server: uvicorn with this project's protocols and limits."""

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
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
KEEP_ALIVE_S = 24 * 3600
"""uvicorn's own limit of idle connections, which never comes first: `OpenConnections` ends them."""


class Server(uvicorn.Server):
    """Stops by SIGINT and SIGTERM; uvicorn's own handlers would raise the signal again afterwards.

    drain_s: it serves on for so long after the first signal, and says that it is stopping; a second one stops at once.
    on_stop: called when it stops, before the connections are waited for.
    """

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None], drain_s: float = 0.0) -> None:
        super().__init__(config)
        self.drain_s = drain_s
        self.is_stopping = False
        self._on_stop = on_stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        is_first, self.is_stopping = not self.is_stopping, True
        if is_first and self.drain_s:
            asyncio.get_running_loop().call_later(self.drain_s, self._stop, sig, frame)
        else:
            self._stop(sig, frame)

    def _stop(self, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            self._on_stop()
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        handle_stop_signals(lambda: self.handle_exit(signal.SIGTERM, None))
        yield


def build_server(
    app: ASGIApp, settings: Settings, proxies: TrustedProxies, metrics: Metrics, on_stop: Callable[[], None]
) -> Server:
    """A server for one process. It raises the process's limit of open files."""
    most, backlog = share_descriptors(raise_descriptor_limit())
    limits = ConnectionLimits(
        in_all=min(settings.max_connections or most, most),
        per_address=settings.connections_per_address,
        client_timeout_s=settings.client_timeout_s,
        keep_alive_s=settings.keep_alive_s,
        proxies=proxies,
    )
    open_connections = OpenConnections(limits=limits, metrics=metrics)
    config = configure(ForwardedClient(app, proxies), open_connections, backlog=backlog)
    return Server(config, on_stop, settings.drain_s)


def configure(app: ASGIApp, open_connections: OpenConnections, **more: Any) -> uvicorn.Config:
    """uvicorn's configuration with the protocols of this project. more: further options of uvicorn's."""

    def bind_connections(protocol: Callable[..., asyncio.Protocol]) -> type[asyncio.Protocol]:
        """uvicorn asks for a class and only calls it."""
        return cast(type[asyncio.Protocol], partial(protocol, open_connections=open_connections))

    logging.getLogger("uvicorn.error").addFilter(STRANGERS)
    return uvicorn.Config(
        app,
        http=bind_connections(HttpProtocol),
        ws=bind_connections(WebSocketProtocol),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # ForwardedClient reads them
        ws_max_size=64 * 1024,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        **more,
    )
