"""Files of finished pictures as the answer to a request of their owner: with the recipe, signed anew."""

import asyncio

from mezzotint.domain.job import Job
from mezzotint.domain.recipe import Recipe, RecipeAudience
from mezzotint.gateway.image_requests import sign_variant
from mezzotint.gateway.service import Service
from mezzotint.media.metadata import SOFTWARE, embed_recipe


async def finish_file(service: Service, job: Job, data: bytes, stored: bytes) -> bytes:
    """Add the recipe, unless the job's tenant wants it in no file, and sign. Only for callers who may see the job.

    data: PNG, WebP or JPEG, the stored file or made from it. Answers 503 when it cannot be signed.
    """
    tenant = await service.accounts.tenants.present(job.tenant)
    if tenant is None or tenant.recipe_audience is not RecipeAudience.NOBODY:
        data = await asyncio.to_thread(embed_recipe, data, Recipe.of_job(job, SOFTWARE))
    return await sign_variant(service, data, stored)
