"""The time that workers of a data folder have worked, and the times they were cut off, over all processes.

The file says whether a worker is at work; one that finds it said so, and nobody there, knows that the last one died. It
belongs to the process that holds its lock: a second worker in the folder counts for itself alone.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from mezzotint.policy.device.checkpoint_interval import mtbf_s

log = structlog.get_logger()
WRITE_S = 10.0
"""The time worked is written down so often."""
MEMORY_S = 30 * 86_400.0
"""Time worked after which older observations fade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UptimeRecord:
    ran_s: float = 0.0
    num_failures: float = 0.0
    is_working: bool = False


@dataclass(slots=True)
class Uptime:
    """path: None where nothing is kept."""

    path: Path | None = None
    clock: Callable[[], float] = time.monotonic
    record: UptimeRecord = field(default_factory=UptimeRecord)
    _lock: int = -1
    _ticked_at: float | None = None
    _written_at: float = 0.0

    def __enter__(self) -> Self:
        self.record, self._ticked_at = self._read(), None
        if self.record.is_working:
            failures = self.record.num_failures + 1
            log.warning(
                "the worker before this one did not stop by itself",
                failures=round(failures),
                in_hours=round(self.record.ran_s / 3600, 1),
            )
            self.record = replace(self.record, num_failures=failures)
        self._write(is_working=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._write(is_working=False)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def mtbf_s(self) -> float:
        return mtbf_s(self.record.ran_s, self.record.num_failures)

    def tick(self, *, is_working: bool) -> None:
        """Call it often. is_working: whether something would be lost now."""
        now = self.clock()
        if self._ticked_at is not None:
            self.record = fade_record(replace(self.record, ran_s=self.record.ran_s + now - self._ticked_at))
        self._ticked_at = now if is_working else None
        is_new = is_working and not self.record.is_working
        if is_new or (now - self._written_at >= WRITE_S and (is_working or self.record.is_working)):
            self._write(is_working=is_working)

    def record_failure(self) -> None:
        """Count work that was lost though the process goes on, or ends in order."""
        self.record = replace(self.record, num_failures=self.record.num_failures + 1)

    def _write(self, *, is_working: bool) -> None:
        self.record, self._written_at = replace(self.record, is_working=is_working), self.clock()
        if self.path is None or self._lock < 0:
            return
        aside = self.path.with_suffix(".new")
        try:
            aside.write_text(json.dumps(asdict(self.record)), encoding="utf-8")
            aside.replace(self.path)
        except OSError as error:
            log.warning("uptime not kept", path=str(self.path), why=error.strerror)

    def _read(self) -> UptimeRecord:
        """Lock and read the file; a file that cannot be read counts as new."""
        if self.path is None:
            return UptimeRecord()
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._lock = os.open(self.path.with_suffix(".lock"), flags, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1
            return UptimeRecord()
        try:
            found = json.loads(self.path.read_bytes())
            ran_s, failures = max(0.0, float(found["ran_s"])), max(0.0, float(found["num_failures"]))
            return UptimeRecord(ran_s=ran_s, num_failures=failures, is_working=found["is_working"] is True)
        except (OSError, ValueError, TypeError, KeyError):
            return UptimeRecord()


def fade_record(record: UptimeRecord) -> UptimeRecord:
    """Scale the record to at most `MEMORY_S` worked, at the same rate of failures."""
    share = MEMORY_S / record.ran_s if record.ran_s > MEMORY_S else 1.0
    return replace(record, ran_s=record.ran_s * share, num_failures=record.num_failures * share)
