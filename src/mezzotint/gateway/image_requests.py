"""Requests that are answered with images: OpenAI's and AUTOMATIC1111's routes submit and wait alike.

An image is a job like any other. If the client goes away the jobs go on, and their images are in the caller's history.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial

from fastapi import Request

from mezzotint.actions.finish import image_key
from mezzotint.actions.submit import Repeated, submit
from mezzotint.actions.upload import take_along
from mezzotint.domain.claims import Claims
from mezzotint.domain.drawing.recipe import Recipe, RecipeAudience
from mezzotint.domain.errors import SigningFailed, StorageUnavailable
from mezzotint.domain.ids import Sha256
from mezzotint.domain.job import Job, JobState
from mezzotint.domain.refusal import Refusal
from mezzotint.domain.submission import Once
from mezzotint.gateway.errors import ApiError, translate_refusal
from mezzotint.gateway.idempotency import TRY, name_try
from mezzotint.gateway.service import Service
from mezzotint.gateway.streams.wait import wait_until_final
from mezzotint.media.metadata import SOFTWARE, convert_to_avif, embed_recipe
from mezzotint.media.uploads import Reading
from mezzotint.policy.admission.request import JobRequest, ParsedRequest

WAIT_S = 540.0
"""A little less than clients wait."""
TrackJobs = Callable[[Sequence[Job]], AbstractContextManager[None]]
Delivered = Callable[[], Awaitable[None]]
"""Called once an answer was sent whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The jobs of a request. is_repeated: an earlier one made them. name: of the request that made them."""

    jobs: tuple[Job, ...]
    is_repeated: bool
    name: str


async def submit_jobs(
    service: Service, claims: Claims, wanted: JobRequest | ParsedRequest, once: Once | None
) -> Submitted:
    """Answers a refusal. once: the request's idempotency name."""
    outcome = await submit(service.admission, wanted, claims, service.now(), once)
    if isinstance(outcome, Refusal):
        raise translate_refusal(outcome)
    if isinstance(outcome, Repeated):
        return Submitted(jobs=outcome.jobs, is_repeated=True, name=outcome.name)
    return Submitted(jobs=outcome, is_repeated=False, name=once.name if once else "")


async def submit_and_wait(
    service: Service,
    request: Request,
    claims: Claims,
    wanted: JobRequest | ParsedRequest,
    *,
    user: str = "",
    track_jobs: TrackJobs = lambda jobs: nullcontext(),
) -> tuple[list[Job], Delivered]:
    """Submit a request of a compatible API, and wait until all jobs ended. Returns those that succeeded, and what is
    to be called once they were sent; answers why, when none did.

    user: see `name_try`. track_jobs: entered while the jobs are waited for.
    """
    async with service.open_stream(claims):
        job_request = wanted if isinstance(wanted, JobRequest) else wanted.request
        once = name_try(request, job_request, service, claims.owner, user)
        submitted = await submit_jobs(service, claims, wanted, once)
        with track_jobs(submitted.jobs):
            ended = await asyncio.gather(*(wait_until_final(service.backing, job, WAIT_S) for job in submitted.jobs))
    return select_succeeded(ended), partial(mark_delivered, service, claims, submitted)


async def mark_delivered(service: Service, claims: Claims, submitted: Submitted) -> None:
    """The answer was sent whole: a later retry of the same content is of another request."""
    if submitted.name.startswith(TRY):
        with suppress(StorageUnavailable):  # then a retry may find it for a while longer
            await service.admission.submissions.mark_delivered(claims.tenant, submitted.name, service.now())


def select_succeeded(jobs: Iterable[Job]) -> list[Job]:
    """The jobs with images. When there is none, answers why the first has none."""
    first, *others = jobs
    succeeded = [job for job in (first, *others) if job.state is JobState.SUCCEEDED]
    if succeeded:
        return succeeded
    if first.state is JobState.CANCELLED:
        raise ApiError("job_cancelled", hint="Send the request again.")
    if first.state is JobState.EXPIRED:
        raise ApiError("job_expired", hint="Send the request again later.")
    if first.error is None:
        raise ApiError("job_under_way", hint=f"GET /v1/jobs/{first.id}?wait=60 waits for it.")
    raise ApiError(first.error.code, message=first.error.message, hint=first.error.hint)


def describe_cut_texts(jobs: Sequence[Job]) -> list[str]:
    """Sentences on the part that the model read of texts that it cut."""
    cut = {name: read for job in jobs for name, read in asdict(job.cut_texts).items() if read is not None}
    return [
        f'The {name.replace("_", " ")} is longer than the model reads. It read: "{read}".' for name, read in cut.items()
    ]


async def upload_image(service: Service, claims: Claims, param: str, data: bytes, reading: Reading) -> Sha256:
    """Store a file of the request as an upload. Returns its name. param: the request's field."""
    source = await take_along(service.uploader, data, claims, service.now(), reading)
    if isinstance(source, Refusal):
        raise translate_refusal(replace(source, param=param))
    return source.content


async def read_image(service: Service, content: Sha256, suffix: str) -> bytes:
    """The file of an image. suffix: webp or png."""
    is_shown = await service.images.published_at(content) is not None
    data = await service.backing.objects.get(image_key(content, suffix)) if is_shown else None
    if data is None:
        raise ApiError("image_not_found", hint="It was deleted meanwhile; draw anew.")
    return data


async def sign_variant(service: Service, data: bytes, stored: bytes) -> bytes:
    """Sign a file that was made from a stored picture's, as that one is signed. Answers 503 when it cannot be."""
    if service.signer is None or data == stored:
        return data
    try:
        return await asyncio.to_thread(service.signer.sign_variant, data, stored, service.now())
    except SigningFailed as error:
        raise ApiError(error.code, message=str(error), hint=error.hint) from error


async def finish_file(service: Service, job: Job, data: bytes, stored: bytes) -> bytes:
    """Add the recipe, unless the job's tenant wants it in no file, and sign. Only for callers who may see the job.

    data: PNG, WebP or JPEG, the stored file or made from it. Answers 503 when it cannot be signed.
    """
    if (recipe := await _find_recipe(service, job)) is not None:
        data = await asyncio.to_thread(embed_recipe, data, recipe)
    return await sign_variant(service, data, stored)


async def make_avif(service: Service, job: Job, stored: bytes) -> bytes:
    """A stored picture as an AVIF file, finished as by `finish_file`."""
    recipe = await _find_recipe(service, job)
    return await sign_variant(service, await asyncio.to_thread(convert_to_avif, stored, recipe), stored)


async def _find_recipe(service: Service, job: Job) -> Recipe | None:
    """The recipe of a job; None: its tenant wants it in no file."""
    tenant = await service.accounts.tenants.present(job.tenant)
    is_unwanted = tenant is not None and tenant.recipe_audience is RecipeAudience.NOBODY
    return None if is_unwanted else Recipe.of_job(job, SOFTWARE)
