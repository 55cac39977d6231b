"""A picture sent as HTTP says: not again to those who have it, and in part to those who ask for a part (RFC 9110)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from fastapi import Request, Response

RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
"""A single range; a request for several gets the whole file, which RFC 9110 (14.2) allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureVersion:
    """etag: strong, with its quotes. modified_at: when the picture was first published; in headers to the second."""

    etag: str
    modified_at: datetime

    @property
    def last_modified(self) -> str:
        return format_datetime(self.modified_at.astimezone(UTC), usegmt=True)

    def is_known(self, request: Request) -> bool:
        """Say whether the client has it already. A date counts only without a tag (RFC 9110, 13.2.2)."""
        tags = request.headers.get("if-none-match")
        return self.has_tag(tags) if tags is not None else self.is_older(request.headers.get("if-modified-since"))

    def has_tag(self, if_none_match: str) -> bool:
        """Say whether the list names the tag, by the weak comparison (RFC 9110, 13.1.2)."""
        tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
        return "*" in tags or self.etag in tags

    def is_older(self, if_modified_since: str | None) -> bool:
        """A header that is no date is ignored (RFC 9110, 13.1.3)."""
        try:
            since = parsedate_to_datetime(if_modified_since or "")
        except (ValueError, OverflowError):
            return False
        since = since if since.tzinfo else since.replace(tzinfo=UTC)
        return self.modified_at.replace(microsecond=0) <= since


def respond_with_picture(
    request: Request, data: bytes, kind: str, version: PictureVersion, headers: dict[str, str]
) -> Response:
    """200, 206, 304 or 416. kind: png or webp."""
    headers = {**headers, "ETag": version.etag, "Last-Modified": version.last_modified, "Accept-Ranges": "bytes"}
    if version.is_known(request):
        return Response(status_code=304, headers=headers)
    media_type, span = f"image/{kind}", read_range(request, version, len(data))
    if span is None:
        return Response(data, media_type=media_type, headers=headers)
    begin, end = span
    if begin >= end:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(data)}"
    return Response(data[begin:end], 206, headers, media_type)


def read_range(request: Request, version: PictureVersion, size: int) -> tuple[int, int] | None:
    """Begin and end of the bytes that are asked for, empty where there are none; None: the whole."""
    match = RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    is_same = request.headers.get("if-range", version.etag) in {version.etag, version.last_modified}
    if match is None or not is_same or match[0] == "bytes=-":
        return None
    first, last = match.groups()
    if not first:  # the last so many
        return max(0, size - int(last)) if int(last) else size, size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size
