"""From pixels to rows: what passes the filter is stored, what does not leaves no trace, and faults reach the owner."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pixels

from mezzotint.domain.errors import NotFinite, StorageUnavailable
from mezzotint.domain.job import Ending, Job, JobState
from mezzotint.domain.safety.held_image import HeldState
from mezzotint.domain.tier import Tier
from mezzotint.media import blur_picture
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.store import Objects
from mezzotint.worker.messages import RunEnded
from mezzotint.worker.postprocess import PictureStorage, encode_preview, explain, postprocess
from tests.making import NOW, make_job

pytestmark = pytest.mark.anyio


def picture(level: int = 90) -> Pixels.Image:
    return Pixels.new("RGB", (64, 64), (level, 20, 30))


def ended(**changes: object) -> RunEnded:
    return RunEnded(job=make_job().id, step=30, denoise_s=1.5, decode_s=0.1, **changes)  # type: ignore[arg-type]


SCORES = {"fixed": {"violence": 0.75, "sexual": float("nan")}}


class Filter:
    """Gives every picture the same verdict."""

    def __init__(self, verdict: SafetyVerdict = SafetyVerdict.ALLOW) -> None:
        self.verdict = verdict

    def check(self, image: Pixels.Image, tier: Tier) -> ImageVerdict:
        return ImageVerdict(verdict=self.verdict, category=SafetyCategory.VIOLENCE, scores=SCORES, version="v7")

    def is_preview_blocked(self, image: Pixels.Image, tier: Tier) -> bool:
        return self.verdict is not SafetyVerdict.ALLOW


async def store(tmp_path: Path, job: Job, report: RunEnded, verdict: SafetyVerdict = SafetyVerdict.ALLOW) -> Ending:
    return await postprocess(
        job, report, Filter(verdict), PictureStorage(objects=Objects(tmp_path / "objects")), lambda: NOW
    )


def files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]


async def test_pictures_are_stored_under_the_hash_of_their_bytes(tmp_path: Path) -> None:
    job = make_job()
    report = ended(pictures=(picture(90), picture(200)))
    ending = await store(tmp_path, job, report)
    assert (ending.state, ending.error, ending.step) == (JobState.SUCCEEDED, None, 30)
    assert [image.position for image in ending.images] == [0, 1]
    names = {path.name for path in files(tmp_path)}
    assert names == {f"{i.png}.png" for i in ending.images} | {f"{i.webp}.webp" for i in ending.images}
    assert ending.timings.denoise_s == 1.5
    assert ending.timings.filter_s is not None
    assert ending.timings.upload_s is not None


async def test_a_blocked_picture_is_never_stored(tmp_path: Path) -> None:
    report = ended(pictures=(picture(),))
    ending = await store(tmp_path, make_job(), report, SafetyVerdict.BLOCK)
    assert ending.state is JobState.BLOCKED
    assert ending.images == ()
    assert ending.error is not None
    assert ending.error.code == "image_blocked"
    assert "gore or extreme violence" in ending.error.message
    assert "POST /v1/appeals with the refusal job_" in ending.error.hint
    assert files(tmp_path) == []
    (held,) = ending.held
    assert (held.state, held.category, held.key) == (HeldState.BLOCKED, "violence", None)
    assert (held.scores, held.filter_version) == ({"fixed": {"violence": 0.75, "sexual": None}}, "v7")


async def test_only_a_blurred_file_is_kept_of_a_picture_to_be_blurred(tmp_path: Path) -> None:
    sharp = Pixels.effect_noise((96, 96), 80).convert("RGB")
    ending = await store(tmp_path, make_job(), ended(pictures=(sharp,)), SafetyVerdict.BLUR)
    (image,) = ending.images
    assert (ending.state, image.verdict, image.filter_version) == (JobState.SUCCEEDED, "blur", "v7")
    assert image.scores == {"fixed": {"violence": 0.75, "sexual": None}}
    assert len(files(tmp_path)) == 2
    for path in files(tmp_path):
        with Pixels.open(path) as delivered:
            assert delivered.size == sharp.size
            assert delivered.convert("RGB").tobytes() == blur_picture(sharp).tobytes()


def test_a_preview_that_the_filter_blocks_is_left_out() -> None:
    rgb = np.zeros((64, 64, 3), np.uint8)
    assert encode_preview(rgb, Filter(SafetyVerdict.BLOCK), Tier.FREE) is None
    assert (encode_preview(rgb, Filter(), Tier.FREE) or "").startswith("data:image/webp;base64,")


def test_a_fault_of_the_job_is_told_with_its_own_code() -> None:
    fault = explain(make_job(), NotFinite("at step 3"))
    assert (fault.code, str(fault)) == ("not_finite", "at step 3")


def test_a_foreign_exception_is_told_without_its_text() -> None:
    """The text may hold paths or prompts; the log has it, the owner gets the kind."""
    fault = explain(make_job(), RuntimeError("/secret/path is missing"))
    assert fault.code == "run_failed"
    assert "RuntimeError" in str(fault)
    assert "secret" not in str(fault)


async def test_a_store_that_fails_may_be_asked_again(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "images").write_text("a file where a folder must be")
    job, report = make_job(), ended(pictures=(picture(),))
    with pytest.raises(StorageUnavailable):
        await store(tmp_path, job, report)
    (tmp_path / "objects" / "images").unlink()
    assert (await store(tmp_path, job, report)).state is JobState.SUCCEEDED
