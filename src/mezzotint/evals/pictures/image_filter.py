"""Measure the image filter on labelled pictures of an operator's own: what it stops, what it stops by mistake.

The pictures run through the filter object that a worker asks. No set comes with the package: pictures that a filter
must stop belong in no repository.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from mezzotint.evals.pictures.drawn import PicturesInvalid
from mezzotint.evals.prompts import SAFE
from mezzotint.evals.result import Bars, EvalResult, Figure, Suite, Table, now
from mezzotint.evals.statistics import threshold_at
from mezzotint.policy.safety.images import YOUNG_FACE, ImageVerdict, find_highest
from mezzotint.policy.safety.verdicts import SafetyVerdict

FIXED_RATES = (0.01, 0.02, 0.05)
"""Shares of harmless pictures stopped at which catch rates are compared."""
MAX_LISTED = 200
Check = Callable[[Image.Image], ImageVerdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPicture:
    """file: its path. category: of the label; "unsafe" where the file of pictures has none."""

    id: str
    file: Path
    is_safe: bool
    category: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _JudgedPicture:
    picture: LabelledPicture
    verdict: ImageVerdict

    @property
    def is_stopped(self) -> bool:
        """Tell whether it is not delivered as it is: blocked, in review or blurred."""
        return self.verdict.verdict is not SafetyVerdict.ALLOW

    @property
    def score(self) -> float:
        """The highest score of a class that the policy can block."""
        found = find_highest(self.verdict.scores)
        return max((score for name, score in found.items() if name != YOUNG_FACE), default=0.0)


def read_labelled_pictures(path: Path, limit: int | None = None) -> tuple[LabelledPicture, ...]:
    """The pictures that a CSV file lists (file, label: safe or anything else; category). Raises: PicturesInvalid."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if missing := {"file", "label"} - set(reader.fieldnames or ()):
                raise PicturesInvalid(f"{path}: the header lacks {', '.join(sorted(missing))}")
            found = tuple(_read_rows(path, reader))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PicturesInvalid(f"{path} cannot be read: {error}") from error
    if not found:
        raise PicturesInvalid(f"{path} lists no picture")
    return found if limit is None else tuple(found[at * len(found) // limit] for at in range(min(limit, len(found))))


def _read_rows(path: Path, reader: "csv.DictReader[str]") -> Iterator[LabelledPicture]:
    for row in reader:
        if not row["file"] or not row["label"]:
            raise PicturesInvalid(f"{path}, line {reader.line_num}: a row needs a file and a label")
        is_safe = row["label"].strip().lower() in {SAFE, "benign"}
        category = row.get("category") or ("harmless" if is_safe else "unsafe")
        yield LabelledPicture(id=row["file"], file=path.parent / row["file"], is_safe=is_safe, category=category)


def measure_image_filter(
    check: Check,
    pictures: Sequence[LabelledPicture],
    *,
    inputs: Mapping[str, str],
    on_picture: Callable[[], None] = lambda: None,
) -> EvalResult:
    """Judge every picture, one in memory at a time. Raises: PicturesInvalid, naming a file that cannot be read."""
    judged = []
    for picture in pictures:
        judged.append(_JudgedPicture(picture=picture, verdict=check(_open(picture))))
        on_picture()
    unsafe = [one for one in judged if not one.picture.is_safe]
    safe = [one for one in judged if one.picture.is_safe]
    figures = {"unsafe.stopped": _count(unsafe), "harmless.stopped": _count(safe)}
    for rate in FIXED_RATES if safe and unsafe else ():
        threshold = threshold_at([one.score for one in safe], rate)
        figures[f"unsafe.stopped_at_{rate:.0%}"] = Figure.share(
            sum(one.score >= threshold for one in unsafe), len(unsafe)
        )
    by_category = {
        name: [one for one in judged if one.picture.category == name]
        for name in sorted({one.picture.category for one in judged})
    }
    shares = {name: _count(of_one) for name, of_one in by_category.items()}
    verdicts = Table(
        title="Verdicts by category",
        head=("category", "pictures", "stopped", *SafetyVerdict),
        rows=tuple(
            (
                name,
                len(of_one),
                shares[name],
                *(sum(one.verdict.verdict is kind for one in of_one) for kind in SafetyVerdict),
            )
            for name, of_one in by_category.items()
        ),
    )
    return EvalResult(
        suite=Suite.IMAGES,
        created_at=now(),
        inputs=inputs,
        figures=figures,
        tables=(
            verdicts,
            *_list_wrong("Unsafe pictures that pass", unsafe, is_stopped=False),
            *_list_wrong("Harmless pictures that are stopped", safe, is_stopped=True),
        ),
        bars=(Bars(title="Stopped by category", bars=shares),),
        notes=("stopped: blocked, in review or blurred; fixed rates are of the highest score of any class",),
    )


def _open(picture: LabelledPicture) -> Image.Image:
    try:
        with Image.open(picture.file) as opened:
            return opened.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
        raise PicturesInvalid(f"{picture.file}: {error}") from error


def _count(judged: Sequence[_JudgedPicture]) -> Figure:
    return Figure.share(sum(one.is_stopped for one in judged), len(judged))


def _list_wrong(title: str, judged: Sequence[_JudgedPicture], *, is_stopped: bool) -> Iterator[Table]:
    wrong = [one for one in judged if one.is_stopped is is_stopped][:MAX_LISTED]
    if wrong:
        rows = tuple((one.picture.id, one.picture.category, f"{one.score:.3f}") for one in wrong)
        yield Table(title=title, head=("file", "category", "highest score"), rows=rows)
