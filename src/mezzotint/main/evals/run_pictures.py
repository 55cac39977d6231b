"""Run the evaluations that look at pictures."""

from dataclasses import dataclass
from pathlib import Path

from mezzotint import __version__
from mezzotint.domain.errors import ArgumentInvalid
from mezzotint.evals.pictures.aesthetic import measure_aesthetic
from mezzotint.evals.pictures.image_filter import measure_image_filter, read_labelled_pictures
from mezzotint.evals.pictures.judge import open_judge
from mezzotint.evals.pictures.regression import measure_regression
from mezzotint.evals.result import EvalResult, Suite
from mezzotint.main.evals.draw import DrawnPictures
from mezzotint.main.evals.finish import EvalRun, progress_bar


class GradersInvalid(ArgumentInvalid):
    """Flags of `mezzotint eval aesthetic` that need each other."""

    hint = "Give --judge with --judge-model, and --head with --clip."


@dataclass(frozen=True, slots=True, kw_only=True)
class Graders:
    """judge: the address of an endpoint. clip, head: a CLIP model and a linear head over it."""

    judge: str | None = None
    judge_model: str = ""
    num_votes: int = 3
    clip: str | None = None
    head: Path | None = None

    def __post_init__(self) -> None:
        """Raises: GradersInvalid."""
        if (self.judge is None) != (not self.judge_model) or (self.clip is None) != (self.head is None):
            raise GradersInvalid("a judge or a linear head is given by half")


def run_regression(run: EvalRun, drawn: DrawnPictures) -> EvalResult:
    """Raises: ResultInvalid."""
    accepted = run.folder.find_accepted(Suite.REGRESSION, drawn.inputs)
    return measure_regression(drawn.pictures, accepted, inputs=drawn.inputs)


def run_aesthetic(run: EvalRun, drawn: DrawnPictures, graders: Graders) -> EvalResult:
    """Raises: JudgeUnusable, ModelMissing, ModelUnsupported."""
    key, judge, head = run.settings.eval_judge_key, None, None
    if graders.judge is not None:
        judge = open_judge(graders.judge, graders.judge_model, key.get_secret_value() if key else None)
    if graders.clip is not None and graders.head is not None:
        from mezzotint.evals.pictures.clip import ClipScorer, load_linear_head

        head = load_linear_head(graders.head, ClipScorer(graders.clip))
    asked = {"judge": graders.judge_model, "votes": str(graders.num_votes)} if judge else {}
    with progress_bar() as bar:
        task = bar.add_task("grading pictures", total=len(drawn.pictures) if judge else 0)
        return measure_aesthetic(
            drawn.pictures,
            inputs={**drawn.inputs, **asked},
            judge=judge,
            num_votes=graders.num_votes,
            linear_head=head,
            on_picture=lambda: bar.advance(task),
        )


def run_images(run: EvalRun, file: Path, limit: int | None) -> EvalResult:
    """Raises: PicturesInvalid, ModelMissing, ModelCorrupt, PolicyInvalid."""
    from mezzotint.main.filters.text_screen import build_text_filter
    from mezzotint.safety.image.loading import load_postfilter
    from mezzotint.safety.policy_file import load_policy

    pictures = read_labelled_pictures(file, limit)
    settings = run.settings
    image_filter = load_postfilter(
        load_policy(settings.safety_policy), load_judge=lambda: build_text_filter(settings).judge
    )
    with progress_bar() as bar:
        task = bar.add_task("judging pictures", total=len(pictures))
        return measure_image_filter(
            image_filter.check,
            pictures,
            inputs={"mezzotint": __version__, "filter": image_filter.version, "pictures": file.name},
            on_picture=lambda: bar.advance(task),
        )
