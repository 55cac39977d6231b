"""Signs the files of jobs."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from mezzotint.domain.ids import TenantId
from mezzotint.domain.job import Job
from mezzotint.provenance.manifest import Model, describe_job
from mezzotint.provenance.signer import PictureSigner


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSigner:
    """hash_model: SHA-256 of a model's weights by its name, None if unknown; may take seconds the first time.
    shows_prompt: whether a tenant wants its prompts in its pictures; raises StorageUnavailable."""

    signer: PictureSigner
    hash_model: Callable[[str], str | None]
    shows_prompt: Callable[[TenantId], Awaitable[bool]]

    async def prepare(self, job: Job, at: datetime) -> Callable[[bytes], bytes]:
        """A function that signs a file of the job's pictures; call it on a thread. Raises: StorageUnavailable."""
        sha256 = await asyncio.to_thread(self.hash_model, job.model)
        shows_prompt = await self.shows_prompt(job.tenant)
        manifest = describe_job(job, Model(name=job.model, sha256=sha256), at, shows_prompt=shows_prompt)
        return lambda data: self.signer.sign(data, manifest)
