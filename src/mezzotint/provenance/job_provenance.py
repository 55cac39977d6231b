"""The traces of origin that a job's pictures get: a mark in the pixels, a manifest in the files."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from PIL import Image

from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.job import Job
from mezzotint.provenance.manifest import Model, describe_job
from mezzotint.provenance.signer import PictureSigner


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureTools:
    """Marks pictures and signs their files before they are stored; both take their time on a thread.

    mark: of the pixels. sign: of each encoded file; raises SigningFailed. shows_recipe: whether stored files, which
    anybody may read who has their address, tell prompt, seed and settings.
    """

    mark: Callable[[Image.Image], Image.Image] = lambda picture: picture
    sign: Callable[[bytes], bytes] = lambda file: file
    shows_recipe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProvenance:
    """signer, watermark_key: None where files are not signed, or pixels not marked. hash_model: SHA-256 of a model's
    weights by its name, None if unknown; may take seconds the first time. shows_recipe: whether a tenant wants
    everybody to find its prompts in its pictures; raises StorageUnavailable."""

    signer: PictureSigner | None
    hash_model: Callable[[str], str | None]
    shows_recipe: Callable[[TenantId], Awaitable[bool]]
    watermark_key: bytes | None = None

    async def prepare(self, job: Job, at: datetime) -> PictureTools:
        """Raises: StorageUnavailable."""
        mark, sign = PictureTools().mark, PictureTools().sign
        if self.watermark_key is not None:
            mark = _make_marker(job.id, self.watermark_key)
        shows_recipe = await self.shows_recipe(job.tenant)
        if self.signer is not None:
            sign = await self._make_signing(self.signer, job, at, shows_recipe=shows_recipe)
        return PictureTools(mark=mark, sign=sign, shows_recipe=shows_recipe)

    async def describe(self, tenant: TenantId) -> str:
        """The traces that a tenant's pictures get, as a text without the job. Raises: StorageUnavailable."""
        traces = ("marked" if self.watermark_key is not None else "", "signed" if self.signer is not None else "")
        return " ".join(traces) + (" with recipe" if await self.shows_recipe(tenant) else "")

    async def _make_signing(
        self, signer: PictureSigner, job: Job, at: datetime, *, shows_recipe: bool
    ) -> Callable[[bytes], bytes]:
        sha256 = await asyncio.to_thread(self.hash_model, job.model)
        manifest = describe_job(
            job,
            Model(name=job.model, sha256=sha256),
            at,
            shows_prompt=shows_recipe,
            is_marked=self.watermark_key is not None,
        )
        return lambda file: signer.sign(file, manifest)


def payload_of(job: JobId) -> int:
    """The 32 bits of a mark: the first eight hex digits of the job's id, which are random."""
    return int(job.removeprefix("job_")[:8], 16)


def _make_marker(job: JobId, key: bytes) -> Callable[[Image.Image], Image.Image]:
    def mark(picture: Image.Image) -> Image.Image:
        from mezzotint.provenance.watermark import embed_mark

        return embed_mark(picture, key, payload_of(job))

    return mark
