"""Run the evaluation of the text filter: the object that the gateway asks, on the golden sets and on files."""

from collections.abc import Sequence
from pathlib import Path

from mezzotint import __version__
from mezzotint.config import Settings
from mezzotint.evals.minors import measure_minors
from mezzotint.evals.prompts import PromptSet, PromptsInvalid, read_golden, read_prompts
from mezzotint.evals.result import EvalResult
from mezzotint.evals.safety import Screen, Screening, measure_safety
from mezzotint.main.evals.finish import progress_bar
from mezzotint.safety.text.rules import load_rules

RULE_SCORE = 1e6
"""Score of a text that a rule stops: above every classifier's, which is a score as a share of its threshold."""


def run_safety(settings: Settings, extra: Sequence[Path], *, reference: str | None, limit: int | None) -> EvalResult:
    """Raises: PromptsInvalid, RulesInvalid."""
    golden = [read_golden(name, limit) for name in ("adversarial", "benign")]
    more = [read_prompts(path, limit) for path in extra]
    _check_names(more, reference)
    screen, inputs = open_screen(settings)
    total = sum(len(one.prompts) for one in (*golden, *more))
    with progress_bar() as bar:
        task = bar.add_task("screening prompts", total=total)
        result = measure_safety(
            screen, golden, more, inputs=inputs, reference=reference, on_prompt=lambda: bar.advance(task)
        )
    minors = measure_minors(screen, load_rules(settings.prefilter_rules), limit)
    return result.model_copy(update={"figures": {**result.figures, "minors_composed.stopped": minors}})


def open_screen(settings: Settings) -> tuple[Screen, dict[str, str]]:
    """The gateway's text filter, and the versions that its answers depend on."""
    from mezzotint.main.filters.text_screen import build_text_filter

    text_filter = build_text_filter(settings)

    def screen(text: str) -> Screening:
        verdict = text_filter.judge(text)
        is_by_rule = verdict.is_blocked and not verdict.scores
        return Screening(verdict.is_blocked, RULE_SCORE if is_by_rule else verdict.nearness)

    versions = text_filter.judge("a red apple")
    inputs = {
        "mezzotint": __version__,
        "rules": versions.rules_version,
        "policy": versions.policy_version,
        "heads": versions.heads_version or "none",
    }
    return screen, inputs


def _check_names(sets: Sequence[PromptSet], reference: str | None) -> None:
    names = [one.name for one in sets]
    if len(set(names)) < len(names):
        raise PromptsInvalid("two --extra files have the same name: rename one, so that the report can tell them apart")
    if reference is not None and reference not in names:
        raise PromptsInvalid(
            f"--reference {reference} is none of the --extra files: {', '.join(names) or 'none given'}"
        )
