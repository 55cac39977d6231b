"""A picture is signed before it is stored; one that cannot be signed is not delivered, and its job is tried again."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image as Pixels

from mezzotint.actions.finish import image_key
from mezzotint.domain.drawing.recipe import Recipe
from mezzotint.domain.ids import TenantId
from mezzotint.domain.job import JobState
from mezzotint.media.metadata import SOFTWARE, read_metadata
from mezzotint.provenance import Identity, JobProvenance, PictureSigner, Validity, payload_of, read_credentials
from mezzotint.provenance.authority import AuthorityFiles, make_authority
from mezzotint.provenance.watermark import find_mark
from mezzotint.worker.finish import finish_job
from mezzotint.worker.job_states import LeaseState
from mezzotint.worker.messages import RunEnded
from tests.unit.worker.conftest import Leases
from tests.unit.worker.test_finish import end_run

pytestmark = pytest.mark.anyio


async def shows_its_prompt(tenant: TenantId) -> bool:
    return tenant == "ada"


def make_signer(files: AuthorityFiles, identity: Identity | None = None) -> JobProvenance:
    signer = PictureSigner(identity or Identity.from_files(files.chain, files.key))
    return JobProvenance(signer=signer, hash_model=lambda name: "cd" * 32, shows_recipe=shows_its_prompt)


async def test_what_is_stored_is_signed_for_its_job(leases: Leases, tmp_path: Path) -> None:
    make_authority(tmp_path / "own")
    files = AuthorityFiles(tmp_path / "own")
    leases.jobs.job_provenance = make_signer(files)
    leased = await leases.lease(state=LeaseState.FINISHING)
    await finish_job(leases.jobs, leased, end_run(leased))
    (image,) = (await leases.row(leased)).images
    for content, suffix in ((image.png, "png"), (image.webp, "webp")):
        stored = await leases.jobs.backing.objects.get(image_key(content, suffix))
        assert stored is not None
        found = read_credentials(stored, files.root.read_text())
        assert (found.validity, found.job) == (Validity.TRUSTED, leased.job.id)
        assert (found.model, found.model_sha256) == (leased.job.model, "cd" * 32)
        assert (found.recipe or {})["prompt"] == leased.job.parameters.prompt
        assert read_metadata(stored).recipe == Recipe.of_job(leased.job, SOFTWARE)
        with Pixels.open(BytesIO(stored)) as picture:
            assert picture.size == (64, 64)


async def test_stored_files_tell_no_recipe_unless_the_tenant_says_everybody(leases: Leases, tmp_path: Path) -> None:
    async def shows_nothing(tenant: TenantId) -> bool:
        return False

    make_authority(tmp_path / "own")
    files = AuthorityFiles(tmp_path / "own")
    leases.jobs.job_provenance = replace(make_signer(files), shows_recipe=shows_nothing)
    leased = await leases.lease(state=LeaseState.FINISHING)
    await finish_job(leases.jobs, leased, end_run(leased))
    (image,) = (await leases.row(leased)).images
    for content, suffix in ((image.png, "png"), (image.webp, "webp")):
        stored = await leases.jobs.backing.objects.get(image_key(content, suffix))
        assert stored is not None
        assert leased.job.parameters.prompt.encode() not in stored
        assert read_metadata(stored).recipe is None


async def test_a_job_whose_picture_cannot_be_signed_goes_back_to_the_queue(leases: Leases, tmp_path: Path) -> None:
    make_authority(tmp_path / "own")
    files = AuthorityFiles(tmp_path / "own")

    def fail(data: bytes) -> bytes:
        raise ConnectionError("the KMS is away")

    broken = replace(Identity.from_files(files.chain, files.key), sign=fail)
    leases.jobs.job_provenance = make_signer(files, broken)
    leases.jobs.settings = replace(leases.jobs.settings, max_attempts=2)
    leased = await leases.lease(state=LeaseState.FINISHING)
    await finish_job(leases.jobs, leased, end_run(leased))
    assert (await leases.row(leased)).state is JobState.QUEUED
    leases.jobs.settings = replace(leases.jobs.settings, max_attempts=1)
    other = await leases.lease(state=LeaseState.FINISHING)
    await finish_job(leases.jobs, other, end_run(other))
    failed = await leases.row(other)
    assert failed.error is not None
    assert (failed.state, failed.error.code, failed.images) == (JobState.FAILED, "signing_failed", ())


async def test_a_marked_picture_names_its_job_even_after_jpeg(leases: Leases, tmp_path: Path) -> None:
    make_authority(tmp_path / "own")
    files = AuthorityFiles(tmp_path / "own")
    leases.jobs.job_provenance = replace(make_signer(files), watermark_key=b"key")
    leased = await leases.lease(state=LeaseState.FINISHING)
    parameters = replace(leased.job.parameters, width=320, height=320)
    leased.job = replace(leased.job, parameters=parameters)
    pixels = Pixels.effect_noise((320, 320), 40).convert("RGB")
    report = RunEnded(job=leased.job.id, step=30, pictures=(pixels,), cost_s=2.0)
    await finish_job(leases.jobs, leased, report)
    (image,) = (await leases.row(leased)).images
    stored = await leases.jobs.backing.objects.get(image_key(image.png, "png"))
    assert stored is not None
    assert read_credentials(stored).actions == ("c2pa.created", "c2pa.watermarked")
    buffer = BytesIO()
    with Pixels.open(BytesIO(stored)) as picture:
        picture.convert("RGB").save(buffer, "JPEG", quality=75)
    with Pixels.open(buffer) as picture:
        found = find_mark(picture, b"key")
    assert found is not None
    assert found.payload == payload_of(leased.job.id)
