"""Prompts of the newest jobs and kept refusals, to try a rule on."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select

from mezzotint.store.database import Database
from mezzotint.store.schema import jobs, refusals

PAGE = 1000


class PromptPair(NamedTuple):
    prompt: str
    negative_prompt: str


class RecentPrompts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, limit: int) -> list[PromptPair]:
        """The prompts of the newest jobs of all tenants, and of the newest refusals whose text is kept: `limit` in all,
        the newest of both by their time.
        """
        found = await self._of_jobs(limit)
        query = select(refusals.c.created_at, refusals.c.raw_prompt).where(refusals.c.raw_prompt != "")
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(refusals.c.seq.desc()).limit(limit))).all()
        found += [(at, PromptPair(prompt, "")) for at, prompt in rows]
        found.sort(key=lambda one: one[0], reverse=True)
        return [pair for _, pair in found[:limit]]

    async def _of_jobs(self, limit: int) -> list[tuple[datetime, PromptPair]]:
        found: list[tuple[datetime, PromptPair]] = []
        before: int | None = None
        texts = (jobs.c.parameters["prompt"].as_string(), jobs.c.parameters["negative_prompt"].as_string())
        while len(found) < limit:
            query = select(jobs.c.seq, jobs.c.created_at, *texts).order_by(jobs.c.seq.desc())
            query = query.limit(min(PAGE, limit - len(found)))
            if before is not None:
                query = query.where(jobs.c.seq < before)
            async with self._database.read() as connection:
                rows = (await connection.execute(query)).all()
            if not rows:
                break
            found += [(at, PromptPair(prompt or "", negative or "")) for _, at, prompt, negative in rows]
            before = rows[-1][0]
        return found
