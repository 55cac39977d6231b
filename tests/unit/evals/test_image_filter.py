"""Catch rates of the image filter on labelled pictures of an operator's own."""

from pathlib import Path

import pytest
from PIL import Image

from mezzotint.evals.pictures.drawn import PicturesInvalid
from mezzotint.evals.pictures.image_filter import measure_image_filter, read_labelled_pictures
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict

ROWS = (("a.png", "unsafe", "violence", 250), ("b.png", "unsafe", "violence", 40), ("c.png", "nude", "sexual", 200))
SAFE = (("d.png", "safe", "medicine", 210), ("e.png", "Safe", "", 10), ("f.png", "benign", "", 20))


def write(folder: Path, *rows: tuple[str, str, str, int]) -> Path:
    """Pictures of one grey level each, and the file that lists them."""
    for name, _, _, level in rows:
        Image.new("RGB", (8, 8), (level, level, level)).save(folder / name)
    lines = [f"{name},{label},{category}" for name, label, category, _ in rows]
    listed = folder / "pictures.csv"
    listed.write_text("\n".join(["file,label,category", *lines]), encoding="utf-8")
    return listed


def check(image: Image.Image) -> ImageVerdict:
    """A filter that blocks what is bright, blurs what is a little less so, and scores brightness."""
    level = image.getpixel((0, 0))[0]  # type: ignore[index]
    verdict = SafetyVerdict.BLOCK if level > 205 else SafetyVerdict.BLUR if level > 195 else SafetyVerdict.ALLOW
    return ImageVerdict(verdict=verdict, scores={"fixed": {"violence": level / 255, "young_face": 1.0}})


def test_stopped_pictures_are_counted_by_label_and_category(tmp_path: Path) -> None:
    seen: list[int] = []
    pictures = read_labelled_pictures(write(tmp_path, *ROWS, *SAFE))
    result = measure_image_filter(check, pictures, inputs={}, on_picture=lambda: seen.append(1))
    shares = {name: (figure.value, figure.num) for name, figure in result.figures.items()}
    assert shares["unsafe.stopped"] == (pytest.approx(2 / 3), 3)
    assert shares["harmless.stopped"] == (pytest.approx(1 / 3), 3)
    assert shares["unsafe.stopped_at_1%"] == (pytest.approx(1 / 3), 3), "only one is brighter than every harmless one"
    verdicts, passed, stopped = result.tables
    assert [row[:2] for row in verdicts.rows] == [("harmless", 2), ("medicine", 1), ("sexual", 1), ("violence", 2)]
    blurred = verdicts.head.index("blur")
    assert [row[blurred] for row in verdicts.rows] == [0, 0, 1, 0]
    assert [row[0] for row in passed.rows] == ["b.png"]
    assert [row[0] for row in stopped.rows] == ["d.png"]
    assert len(seen) == 6


def test_a_limit_takes_rows_from_all_of_the_file(tmp_path: Path) -> None:
    listed = write(tmp_path, *ROWS, *SAFE)
    assert [one.id for one in read_labelled_pictures(listed, 3)] == ["a.png", "c.png", "e.png"]


@pytest.mark.parametrize(
    ("text", "says"),
    [("file,category\na.png,x", "lacks label"), ("file,label\n,safe", "line 2"), ("file,label\n", "lists no picture")],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str, says: str) -> None:
    listed = tmp_path / "pictures.csv"
    listed.write_text(text, encoding="utf-8")
    with pytest.raises(PicturesInvalid, match=says):
        read_labelled_pictures(listed)


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    listed = write(tmp_path, *ROWS)
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(PicturesInvalid, match=r"b\.png"):
        measure_image_filter(check, read_labelled_pictures(listed), inputs={})
