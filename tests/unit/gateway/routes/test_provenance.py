"""The origin of a job's pictures is read from their files, for those who may see the job."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from mezzotint.actions.finish import image_key
from mezzotint.domain.ids import WorkerId
from mezzotint.domain.job import Job
from mezzotint.gateway import Service
from mezzotint.provenance import Identity, PictureSigner
from mezzotint.provenance.authority import AuthorityFiles, make_authority
from mezzotint.provenance.manifest import Model, describe_job
from mezzotint.store import WorkerOffer
from tests.making import NOW, make_ending, make_image, make_job
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio


def png() -> bytes:
    buffer = BytesIO()
    Image.linear_gradient("L").convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


async def add_finished(service: Service, job: Job, file: bytes | None, content: str = "ab") -> None:
    picture = make_image(job, content)
    await service.backing.jobs.add(job)
    (taken,) = await service.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    assert taken.lease is not None
    if file is not None:
        await service.backing.objects.put(image_key(picture.png, "png"), file)
    await service.backing.jobs.finish(job.id, taken.lease, make_ending(job, images=(picture,)))


async def test_a_signed_picture_is_read_and_one_changed_in_the_store_is_found_out(
    connect: Connect, service: Service, tmp_path: Path
) -> None:
    make_authority(tmp_path / "own")
    files = AuthorityFiles(tmp_path / "own")
    object.__setattr__(service, "trust_anchors", files.root.read_text())
    job = make_job()
    signer = PictureSigner(Identity.from_files(files.chain, files.key))
    signed = signer.sign(png(), describe_job(job, Model(name=job.model, sha256=None), NOW, shows_prompt=False))
    await add_finished(service, job, signed)
    async with connect("ada") as ada:
        (found,) = (await ada.get(f"/v1/jobs/{job.id}/provenance")).json()["images"]
        assert (found["validity"], found["job"], found["model"]) == ("trusted", job.id, job.model)
        assert (found["png"], found["recipe"], found["model_sha256"]) == ("ab" * 32, None, None)
        changed = signed[:-100] + bytes([signed[-100] ^ 1]) + signed[-99:]
        await service.backing.objects.put(image_key(make_image(job).png, "png"), changed)
        (found,) = (await ada.get(f"/v1/jobs/{job.id}/provenance")).json()["images"]
        assert found["validity"] == "invalid"
        assert found["problems"]


async def test_pictures_without_credentials_and_jobs_of_others_say_so(connect: Connect, service: Service) -> None:
    plain, gone = make_job(), make_job()
    await add_finished(service, plain, png())
    await add_finished(service, gone, None, "cd")
    async with connect("ada") as ada, connect("eve") as eve:
        (found,) = (await ada.get(f"/v1/jobs/{plain.id}/provenance")).json()["images"]
        assert (found["validity"], found["signer"]) == ("absent", None)
        for client, job in ((ada, gone), (eve, plain)):
            answer = await client.get(f"/v1/jobs/{job.id}/provenance")
            assert answer.status_code == 404
