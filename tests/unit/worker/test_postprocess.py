"""From pixels to rows: what passes the filter is stored, what does not leaves no trace, and faults reach the owner."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pixels

from mezzotint.domain.errors import NotFinite, StorageUnavailable
from mezzotint.domain.job import Ending, Job, JobState
from mezzotint.domain.tier import Tier
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.store import Objects
from mezzotint.worker.messages import RunEnded
from mezzotint.worker.postprocess import encode_preview, explain, postprocess
from tests.making import NOW, make_job

pytestmark = pytest.mark.anyio


def picture(level: int = 90) -> Pixels.Image:
    return Pixels.new("RGB", (64, 64), (level, 20, 30))


def ended(**changes: object) -> RunEnded:
    return RunEnded(job=make_job().id, step=30, denoise_s=1.5, decode_s=0.1, **changes)  # type: ignore[arg-type]


class Filter:
    """Blocks everything, or nothing."""

    def __init__(self, *, blocks: bool = False) -> None:
        self.blocks = blocks

    def check(self, image: Pixels.Image, tier: Tier) -> ImageVerdict:
        return ImageVerdict(verdict=SafetyVerdict.BLOCK if self.blocks else SafetyVerdict.ALLOW)

    def is_preview_blocked(self, image: Pixels.Image, tier: Tier) -> bool:
        return self.blocks


async def store(tmp_path: Path, job: Job, report: RunEnded, *, blocks: bool = False) -> Ending:
    return await postprocess(job, report, Filter(blocks=blocks), Objects(tmp_path / "objects"), lambda: NOW)


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
    ending = await store(tmp_path, make_job(), report, blocks=True)
    assert ending.state is JobState.BLOCKED
    assert ending.images == ()
    assert ending.error is not None
    assert ending.error.code == "image_blocked"
    assert files(tmp_path) == []


def test_a_preview_that_the_filter_blocks_is_left_out() -> None:
    rgb = np.zeros((64, 64, 3), np.uint8)
    assert encode_preview(rgb, Filter(blocks=True), Tier.FREE) is None
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
