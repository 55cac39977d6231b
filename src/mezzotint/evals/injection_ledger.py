"""The ledger of injection patterns: in which week each was first seen, first caught, and lost again.

A file of JSON lines beside the results; it is only ever appended to. A line is an event of one pattern: `seen`,
`caught` or `lost`, with the week and the version of the filter. Weeks in which nothing changed write nothing.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mezzotint.domain.errors import ArgumentInvalid

_WEEK = re.compile(r"\d{4}-W\d{2}")


class LedgerInvalid(ArgumentInvalid):
    """The ledger of injection patterns cannot be read or written."""

    hint = "A last line that a crash cut off may be removed by hand; otherwise restore the file from a backup."


class LedgerEventKind(StrEnum):
    SEEN = "seen"
    CAUGHT = "caught"
    LOST = "lost"


class LedgerEvent(BaseModel):
    """week: as in 2026-W48. filter: version of the rules, heads and policy that decided."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    week: str
    event: LedgerEventKind
    pattern: str
    filter: str


@dataclass(frozen=True, slots=True)
class PatternHistory:
    """Weeks of a pattern. last_lost: the last week in which it passed after it had been caught."""

    first_seen: str
    first_caught: str | None = None
    last_lost: str | None = None
    is_caught: bool = False


class InjectionLedger:
    """Events read from a file that grows with each `record`. One process writes at a time."""

    def __init__(self, path: Path) -> None:
        """A file that does not exist is an empty ledger. Raises: LedgerInvalid."""
        self._path = path
        self._histories: dict[str, PatternHistory] = {}
        for event in self._read():
            self._apply(event)

    @property
    def histories(self) -> Mapping[str, PatternHistory]:
        """By pattern id."""
        return self._histories

    def list_seen_before(self, week: str) -> list[str]:
        """Ids of the patterns first seen in an earlier week, the latest first."""
        seen = [(history.first_seen, pattern) for pattern, history in self._histories.items()]
        return [pattern for first_seen, pattern in sorted(seen, reverse=True) if first_seen < week]

    def record(self, week: str, caught: Mapping[str, bool], filter_version: str) -> list[LedgerEvent]:
        """Append what the week's run changed. caught: whether the filter stopped the pattern, by id.

        Returns the events appended. Raises: LedgerInvalid.
        """
        check_week(week)
        events = [
            LedgerEvent(week=week, event=kind, pattern=pattern, filter=filter_version)
            for pattern, is_caught in caught.items()
            for kind in _list_changes(self._histories.get(pattern), is_caught)
        ]
        self._append(events)
        for event in events:
            self._apply(event)
        return events

    def _read(self) -> Iterator[LedgerEvent]:
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            raise LedgerInvalid(f"{self._path} cannot be read: {error}") from error
        for number, line in enumerate(lines, start=1):
            try:
                yield LedgerEvent.model_validate_json(line)
            except ValidationError as error:
                raise LedgerInvalid(f"{self._path}, line {number}: {error.errors()[0]['msg']}") from error

    def _append(self, events: list[LedgerEvent]) -> None:
        if not events:
            return
        lines = "".join(f"{event.model_dump_json()}\n" for event in events)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise LedgerInvalid(f"{self._path} cannot be written: {error}") from error

    def _apply(self, event: LedgerEvent) -> None:
        known = self._histories.get(event.pattern, PatternHistory(event.week))
        is_caught = event.event is LedgerEventKind.CAUGHT
        self._histories[event.pattern] = PatternHistory(
            first_seen=min(known.first_seen, event.week),
            first_caught=known.first_caught or (event.week if is_caught else None),
            last_lost=event.week if event.event is LedgerEventKind.LOST else known.last_lost,
            is_caught=is_caught,
        )


def check_week(week: str) -> None:
    """Raises: LedgerInvalid."""
    if not _WEEK.fullmatch(week):
        raise LedgerInvalid(f'"{week}" is no ISO week such as 2026-W48')


def _list_changes(history: PatternHistory | None, is_caught: bool) -> Iterator[LedgerEventKind]:
    if history is None:
        yield LedgerEventKind.SEEN
    was_caught = history is not None and history.is_caught
    if is_caught and not was_caught:
        yield LedgerEventKind.CAUGHT
    if was_caught and not is_caught:
        yield LedgerEventKind.LOST
