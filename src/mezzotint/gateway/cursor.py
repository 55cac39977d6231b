"""Pagination cursors: the sequence number of the last row of a page; opaque to clients."""

from typing import Annotated

from fastapi import Depends, Query

from mezzotint.gateway.errors import ApiError

MAX_SEQ = 2**63 - 1


async def read_cursor(
    cursor: Annotated[str | None, Query(max_length=32, description="`next_cursor` of the last page")] = None,
) -> int | None:
    """The sequence number to continue from. Answers 422 for text that is no cursor."""
    if not cursor:
        return None
    if not (cursor.isascii() and cursor.isdigit()) or not 0 < int(cursor) <= MAX_SEQ:
        hint = "Use the next_cursor of the last page, or leave it out to start anew."
        raise ApiError("field_invalid", message="The cursor is not one that a page gave.", hint=hint, param="cursor")
    return int(cursor)


Cursor = Annotated[int | None, Depends(read_cursor)]


def next_cursor(seqs: list[int], limit: int) -> str | None:
    """The cursor of the next page; None if this one was not full: there is nothing older."""
    return str(seqs[-1]) if len(seqs) == limit else None
