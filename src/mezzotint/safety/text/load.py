"""Load the text filter."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from mezzotint.policy.safety.overrides import NO_OVERRIDES, SafetyOverrides
from mezzotint.safety.policy_file import load_policy
from mezzotint.safety.text.prefilter import PreFilter
from mezzotint.safety.text.text_filter import TextFilter

if TYPE_CHECKING:
    from mezzotint.safety.text.classifier import TextClassifier

log = structlog.get_logger()


def load_text_filter(
    *,
    rules: Path | None,
    policy: Path | None,
    uses_classifier: bool,
    heads: Path | None = None,
    overrides: Callable[[], SafetyOverrides] = lambda: NO_OVERRIDES,
) -> TextFilter:
    """Load the rules and the policy, and begin to load the classifier in a thread.

    rules, policy, heads: an operator's files and folder; None: the built-in ones alone. overrides: what admins change
    meanwhile.

    Raises: RulesInvalid, SafetyPolicyInvalid.
    """
    loaded_policy, loaded_rules = load_policy(policy), PreFilter.load(rules, overrides)
    classifier = start_loading_classifier(heads) if uses_classifier else None
    return TextFilter(loaded_rules, loaded_policy, classifier, overrides)


def start_loading_classifier(heads: Path | None) -> "Future[TextClassifier]":
    executor = ThreadPoolExecutor(1, thread_name_prefix="text-classifier")
    try:
        return executor.submit(_load_classifier, heads)
    finally:
        executor.shutdown(wait=False)


def _load_classifier(heads: Path | None) -> "TextClassifier":
    """Raises: ModelMissing, ModelCorrupt."""
    before = time.monotonic()
    from mezzotint.safety.text.classifier import TextClassifier  # numpy and onnxruntime: not where rules are enough

    classifier = TextClassifier(heads)
    seconds = round(time.monotonic() - before, 2)
    log.info("text_classifier_loaded", version=classifier.version, seconds=seconds)
    return classifier
