"""Job events between processes, by PostgreSQL's LISTEN and NOTIFY.

Told elsewhere are: that work waits, that a job's row changed, that a step ended, and who is watched, so that previews
are made only for watched jobs. A preview is larger than a notification may be: it lies in a row, the notification says
so. Whatever is lost while the connection is away costs a second: waiters read rows anyway. Nothing here is durable.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict
from typing import Any

from sqlalchemy import select

from mezzotint.background import BackgroundTasks
from mezzotint.domain.errors import StorageUnavailable
from mezzotint.domain.event import Changed, JobEvent, LoadProgress, Moved, Progressed
from mezzotint.domain.ids import JobId
from mezzotint.store.database import Database
from mezzotint.store.events.event_bus import MAX_PROGRESS, EventBus
from mezzotint.store.jobs import Jobs
from mezzotint.store.schema import previews

CHANNEL = "mezzotint"
WATCH_S = 4.0
"""Watched jobs are told again so often."""
FORGET_S = 12.0
AGAIN_S = 1.0
MAX_HEARD = 4096
KEEP = "INSERT INTO previews (job, data) VALUES ($1, $2) ON CONFLICT (job) DO UPDATE SET data = EXCLUDED.data"


class PostgresEventBus(EventBus):
    """An event bus whose ends are in all processes of one PostgreSQL database."""

    def __init__(self, database: Database, jobs: Jobs) -> None:
        super().__init__()
        self._dsn = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._database, self._jobs = database, jobs
        self._me = secrets.token_hex(4)
        self._outgoing: dict[str, dict[str, Any]] = {}
        self._previews: dict[JobId, str] = {}
        self._ended: set[JobId] = set()
        self._has_outgoing = asyncio.Event()
        self._heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MAX_HEARD)
        self._far: dict[JobId, float] = {}
        self._unheard: dict[JobId, Progressed] = {}  # the newest of each job here, told to a watcher that comes later

    @asynccontextmanager
    async def running(self, background: BackgroundTasks) -> AsyncIterator[None]:
        async with background.running(
            background.run_forever("event relay", AGAIN_S, self._connect),
            background.run_forever("event delivery", 0, self._deliver_next),
        ):
            yield

    def publish(self, job: JobId, event: JobEvent) -> None:
        super().publish(job, event)
        match event:
            case Changed():
                self._unheard.pop(job, None)
                self._tell(f"changed {job}", {"kind": "changed", "job": job})
                if event.job.state.is_final:
                    self._previews.pop(job, None)
                    self._ended.add(job)
            case Moved():
                self._tell(f"moved {job}", {"kind": "moved", "job": job, "reason": event.reason})
            case Progressed() if self._far.get(job, 0.0) > time.monotonic():
                self._tell_progress(job, event)
            case Progressed():  # nobody elsewhere listens, as far as is known here
                self._unheard[job] = event
                if len(self._unheard) > MAX_PROGRESS:
                    del self._unheard[next(iter(self._unheard))]

    def _tell_progress(self, job: JobId, event: Progressed) -> None:
        if event.preview is not None:
            self._previews[job] = event.preview
        step = {"step": event.step, "of": event.num_steps, "shows": event.preview is not None}
        model = {} if event.loading is None else {"loading": asdict(event.loading)}
        self._tell(f"step {job}", {"kind": "step", "job": job, **step, **model})

    def ring(self) -> None:
        super().ring()
        self._tell("work", {"kind": "work"})

    def is_watched(self, job: JobId) -> bool:
        return super().is_watched(job) or self._far.get(job, 0.0) > time.monotonic()

    @contextmanager
    def watch(self, job: JobId) -> Iterator[asyncio.Queue[JobEvent]]:
        with super().watch(job) as queue:
            self._tell_watch(job)
            yield queue

    def _tell_watch(self, job: JobId) -> None:
        self._tell(f"watch {job}", {"kind": "watch", "job": job})

    def _tell(self, key: str, message: dict[str, Any]) -> None:
        """Send soon; a newer message of the same key takes the place of one that was not sent yet."""
        self._outgoing[key] = {**message, "from": self._me}
        self._has_outgoing.set()

    async def _connect(self) -> None:
        """Tell and hear until the connection is cut. Raises: StorageUnavailable."""
        import asyncpg

        def hear(connection: Any, pid: int, channel: str, payload: str) -> None:
            message = json.loads(payload)
            if message.get("from") != self._me and not self._heard.full():
                self._heard.put_nowait(message)

        try:
            connection = await asyncpg.connect(self._dsn, timeout=5, command_timeout=10)
            try:
                await connection.execute("SET synchronous_commit = off")
                await connection.add_listener(CHANNEL, hear)
                await self._send(connection)
            finally:
                connection.terminate()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StorageUnavailable(f"events wait for the database ({type(error).__name__})") from error

    async def _send(self, connection: Any) -> None:
        while not connection.is_closed():
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_S):
                    await self._has_outgoing.wait()
            self._has_outgoing.clear()
            now = time.monotonic()
            self._far = {job: until for job, until in self._far.items() if until > now}
            messages, self._outgoing = self._outgoing, {}
            messages |= {f"watch {job}": {"kind": "watch", "job": job, "from": self._me} for job in self.watched_jobs()}
            previews, self._previews = self._previews, {}
            ended, self._ended = self._ended, set()
            if previews:
                await connection.executemany(KEEP, list(previews.items()))
            if ended:
                await connection.execute("DELETE FROM previews WHERE job = ANY($1::text[])", list(ended))
            texts = [json.dumps(message) for message in messages.values()]
            await connection.execute("SELECT pg_notify($1, told) FROM unnest($2::text[]) AS told", CHANNEL, texts)

    async def _deliver_next(self) -> None:
        message = await self._heard.get()
        job = JobId(message.get("job", ""))
        match message["kind"]:
            case "work":
                self.work.set()
            case "watch":
                self._far[job] = time.monotonic() + FORGET_S
                if (event := self._unheard.pop(job, None)) is not None:
                    self._tell_progress(job, event)
            case "changed" | "step" | "moved" if super().is_watched(job):
                if message["kind"] == "changed":  # it may be claimed by a worker that has not heard of its watcher
                    self._tell_watch(job)
                with suppress(StorageUnavailable):  # the watcher reads the row itself a second later
                    await self._pass_on(job, message)

    async def _pass_on(self, job: JobId, message: dict[str, Any]) -> None:
        if message["kind"] == "step":
            preview = await self._preview(job) if message["shows"] else None
            step, num_steps, model = message["step"], message["of"], message.get("loading")
            loading = None if model is None else LoadProgress(**model)
            event = Progressed(job=job, step=step, num_steps=num_steps, preview=preview, loading=loading)
            super().publish(job, event)
        elif message["kind"] == "moved":
            super().publish(job, Moved(job=job, reason=message["reason"]))
        elif (row := await self._jobs.get(job)) is not None:
            super().publish(job, Changed(job=row))

    async def _preview(self, job: JobId) -> str | None:
        async with self._database.read() as connection:
            found = await connection.execute(select(previews.c.data).where(previews.c.job == job))
            data: str | None = found.scalar_one_or_none()
            return data
