"""Extends uvicorn's protocols with connection limits, a timeout for each head, and strict requests."""

import asyncio
import logging
from typing import Any

import h11
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from mezzotint.gateway.errors import ERROR_HEADER, ApiError
from mezzotint.gateway.network.connections import OpenConnections
from mezzotint.gateway.network.strict_http import MAX_HEAD_BYTES, StrictRequests


class LogFilter(logging.Filter):
    """Drops log lines that strangers could cause with each request; the metrics count them."""

    UNWANTED = ("Invalid HTTP request received.", "Unsupported upgrade request.")

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(self.UNWANTED)


STRANGERS = LogFilter("strangers")


class HttpProtocol(H11Protocol):
    """An HTTP connection. A WebSocket that it becomes keeps its place among the open connections."""

    def __init__(self, *args: Any, open_connections: OpenConnections, **named: Any) -> None:
        super().__init__(*args, **named)
        self.open_connections = open_connections
        self.conn: StrictRequests = StrictRequests(h11.SERVER, MAX_HEAD_BYTES)
        self.is_upgraded = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        host = self.client[0] if self.client else ""
        if not self.open_connections.admit(transport, host, self.end_waiting):
            hint = "Close connections that you do not use, or come back later."
            self._close_with(ApiError("too_many_connections", hint=hint))

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)
            self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open_connections.release(self.transport)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._tell()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self.is_upgraded = True
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Answer in the API's error shape, unless a response has begun."""
        self.open_connections.metrics.connections_ended.labels(why="malformed").inc()
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.close()
            return
        hint = self.conn.fault or "Send a well-formed HTTP/1.1 request."
        self._close_with(ApiError("request_malformed", hint=hint))

    def end_waiting(self) -> None:
        """The client took too long for a whole head. If it sent a part, it gets 408."""
        received, _ = self.conn.trailing_data
        if received and self.conn.our_state is h11.IDLE:
            hint = "Send the whole head at once."
            self._close_with(ApiError("client_too_slow", hint=hint))
        else:
            self.transport.close()

    def _tell(self) -> None:
        """Report whether the connection is idle."""
        is_waiting = self.cycle is None or self.cycle.response_complete
        if is_waiting and not self.is_upgraded:
            has_part = bool(self.conn.trailing_data[0])
            self.open_connections.wait(self.transport, is_kept=self.cycle is not None and not has_part)
        else:
            self.open_connections.serve(self.transport)

    def _close_with(self, answer: ApiError) -> None:
        self.transport.write(encode_response(answer))
        self.transport.close()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket. uvicorn pings it, and closes it if no pong comes.

    uvicorn answers each ping at once, also if the client takes no answers: pings would fill the memory. So nothing is
    read from a client that does not read.
    """

    def __init__(self, *args: Any, open_connections: OpenConnections, **named: Any) -> None:
        super().__init__(*args, **named)
        self.open_connections = open_connections

    def connection_lost(self, exc: Exception | None) -> None:
        self.open_connections.release(self.transport)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._set_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._set_reading()

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # refused: without this uvicorn logs that the application did not answer

    async def receive(self) -> ASGIReceiveEvent:
        message = await super().receive()
        self._set_reading()
        return message

    def _set_reading(self) -> None:
        """Read while the application takes messages and the client takes answers."""
        if self.transport.is_closing():
            return
        if self.writable.is_set() and not self.read_paused:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()


def encode_response(answer: ApiError) -> bytes:
    """The error as a whole HTTP response, after which the connection closes."""
    response = answer.response()
    lines = [f"HTTP/1.1 {answer.status} {answer.headers[ERROR_HEADER]}".encode()]
    lines += [name + b": " + value for name, value in [*response.raw_headers, (b"connection", b"close")]]
    return b"\r\n".join(lines) + b"\r\n\r\n" + bytes(response.body)
