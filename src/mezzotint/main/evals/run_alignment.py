"""Run the evaluations that score pictures with their prompts."""

from pathlib import Path

from mezzotint import __version__
from mezzotint.evals.pictures.alignment import Scorer, calibrate, measure_alignment
from mezzotint.evals.pictures.drawn import PicturesInvalid, read_pictures
from mezzotint.evals.result import EvalResult, Suite
from mezzotint.main.evals.draw import DrawnPictures
from mezzotint.main.evals.finish import EvalRun, progress_bar

BUILT_IN = "built-in aligner"


def run_alignment(run: EvalRun, drawn: DrawnPictures, clip: str | None) -> EvalResult:
    """Raises: ModelMissing, ModelCorrupt, ModelUnsupported, ResultInvalid."""
    scorer = load_scorer(clip)
    accepted = run.folder.find_accepted(Suite.ALIGNMENT, drawn.inputs)
    threshold = run.folder.find_threshold(scorer.name)
    with progress_bar() as bar:
        task = bar.add_task("scoring pictures", total=len(drawn.pictures))
        return measure_alignment(
            drawn.pictures,
            scorer,
            accepted,
            inputs=drawn.inputs,
            threshold=threshold,
            on_picture=lambda: bar.advance(task),
        )


def run_calibration(labels: Path, clip: str | None, limit: int | None) -> EvalResult:
    """Raises: PicturesInvalid, StartError."""
    pictures = read_pictures(labels, score="label", limit=limit)
    if {picture.score for picture in pictures} != {0.0, 1.0}:
        raise PicturesInvalid(f"{labels}: `label` must be 1 or 0, and both must occur")
    inputs = {"mezzotint": __version__, "labels": str(labels)}
    return calibrate(pictures, load_scorer(clip), inputs=inputs)


def load_scorer(clip: str | None) -> Scorer:
    """Raises: ModelMissing, ModelCorrupt, ModelUnsupported."""
    if clip is not None:
        from mezzotint.evals.pictures.clip import ClipScorer

        return Scorer(name=clip, score=ClipScorer(clip).score)
    from mezzotint.evals.pictures.aligner import Aligner

    return Scorer(name=BUILT_IN, score=Aligner().score)
