"""A picture sent as HTTP says: not again to those who have it, and in part to those who ask for a part (RFC 9110)."""

import re

from fastapi import Request, Response

RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
"""One range; of several the whole is sent, which RFC 9110 (14.2) allows."""


def respond_with_picture(request: Request, data: bytes, kind: str, etag: str, headers: dict[str, str]) -> Response:
    """200, 206, 304 or 416. kind: png or webp. etag: strong, with its quotes."""
    headers = {**headers, "ETag": etag, "Accept-Ranges": "bytes"}
    if is_known(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    media_type, span = f"image/{kind}", read_range(request, etag, len(data))
    if span is None:
        return Response(data, media_type=media_type, headers=headers)
    begin, end = span
    if begin >= end:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(data)}"
    return Response(data[begin:end], 206, headers, media_type)


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the list names the tag, by the weak comparison (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in tags or etag in tags


def read_range(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """Begin and end of the bytes that are asked for, empty where there are none; None: the whole."""
    match = RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if match is None or request.headers.get("if-range", etag) != etag or match[0] == "bytes=-":
        return None
    first, last = match.groups()
    if not first:  # the last so many
        return max(0, size - int(last)) if int(last) else size, size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size
