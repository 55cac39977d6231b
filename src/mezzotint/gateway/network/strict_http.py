"""Refuses requests that two servers may read in two ways (RFC 9112, 11.2: request smuggling).

h11 is lenient: of Transfer-Encoding and Content-Length it believes the first, and it takes folded header lines, line
ends without CR, control characters in values and targets of any form. A proxy in front may read each of them otherwise.
"""

import re
from dataclasses import replace

import h11

from mezzotint.gateway.errors import ERROR_HEADER

MAX_HEAD_BYTES = 16 * 1024
"""Limit of the request line and all header lines."""

_ERROR_HEADER = ERROR_HEADER.lower().encode()
_END = re.compile(rb"\n\r?\n")
"""The end of a head, as h11 finds it; a stricter rule would let the head through unseen."""
_BARE_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FOLDED = re.compile(rb"\n[ \t]")
_LENGTH = re.compile(rb"\ncontent-length[ \t]*:", re.IGNORECASE)
_CODING = re.compile(rb"\ntransfer-encoding[ \t]*:", re.IGNORECASE)
_REQUEST_LINE = re.compile(rb"[A-Z]+ /[^ ]* HTTP/1\.[01]\r\n")
_REQUEST_LINE_1_1 = re.compile(rb"[^\r]* HTTP/1\.1\r\n")
_PLAIN = re.compile(rb"[A-Z]+ /[^ \x00-\x1f\x7f]* HTTP/1\.[01]\r\n(?:[!-~][^\x00-\x08\x0a-\x1f\x7f]*\r\n)*\r\n")
"""Matches nearly every request in one pass: no line is folded, ends without CR LF or has control characters."""


def find_fault(head: bytes) -> str | None:
    """The fault of a request's head, as a hint for its sender; None: it has none. head: with its last line end."""
    if len(head) <= MAX_HEAD_BYTES and _PLAIN.fullmatch(head):
        lowered = head.lower()
        if b"\ntransfer-encoding" not in lowered and lowered.count(b"\ncontent-length") <= 1:
            return None
    return _explain(head)


def _explain(head: bytes) -> str | None:
    faults = {
        "Send a shorter head.": len(head) > MAX_HEAD_BYTES,
        "End each line with CR LF, and send neither alone.": _BARE_LINE_END.search(head),
        "Send no control characters.": _CONTROL.search(head),
        "Send each header on one line.": _FOLDED.search(head),
        "Send one Content-Length.": len(_LENGTH.findall(head)) > 1,
        "Send Content-Length or Transfer-Encoding, not both.": _LENGTH.search(head) and _CODING.search(head),
    }
    for hint, is_fault in faults.items():
        if is_fault:
            return hint
    if not _REQUEST_LINE.match(head):
        return "Send a method in capitals, the path alone as the target, and HTTP/1.1."
    if _CODING.search(head) and not _REQUEST_LINE_1_1.match(head):
        return "Send Transfer-Encoding by HTTP/1.1 alone."
    return None


class StrictRequests(h11.Connection):
    """The server's side of a connection. fault: why the last request was refused by `find_fault`.

    The status line of an error says what was wrong: many clients show it and drop the body.
    """

    fault: str | None = None

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Raises: RemoteProtocolError, also where h11 alone would take the request."""
        if self.their_state is h11.IDLE:
            received, _ = self.trailing_data
            end = _END.search(received)
            if end is not None:
                self.fault = find_fault(received[: end.end()])
            if self.fault is not None:
                raise h11.RemoteProtocolError(self.fault)
        return super().next_event()

    def send_with_data_passthrough(self, event: h11.Event) -> list[bytes] | None:
        if isinstance(event, h11.Response) and event.status_code >= 400:
            reason = next((value for name, value in event.headers if name == _ERROR_HEADER), event.reason)
            event = replace(event, reason=reason)
        return super().send_with_data_passthrough(event)
