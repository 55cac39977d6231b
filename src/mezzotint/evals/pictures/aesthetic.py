"""Measure how good pictures look: by a judge's grades where there is one, by a linear head, by plain statistics."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean, pstdev

import numpy as np

from mezzotint.evals.pictures.drawn import DrawnPicture
from mezzotint.evals.pictures.judge import CRITERIA, Grades, Judge
from mezzotint.evals.pictures.regression import measure_statistics
from mezzotint.evals.result import EvalResult, Figure, Suite, Table, now
from mezzotint.evals.statistics import bootstrap_interval, spearman, weighted_kappa

NUM_SENT_AT_ONCE = 4
STATISTICS_NOTE = (
    "sharpness, contrast, colourfulness, noise and entropy are statistics of pixels: they tell a damaged picture from "
    "another, not a beautiful one from a plain one"
)

ScorePicture = Callable[[DrawnPicture], float]


@dataclass(frozen=True, slots=True)
class JudgedPicture:
    picture: DrawnPicture
    votes: tuple[Grades, ...]

    @property
    def overall(self) -> float:
        return fmean(vote.overall for vote in self.votes)


def measure_aesthetic(
    pictures: Sequence[DrawnPicture],
    *,
    inputs: Mapping[str, str],
    judge: Judge | None = None,
    num_votes: int = 3,
    linear_head: ScorePicture | None = None,
    on_picture: Callable[[], None] = lambda: None,
) -> EvalResult:
    """Raises: JudgeUnusable."""
    figures = measure_statistics(pictures)
    notes, tables = [STATISTICS_NOTE], []
    if linear_head is not None:
        scores = [linear_head(picture) for picture in pictures]
        figures["linear_head"] = _mean(scores)
        figures.update(_measure_agreement("linear_head", pictures, scores))
    if judge is not None:
        judged = grade_pictures(judge, pictures, num_votes, on_picture)
        figures.update(_measure_grades(judged, len(pictures) * num_votes))
        rows = [
            (one.picture.id, Figure(value=one.overall), len(one.votes))
            for one in sorted((one for one in judged if one.votes), key=lambda one: one.overall)
        ]
        head = ("picture", "overall", "votes")
        tables.append(Table(title="Grades by the judge, lowest first", head=head, rows=tuple(rows)))
    else:
        notes.append(
            "no judge was given (--judge URL --judge-model NAME): nothing here says whether pictures look good"
        )
    return EvalResult(
        suite=Suite.AESTHETIC,
        created_at=now(),
        inputs=inputs,
        figures=figures,
        tables=tuple(tables),
        notes=tuple(notes),
    )


def grade_pictures(
    judge: Judge, pictures: Sequence[DrawnPicture], num_votes: int, on_picture: Callable[[], None]
) -> list[JudgedPicture]:
    """Every picture with its votes, in order. Raises: JudgeUnusable."""

    def grade(picture: DrawnPicture) -> JudgedPicture:
        votes = [judge.vote(picture.picture, seed) for seed in range(1, num_votes + 1)]
        on_picture()
        return JudgedPicture(picture, tuple(vote for vote in votes if vote is not None))

    with ThreadPoolExecutor(NUM_SENT_AT_ONCE) as pool:
        futures = [pool.submit(grade, picture) for picture in pictures]
        try:
            return [future.result() for future in futures]
        finally:
            pool.shutdown(cancel_futures=True)


def _measure_grades(judged: Sequence[JudgedPicture], num_asked: int) -> dict[str, Figure]:
    num_votes = sum(len(one.votes) for one in judged)
    figures = {"judge.votes_without_grades": Figure.share(num_asked - num_votes, num_asked)}
    graded = [one for one in judged if one.votes]
    if not graded:
        return figures
    figures["judge.overall"] = _mean([one.overall for one in graded])
    for name in CRITERIA:
        figures[f"judge.{name}"] = _mean([fmean(getattr(vote, name) for vote in one.votes) for one in graded])
    spreads = [pstdev(vote.overall for vote in one.votes) for one in graded if len(one.votes) > 1]
    if spreads:
        figures["judge.spread_of_votes"] = _mean(spreads)
    figures.update(_measure_agreement("judge", [one.picture for one in graded], [one.overall for one in graded]))
    return figures


def _measure_agreement(name: str, pictures: Sequence[DrawnPicture], scores: Sequence[float]) -> dict[str, Figure]:
    """Agreement with people's grades from 1 to 5, over the pictures that have one."""
    pairs = [(one.score, score) for one, score in zip(pictures, scores, strict=True) if one.score is not None]
    if not pairs:
        return {}
    people, machine = np.array(pairs).T
    return {
        f"{name}.{title}": Figure.of(
            statistic(people, machine), bootstrap_interval(statistic, people, machine), num=len(pairs)
        )
        for title, statistic in (("spearman", spearman), ("weighted_kappa", weighted_kappa))
    }


def _mean(values: Sequence[float]) -> Figure:
    return Figure.of(fmean(values), bootstrap_interval(np.mean, values), num=len(values))
