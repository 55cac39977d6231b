"""Measure whether pictures show what their prompts say, by a model that scores a picture with a text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean

import numpy as np

from mezzotint.evals.pictures.drawn import DrawnPicture
from mezzotint.evals.result import Curve, EvalResult, Figure, Suite, Table, now
from mezzotint.evals.statistics import Floats, RocCurve, best_threshold, bootstrap_interval, roc_curve

SHIFT = 7
"""Places to the prompt that a picture is compared with as a wrong one: neighbours in the list are of one kind."""
NUM_THRESHOLD_RESAMPLES = 500

Score = Callable[[DrawnPicture], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """name: of the model, in results: scores of two models cannot be compared."""

    name: str
    score: Score


def measure_alignment(
    pictures: Sequence[DrawnPicture],
    scorer: Scorer,
    accepted: EvalResult | None,
    *,
    inputs: Mapping[str, str],
    threshold: float | None,
    on_picture: Callable[[], None] = lambda: None,
) -> EvalResult:
    """Score every picture with its own prompt and with another picture's.

    threshold: the score from which a picture counts as aligned; None: not calibrated for this scorer.
    """
    own, other = [], []
    for at, picture in enumerate(pictures):
        own.append(scorer.score(picture))
        other.append(scorer.score(replace(picture, prompt=pictures[(at + SHIFT) % len(pictures)].prompt)))
        on_picture()
    figures = {"score": _mean(own), "score_with_another_prompt": _mean(other)}
    curve = roc_curve(other, own)
    interval = bootstrap_interval(lambda *two: roc_curve(*two).area, other, own, num_resamples=NUM_THRESHOLD_RESAMPLES)
    figures["roc_area"] = Figure.of(curve.area, interval, num=len(own))
    notes = []
    if threshold is None:
        notes.append(f"no threshold is calibrated for {scorer.name}: `mezzotint eval calibrate` finds one")
    else:
        figures["aligned"] = Figure.share(sum(score >= threshold for score in own), len(own))
    scores = {picture.id: score for picture, score in zip(pictures, own, strict=True)}
    before = accepted.scores if accepted and accepted.inputs.get("scorer") == scorer.name else {}
    changes = [score - before[name] for name, score in scores.items() if name in before]
    if changes:
        figures["change"] = _mean(changes)
    rows = [
        (name, Figure(value=score), Figure(value=before.get(name)))
        for name, score in sorted(scores.items(), key=lambda item: item[1])
    ]
    table = Table(title="Scores, lowest first", head=("picture", "score", "accepted"), rows=tuple(rows))
    return EvalResult(
        suite=Suite.ALIGNMENT,
        created_at=now(),
        inputs={**inputs, "scorer": scorer.name, "threshold": "none" if threshold is None else f"{threshold:.3g}"},
        figures=figures,
        tables=(table,),
        notes=tuple(notes),
        scores=scores,
    )


def calibrate(pictures: Sequence[DrawnPicture], scorer: Scorer, *, inputs: Mapping[str, str]) -> EvalResult:
    """Find the score from which a picture shows its prompt, from pictures that people labelled 1 (yes) or 0 (no).

    Raises: ValueError where one of the labels is missing.
    """
    labels = np.array([picture.score for picture in pictures]) == 1
    scores = np.array([scorer.score(picture) for picture in pictures])
    curve = roc_curve(scores[~labels], scores[labels])
    threshold = best_threshold(curve)
    resample = partial(bootstrap_interval, num_resamples=NUM_THRESHOLD_RESAMPLES)
    interval = resample(_measure_by_label(best_threshold), scores, labels)
    figures = {
        "threshold": Figure.of(threshold, interval, num=len(scores)),
        "aligned_accepted": Figure.share(int((scores[labels] >= threshold).sum()), int(labels.sum())),
        "others_accepted": Figure.share(int((scores[~labels] >= threshold).sum()), int((~labels).sum())),
        "roc_area": Figure.of(
            curve.area,
            resample(_measure_by_label(lambda curve: curve.area), scores, labels),
            num=len(scores),
        ),
    }
    points = tuple(zip(map(float, curve.false_positives), map(float, curve.true_positives), strict=True))
    title = f"ROC of {scorer.name}, area {curve.area:.3f}; chosen: {threshold:.3g}"
    return EvalResult(
        suite=Suite.CALIBRATION,
        created_at=now(),
        inputs={**inputs, "scorer": scorer.name},
        figures=figures,
        curves=(Curve(title=title, x_label="others accepted", y_label="right ones accepted", points=points),),
    )


def _measure_by_label(measure: Callable[[RocCurve], float]) -> Callable[[Floats, Floats], float]:
    """A statistic of scores and their labels, 1 or 0; not a number where one of the labels is missing."""

    def of(scores: Floats, labels: Floats) -> float:
        is_aligned = labels.astype(bool)
        if is_aligned.all() or not is_aligned.any():
            return float("nan")
        return measure(roc_curve(scores[~is_aligned], scores[is_aligned]))

    return of


def _mean(values: Sequence[float]) -> Figure:
    return Figure.of(fmean(values), bootstrap_interval(np.mean, values), num=len(values))
